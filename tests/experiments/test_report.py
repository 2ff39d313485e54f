"""The HTML report: parsed again with ``html.parser``, and opened in a browser if there is one."""

import base64
import io
import json
import re
import shutil
import subprocess
from collections import defaultdict
from html.parser import HTMLParser
from math import inf, nan

import numpy as np
import pytest
import tiny
from PIL import Image

from experiments.report import clips as report_clips
from experiments.report.__main__ import main, write_report
from experiments.report.curves import Curve, line_chart, linear_axis, value_axis
from experiments.report.logs import log_charts, stage_ends
from experiments.report.markup import Html, join, tag
from experiments.report.media import Media
from experiments.report.paths import clip_paths, read_paths
from experiments.report.tables import score_table
from stiid.cli import modes
from stiid.cli.decompose import Request
from stiid.evaluation.rollout import Clips
from stiid.models.base import Decomposition
from stiid.outputs.sheets import colorize
from stiid.training.restore import restore

VOID = {"img", "input", "meta"}
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)


class Parsed(HTMLParser):
    """Elements by name with their attributes and text; that all are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found = [], defaultdict(list)
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, name, attributes):
        element = {"text": "", "inside": [e["name"] for e in self.open], "name": name}
        element |= dict(attributes)
        self.found[name].append(element)
        if name not in VOID:
            self.open.append(element)

    def handle_endtag(self, name):
        assert self.open.pop()["name"] == name

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def having(self, name, **attributes):
        return [e for e in self.found[name] if attributes.items() <= e.items()]


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


def test_every_picture_has_a_text(parsed):
    assert parsed.found["img"]
    for element in parsed.found["img"]:
        assert len(element["alt"]) > 10
    for element in parsed.having("svg", role="img") + parsed.found["video"]:
        assert len(element["aria-label"]) > 10
    assert len(parsed.having("svg", role="img")) == len(parsed.found["svg"])


def test_scores_are_those_of_the_evaluation(parsed, complete):
    """In the order and with the values of the file; what is shown is their rounding."""
    table = tiny.scores(complete)["lengths"]
    names = ["f_ari", "f_ari_frame", "ari", "ari_frame", "miou", "mse", "slot_switches"]
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
    films = [picture(e) for e in parsed.found["img"] if "figure" in e["inside"]][: 2 * 8]
    assert {film.shape for film in films} == {(8, 5 * 8, 3)}
    labels = [e["text"] for e in parsed.found["span"] if "main" in e["inside"]]
    expected = ["input", "reconstruction", "truth", "masks", "slot 0", "slot 1", "slot 2", "paths"]
    assert [label for label in labels if label in expected] == expected * 2


def test_films_show_the_clips(parsed, complete):
    source = restore(None, complete, "latest")[2]
    pictures = [picture(e) for e in parsed.found["img"] if e["alt"].startswith("the clip as")]
    assert len(pictures) == 4  # input and paths
    for i in range(2):
        video = source[i]["video"][:5]
        np.testing.assert_array_equal(pictures[2 * i], np.concatenate(list(video), axis=1))


def picture(element):
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
    assert [" ".join(text.split()[:4]) for text in said] == [
        "Not shown: Expecting ':'",
        "Not shown: no checkpoints",
        "There is no predict/metrics.json:",
        "There are no pictures/step_*.png:",
        "There is nothing in",
        "There is no run.json:",
    ]
    assert len(page.found["svg"]) > 5
    assert not (workdir / "report.html").exists()


# --- results --------------------------------------------------------------------------------------


def test_results_of_any_form(tmp_path):
    content = {
        "command": "python -m <x>",
        "scores": {"10": {"mse": "0.01 ± 0.002"}},
        "seeds": {
            seed: {
                "minutes": 1.5,
                "scores": {"10": {"mse": mse, "f_ari": None}},
                "curve": [{"step": 1, "nll": 3.0}, {"step": 2, "nll": 2.0 - int(seed)}],
            }
            for seed, mse in (("0", 0.25), ("1", 0.5))
        },
        "rows": [{"a": 1}, {"a": 22}],
        "odd": [[1, 2], "<&>"],
    }
    (tmp_path / "one.json").write_text(json.dumps(content))
    (tmp_path / "two.json").write_text("[1, 2")
    (tmp_path / "three.json").write_text('{"curve": [{"step": null, "nll": "x"}]}')
    (tmp_path / ".two.1.tmp.json").write_text("{}")  # of one that is being written
    page = Parsed(write_report(tmp_path, clips=0).read_text(encoding="utf-8"))
    assert [e["text"] for e in page.found["h2"]] == ["one", "three", "two"]
    assert page.found["dd"][0]["text"] == "python -m <x>"
    cells = [e["text"] for e in page.found["td"]]
    means, one = ["", "0.01 ± 0.002"], ["", "1.5000", "1.5000"]
    assert cells == [*means, *one, *["", "–", "0.2500", "–", "0.5000"], *["", "1", "22"]]
    rows = [e["text"] for e in page.having("th", scope="row")]
    assert rows == ["10", "0", "1", "0 · 10", "1 · 10", "0", "1"]
    (chart,) = page.found["svg"]
    assert (
        chart["aria-label"]
        == "NLL: 0 from 3.0000 at 1 to 2.0000 at 2; 1 from 3.0000 at 1 to 1.0000 at 2"
    )
    assert json.loads(page.found["pre"][0]["text"]) == content["odd"]
    missing = [e["text"] for e in page.having("p", **{"class": "missing"})]
    assert [text.partition(":")[0] for text in missing] == [
        "three.json cannot be shown",
        "two.json cannot be shown",
    ]


def test_our_own_results_are_shown(tmp_path):
    """A file of seeds, and one of a table with the paper's numbers; none as raw JSON."""
    folder = tiny.ROOT / "experiments" / "results"
    page = write_report(folder, tmp_path / "r.html", clips=0).read_text(encoding="utf-8")
    scores = json.loads((folder / "quickstart.json").read_text())
    cells = [e["text"] for e in Parsed(page).found["td"]]
    assert scores["scores"]["10"]["f_ari"] in cells
    content = json.loads((folder / "table1_decomposition-small.json").read_text())
    (row,) = [row for row in content["rows"] if row["row"] == "color/our"]
    ours = row["mean_std"]["40"]["f_ari_frame"]["mean"]
    assert f"{ours:.4f} (0.9999)" in cells
    assert row["runs"][0]["checkpoint"] in cells
    assert "cannot be shown" not in page
    assert not [text for text in cells if '"runs"' in text]
    assert not [e for e in Parsed(page).found["pre"] if '"mean_std"' in e["text"]]


