"""The report of a run: parsed with ``html.parser``, and opened in a browser if there is one."""

import base64
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import tiny
from html_page import Parsed
from PIL import Image

from experiments.report.__main__ import write_report
from experiments.report.markup import tag
from experiments.report.paths import read_paths
from stiid.cli import modes
from stiid.cli.decompose import Request
from stiid.outputs.palette import colorize
from stiid.training.restore import restore

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)


@pytest.fixture(scope="module")
def complete(trained, tmp_path_factory):
    """A workdir in which every mode has run."""
    workdir = tmp_path_factory.mktemp("complete") / "a <b>&amp; run"
    shutil.copytree(trained, workdir)
    tiny.execute("predict", None, workdir)
    tiny.write_video(workdir.parent / "own.mp4", frames=5)
    video = Request(str(workdir.parent / "own.mp4"), (4, 2, 24, 16))
    with tiny.quick_compilation():
        modes.run("decompose", None, workdir=str(workdir), checkpoint="latest", video=video)
    return workdir


@pytest.fixture(scope="module")
def written(complete):
    """The report of that workdir."""
    with tiny.quick_compilation():
        return write_report(complete, clips=2)


@pytest.fixture(scope="module")
def parsed(written):
    return Parsed(written.read_text(encoding="utf-8"))


def test_the_page_needs_no_network_and_misses_nothing(written, parsed):
    text = written.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert len(text) < 5e6
    for elements in parsed.found.values():
        for element in elements:
            for name in ("src", "srcset", "poster", "data", "action"):
                assert element.get(name, "data:").startswith("data:"), element
            assert element["name"] == "a" or "href" not in element
    assert not re.search(r"url\(|@import", text)
    assert parsed.found["link"] == []
    assert [e["text"] for e in parsed.found["p"] if e.get("class") == "missing"] == []
    assert len(parsed.found["video"]) == 2 + 2  # clips, and of the own video overlay and slots
    names = {e["id"] for e in parsed.found["section"]}
    assert {e["href"] for e in parsed.found["a"]} == {f"#{name}" for name in names}
    assert [p.name for p in written.parent.iterdir() if p.name.startswith(".")] == []


def test_a_name_cannot_be_markup(parsed):
    assert parsed.found["title"][0]["text"] == parsed.found["h1"][0]["text"] == "a <b>&amp; run"
    assert parsed.found["b"] == [e for e in parsed.found["b"] if "figcaption" in e["inside"]]


def test_every_image_has_a_text(parsed):
    assert parsed.found["img"]
    for element in parsed.found["img"]:
        assert len(element["alt"]) > 10
    for element in parsed.having("svg", role="img") + parsed.found["video"]:
        assert len(element["aria-label"]) > 10
    assert len(parsed.having("svg", role="img")) == len(parsed.found["svg"])


def test_scores_are_those_of_the_evaluation(parsed, complete):
    """In the order and with the values of the file; what is shown is their rounding."""
    table = tiny.scores(complete)["lengths"]
    names = ["f_ari", "f_ari_frame", "f_ari_authors", "ari", "ari_frame", "ari_authors"]
    names += ["miou", "recall", "mse", "slot_switches"]
    expected = [table[length][name] for length in ("2", "4") for name in names]
    assert {*names} == {*table["2"]}
    shown = [e for e in parsed.found["data"] if "table" in e["inside"]][: len(expected)]
    assert [float(e["value"]) for e in shown] == expected
    assert [e["text"] for e in shown] == [f"{v:.4f}".replace("-", "−") for v in expected]
    rows = [e["text"] for e in parsed.having("th", scope="row")]
    assert rows == ["2", "4", "observed", "simulated"]


def test_the_slider_has_every_frame(parsed, complete):
    """3 observed and 2 simulated ones of both clips; films are so many frames wide."""
    sliders = parsed.having("input", type="range")
    assert [(e["min"], e["max"], e["data-observed"]) for e in sliders] == [("0", "4", "3")] * 2
    assert all(e["aria-label"] for e in sliders)
    films = [image(e) for e in parsed.found["img"] if "figure" in e["inside"]][: 2 * 9]
    shapes = {(8, 5 * 8, 3), (120, 5 * 120, 3)}  # the overlay has its outlines in pixels of a tile
    assert {film.shape for film in films} == shapes
    labels = [e["text"] for e in parsed.found["span"] if "main" in e["inside"]]
    expected = ["input", "reconstruction", "truth", "masks", "overlay"]
    expected += ["slot 0", "slot 1", "slot 2", "paths"]
    assert [label for label in labels if label in expected] == expected * 2


