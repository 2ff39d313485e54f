"""Reports of files of results."""

import json

import pytest
import tiny
from html_page import Parsed

from experiments.report.__main__ import main, write_report


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