def test_results_of_a_table_by_hand(tmp_path):
    """Mean, deviation and the paper's number in a cell; what failed, and what was not run."""
    mse = {"mean": 0.25, "std": 0.125, "runs": 2}
    run = {"seed": 3, "slots": 5, "step": 7, "minutes": 1.5, "commit": "abc", "checkpoint": "x/7"}
    record = {"status": "done", "errors": {}, "paper": {}, "mean_std": {}, "runs": []}
    rows = [
        {**record, "row": "a/our", "mean_std": {"10": {"mse": mse}}, "runs": [run]},
        {**record, "row": "a/other", "status": "failed", "errors": {"0": "no memory"}},
        {**record, "row": "a/few", "status": "missing", "runs": [run]},
        {**record, "row": "a/none", "status": "missing"},
    ]
    rows[0]["paper"] = {"10": {"mse": 0.5}}
    content = {"result": "table", "scale": "small", "rows": rows}
    (tmp_path / "table.json").write_text(json.dumps(content))
    (tmp_path / "bad.json").write_text(json.dumps({**content, "rows": [{"row": "a/our"}]}))
    page = write_report(tmp_path, tmp_path / "r.html", clips=0).read_text(encoding="utf-8")
    found = Parsed(page).found
    assert "0.2500 ± 0.1250 (0.5000)" in [e["text"] for e in found["td"]]
    assert "a/our, seed 3" in [e["text"] for e in found["th"]]
    facts = {e["text"]: f["text"] for e, f in zip(found["dt"], found["dd"], strict=True)}
    assert facts["not run, or not with all seeds"] == "a/few, a/none"
    assert "a/other, seed 0 failed" in page
    assert "no memory" in page
    assert "bad.json cannot be shown" in page


