"""The parts of a report: markup, charts, tables, paths and media, by hand."""

from math import inf, nan

import numpy as np
import pytest
from html_page import Parsed
from PIL import Image

from experiments.report import clips as report_clips
from experiments.report.curves import Curve, line_chart, linear_axis, value_axis
from experiments.report.logs import log_charts, stage_ends
from experiments.report.markup import Html, join, tag
from experiments.report.media import Media
from experiments.report.paths import clip_paths, read_paths
from experiments.report.tables import score_table
from stiid.evaluation.rollout import Clips
from stiid.models.base import Decomposition


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


def test_of_long_videos_the_first_frames_have_paths(tmp_path):
    rows = [f"{t},{k},{t},{k},0,0,2500,9\n" for t in range(2500) for k in range(2)]
    header = "frame,slot,x,y,left,top,right,bottom\n"
    (tmp_path / "trajectories.csv").write_text(header + "".join(rows))
    paths = read_paths(tmp_path / "trajectories.csv")
    drawn = [e["d"] for e in Parsed(join(*paths)).found["path"]]
    assert [d.count("L") for d in drawn] == [99, 99]
    assert drawn[1].startswith("M0 1h0L1 1L2 1L")


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


def test_what_does_not_fit_is_said(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (4, 4)).save(path)
    size = path.stat().st_size
    media = Media(limit=2 * size - 1)
    assert media.image(path, "x").startswith("<img")
    (left_out,) = Parsed(media.image(path, "x")).found["p"]
    assert "a.png" in left_out["text"]


def test_a_clip_that_does_not_fit_takes_no_room(tmp_path):
    """Its films fit one by one, but not together; an image that comes later does."""
    video = np.random.default_rng(0).integers(0, 256, (1, 2, 8, 8, 3), np.uint8)
    masks = np.full((1, 2, 3, 8, 8), 1 / 3)
    means = np.broadcast_to(video[:, :, None] / 255, (1, 2, 3, 8, 8, 3))
    result = Decomposition(video / 255, masks, means, np.zeros((1, 2, 3)))
    path = tmp_path / "a.png"
    Image.fromarray(video[0, 0]).save(path)
    clips = Clips(video, None, np.zeros(1))
    media = Media(limit=3 * path.stat().st_size)
    figure = report_clips.clip_figures(clips, result, num_observed=2, media=media)
    assert not Parsed(figure).found["img"]
    assert media.image(path, "x").startswith("<img")
    assert media.image(path, "x").startswith("<img")
    assert media.image(path, "x").startswith("<img")


def test_empty_slots_are_named_and_not_shown():
    video, masks = np.zeros((1, 2, 8, 8, 3), np.uint8), np.zeros((1, 2, 3, 8, 8))
    masks[:, :, 0], masks[:, :, 1] = 0.95, 0.05
    masks[:, 1, 2, 4, 4] = 0.5  # for a moment
    result = Decomposition(video / 255, masks, np.zeros((1, 2, 3, 8, 8, 3)), np.zeros((1, 2, 3)))
    clips = Clips(video, None, np.zeros(1))
    page = Parsed(report_clips.clip_figures(clips, result, num_observed=2, media=Media()))
    labels = [span["text"] for span in page.found["span"]]
    assert [label for label in labels if label.startswith("slot")] == ["slot 0", "slot 2"]
    (caption,) = page.found["figcaption"]
    assert caption["text"].endswith("Empty in all frames: slot 1.")


def test_frames_stand_side_by_side():
    frames = np.arange(2 * 1 * 2 * 3, dtype=np.uint8).reshape(2, 1, 2, 3)
    np.testing.assert_array_equal(report_clips.film(frames)[0, :, 0], [0, 3, 6, 9])