def test_films_show_the_clips(parsed, complete):
    source = restore(None, complete, "latest")[2]
    images = [image(e) for e in parsed.found["img"] if e["alt"].startswith("the clip as")]
    assert len(images) == 4  # input and paths
    for i in range(2):
        video = source[i]["video"][:5]
        np.testing.assert_array_equal(images[2 * i], np.concatenate(list(video), axis=1))


def image(element):
    content = base64.b64decode(element["src"].removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_a_young_run_says_what_it_lacks(trained, tmp_path):
    """Only a log, and damaged scores: every other part says what would write it."""
    workdir = tmp_path / "run"
    (workdir / "eval").mkdir(parents=True)
    shutil.copy(trained / "metrics.jsonl", workdir)
    (workdir / "eval" / "metrics.json").write_text('{"lengths"')
    assert write_report(workdir, tmp_path / "page.html", clips=1) == tmp_path / "page.html"
    page = Parsed((tmp_path / "page.html").read_text(encoding="utf-8"))
    said = [e["text"] for e in page.having("p", **{"class": "missing"})]
    named = [
        "':'",
        "checkpoints",
        "predict/metrics.json",
        "pictures/step_*.png",
        "decompose",
        "run.json",
    ]
    assert all(name in text for name, text in zip(named, said, strict=True))
    assert len(page.found["svg"]) > 5
    assert not (workdir / "report.html").exists()


def test_paths_are_read_back(complete):
    paths = read_paths(complete / "decompose" / "own" / "trajectories.csv")
    assert len(paths) == 3
    red, green, blue = colorize(np.array(1)).tolist()
    assert f'stroke="#{red:02x}{green:02x}{blue:02x}"' in paths[1]


def test_files_without_a_field_and_clips_not_asked_for(tmp_path):
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "metrics.json").write_text("{}")
    (tmp_path / "checkpoints").mkdir()
    page = Parsed(write_report(tmp_path, clips=0).read_text(encoding="utf-8"))
    said = [e["text"] for e in page.having("p", **{"class": "missing"})]
    assert "'clips'" in said[0]
    assert "--clips=0" in said[1]


def test_a_folder_of_decompositions_has_no_empty_sections(complete, tmp_path):
    shutil.copytree(complete / "decompose", tmp_path / "decompose")
    page = Parsed(write_report(tmp_path, clips=2).read_text(encoding="utf-8"))
    assert [e["text"] for e in page.found["h2"]] == ["Own videos"]
    assert page.having("p", **{"class": "missing"}) == []


def test_the_config_is_named(tmp_path):
    (tmp_path / "run.json").write_text('{"config_file": "configs/clevrer.py:small"}')
    page = Parsed(write_report(tmp_path, clips=0).read_text(encoding="utf-8"))
    assert "A run of stiid with the config configs/clevrer.py:small" in page.found["p"][0]["text"]


PROBE = """<script>
const slider = document.querySelector("input");
slider.value = 4;
slider.dispatchEvent(new Event("input"));
const film = document.querySelector(".window img");
parent.document.title = JSON.stringify({
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  spoken: slider.getAttribute("aria-valuetext"),
  moved: new DOMMatrix(getComputedStyle(film).transform).m41,
  film: film.getBoundingClientRect().width,
});
</script>"""


@pytest.mark.skipif(not BROWSER, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_works_in_a_browser(written, tmp_path, width):
    """The script runs, films move by whole frames, and nothing is wider than a phone."""
    text = written.read_text(encoding="utf-8").replace("</body>", f"{PROBE}</body>")
    frame = tmp_path / "frame.html"  # windows of browsers are not as narrow as phones
    frame.write_text(tag("iframe", srcdoc=text, width=width, height=800), encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,900"]
    done = subprocess.run([*command, frame.as_uri()], capture_output=True, text=True, timeout=120)
    (title,) = re.findall(r"<title>(.*?)</title>", done.stdout)
    found = json.loads(title.replace("&quot;", '"'))
    tile = 96 if width == 400 else 120  # 8 pixels by 12 or by 15
    assert found == {"wide": 0, "spoken": "4 of 4, simulated", "moved": -4 * tile, "film": 5 * tile}