@pytest.mark.parametrize("arguments", [[], ["--clips=-1"]])
def test_an_error_is_one_line(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tiny.PROGRAMS))
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "8")
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty"), *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert ("neither the workdir of a run" in error) is not bool(arguments)
    assert list(tmp_path.rglob("*.html")) == []


# --- the parts ------------------------------------------------------------------------------------


def test_text_is_escaped_and_markup_is_not():
    assert tag("p", "<b> & \"'", tag("i", 1), title='"<') == (
        '<p title="&quot;&lt;">&lt;b&gt; &amp; &quot;&#x27;<i>1</i></p>'
    )
    assert tag("input", disabled=True, hidden=False, name=None, data_x_=0) == (
        '<input disabled data-x="0">'
    )
    assert isinstance(join("a"), Html)


def test_points_of_a_curve():
    """0…10 is drawn from 48 to 312, and 0…1 from 164 up to 10; what is not finite is a gap."""
    points = [(0, 0.0), (5, 1.0), (6, nan), (7, inf), (8, 0.5), (10, 0.25)]
    page = Parsed(line_chart("a < b", [Curve("one", points)], marks=[4]))
    (path,) = page.found["path"]
    assert path["d"] == "M48 164L180 10M259.2 87L312 125.5"
    dots = [(e["cx"], e["cy"]) for e in page.found["circle"]]
    assert dots == [("48", "164"), ("180", "10"), ("259.2", "87"), ("312", "125.5")]
    (mark,) = page.having("line", **{"class": "mark"})
    assert (mark["x1"], mark["x2"]) == ("153.6", "153.6")
    ticks = [e["text"] for e in page.found["text"]]
    assert ticks == ["0", "0.2", "0.4", "0.6", "0.8", "1", "0", "2", "4", "6", "8", "10"]
    assert page.found["figcaption"][0]["text"] == "a < b0.2500"


def test_many_points_have_no_dots_and_nothing_finite_no_drawing():
    many = Curve("", [(t, t) for t in range(25)])
    assert Parsed(line_chart("", [many])).found["circle"] == []
    page = Parsed(line_chart("", [Curve("", [(0, nan)])]))
    assert page.found["svg"] == []
    assert page.found["p"][0]["text"] == "no finite value"


def test_axes():
    assert value_axis([-0.13, 0.31]).ticks == pytest.approx([-0.2, -0.1, 0, 0.1, 0.2, 0.3, 0.4])
    wide = value_axis([0.02, 300])
    assert (wide.logarithmic, wide.low, wide.high) == (True, 0.01, 1000)
    assert wide(0.01) == 164
    assert wide(1000) == 10
    assert wide(1) == pytest.approx(164 - 154 * 2 / 5)
    assert not value_axis([-1, 300]).logarithmic
    assert value_axis([0, 0]).ticks == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    inner = linear_axis([20, 2200], 0, 1, round_out=False)
    assert (inner.low, inner.high, inner.ticks) == (20, 2200, [500, 1000, 1500, 2000])


def test_columns_share_their_decimals():
    rows = {"a": {"x": 0.5, "y": 120.25, "n": 3}, "b": {"x": -2.0, "y": 1.0, "z": 12345.6}}
    page = Parsed(score_table(rows, corner="run", caption="c"))
    cells = [e["text"] for e in page.found["td"]]
    assert cells == ["0.5000", "120.25", "3", "–", "−2.0000", "1.00", "–", "12346"]


def test_logs_are_thinned_to_their_ends_and_split():
    rows = [
        {"step": t, "split": "train", "mse": float(t), "num_frames": 1 + t // 600}
        for t in range(1000)
    ]
    rows += [{"step": 900, "split": f"eval_{n}", "mse": n / 10, "f_ari": None} for n in (2, 4)]
    figures = [Parsed(figure) for figure in log_charts({"": rows})]
    titles = [page.found["span"][0]["text"] for page in figures if page.found["svg"]]
    assert titles == ["MSE, evaluation", "MSE, training"]
    path = figures[-1].found["path"][0]["d"]
    assert path.count("L") == 299
    assert path.endswith("L312 10.2")
    assert stage_ends(rows) == [599]


def test_paths_are_read_back(complete):
    paths, box = read_paths(complete / "decompose" / "own" / "trajectories.csv")
    assert box == (4, 2, 24, 16)  # the crop
    assert len(paths) == 3
    red, green, blue = colorize(np.array(1)).tolist()
    assert f'stroke="#{red:02x}{green:02x}{blue:02x}"' in paths[1]


def test_long_paths_are_thinned(tmp_path):
    rows = [f"{t},{k},{t},{k},0,0,2500,9\n" for t in range(2500) for k in range(2)]
    header = "frame,slot,x,y,left,top,right,bottom\n"
    (tmp_path / "trajectories.csv").write_text(header + "".join(rows))
    paths, box = read_paths(tmp_path / "trajectories.csv")
    assert box == (0, 0, 2500, 9)
    drawn = [e["d"] for e in Parsed(join(*paths)).found["path"]]
    assert [d.count("L") for d in drawn] == [833, 833]  # every third
    assert drawn[1].startswith("M0 1h0L3 1L6 1L")


@pytest.mark.parametrize("labelled", [True, False])
def test_paths_of_a_clip_by_hand(labelled):
    """Slot 1 holds the right half; the object, a pixel at the top left, then moves into it.

    With true masks slots have a path where they hold pixels of objects: slot 0, then slot 1.
    """
    masks = np.zeros((1, 3, 2, 2, 4))
    masks[:, :, 0, :, :2] = masks[:, :, 1, :, 2:] = 1
    true = np.zeros((1, 3, 2, 4), np.uint8)
    true[0, 0, 0, 0] = true[0, 1, 0, 3] = true[0, 2, 0, 3] = 1
    clips = Clips(np.zeros((1, 3, 2, 4, 1), np.uint8), true if labelled else None, np.zeros(1))
    result = Decomposition(clips.video, masks, masks[..., None], np.zeros((1, 3, 2)))
    paths = clip_paths(clips, result, 0, num_observed=2)
    page = Parsed(join(*paths))
    lines = [(e["class"], e["d"]) for e in page.found["path"]]
    if labelled:
        expected = [("true", "M0.5 0.5h0L3.5 0.5"), ("slot", "M0.5 0.5h0"), ("slot", "M3.5 0.5h0")]
    else:
        expected = [("slot", "M1 1h0L1 1"), ("slot", "M3 1h0L3 1")]
    assert lines == expected


def test_files_without_a_field_and_clips_not_asked_for(tmp_path):
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "metrics.json").write_text("{}")
    page = Parsed(write_report(tmp_path, clips=0).read_text(encoding="utf-8"))
    said = [e["text"] for e in page.having("p", **{"class": "missing"})]
    assert said[0] == "Not shown: its file has no field 'clips'"
    assert said[1] == "Not asked for (--clips=0)."


def test_what_does_not_fit_is_said(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (4, 4)).save(path)
    size = path.stat().st_size
    media = Media(limit=2 * size - 1)
    assert media.picture(path, "x").startswith("<img")
    assert "a.png (0.0 MB) is left out" in media.picture(path, "x")


def test_a_clip_that_does_not_fit_takes_no_room(tmp_path):
    """Its films fit one by one, but not together; a picture that comes later does."""
    video = np.random.default_rng(0).integers(0, 256, (1, 2, 8, 8, 3), np.uint8)
    masks = np.full((1, 2, 3, 8, 8), 1 / 3)
    means = np.broadcast_to(video[:, :, None] / 255, (1, 2, 3, 8, 8, 3))
    result = Decomposition(video / 255, masks, means, np.zeros((1, 2, 3)))
    path = tmp_path / "a.png"
    Image.fromarray(video[0, 0]).save(path)
    clips = Clips(video, None, np.zeros(1))
    media = Media(limit=3 * path.stat().st_size)
    figure = report_clips.clip_figures(clips, result, num_observed=2, media=media)
    assert "Clip 0 is left out" in figure
    assert media.picture(path, "x").startswith("<img")
    assert media.picture(path, "x").startswith("<img")
    assert media.picture(path, "x").startswith("<img")


def test_frames_stand_side_by_side():
    frames = np.arange(2 * 1 * 2 * 3, dtype=np.uint8).reshape(2, 1, 2, 3)
    np.testing.assert_array_equal(report_clips.film(frames)[0, :, 0], [0, 3, 6, 9])


# --- in a browser ---------------------------------------------------------------------------------

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
