"""Figures: values read from measurements, and drawn; by hand, and one by its command."""

import json
import shutil

import numpy as np
import pytest
import tiny
from PIL import Image

from experiments import (
    animations,
    fig4_velocity,
    fig5_prediction,
    fig14_latent_walk,
)
from experiments.result import MODEL, SIMULATE, WALK, Measurement, PaperResult, Row, Training
from experiments.run import make

CONFIG = "tests/tiny.py"


def row_of(part=MODEL, measurements=(), model="Our"):
    training = Training(config=CONFIG)
    return Row(data="color", model=model, training=training, measurements=measurements, part=part)


def record_of(data, model, column, **scores):
    cells = {score: {"mean": value, "std": None, "runs": 1} for score, value in scores.items()}
    return {"data": data, "model": model, "mean_std": {column: cells}}


@pytest.fixture
def panels_of(monkeypatch, tmp_path):
    """(a figure's module, records) → name of each file → title of a panel → labels and means."""

    def draw(figure, records):
        found = {}

        def save(stem, panels, *, x_label):
            found[stem.name] = {
                title: {curve.label: curve.mean.tolist() for curve in curves}
                for title, curves in panels.items()
            }
            return [stem]

        monkeypatch.setattr(figure, "save_curves", save)
        written = figure._draw(tmp_path / "figure", records, [None] * len(records))
        assert [path.name for path in written] == list(found)
        return found

    return draw


def test_velocities():
    """Both matchings side by side, frame by frame; those of the row's own part."""
    frames = np.arange(5.0)
    ours = {"cosine": frames, "relative": 10 + frames, "excluded": 0.0}
    theirs = {"cosine": 20 + frames, "relative": 30 + frames, "excluded": 0.5}
    parts = {"linear motion": {"velocity": {"hungarian": ours, "nearest": theirs}}}
    scores = fig4_velocity._read(row_of("linear motion"), [{"parts": parts}])
    assert list(scores) == ["1", "2", "3", "4", "5"]
    assert scores["3"] == {
        "cosine": 2,
        "relative": 12,
        "excluded": 0,
        "cosine_nearest": 22,
        "relative_nearest": 32,
        "excluded_nearest": 0.5,
    }


def test_curves_of_velocities(panels_of):
    records = [record_of("binary", "DDPAE", "2", cosine=0.5, relative=9.0)]
    (panels,) = panels_of(fig4_velocity, records).values()
    (curves,) = panels.values()
    assert list(curves) == ["DDPAE, binary"]
    np.testing.assert_array_equal(curves["DDPAE, binary"], [np.nan, 0.5, *[np.nan] * 3])


def test_curves_of_predictions(panels_of):
    """Scores of the row's own part; (F-)ARI in one file, MSE in another, CLEVRER beside balls."""
    horizons = {"3": {"mse": 0.5}}
    parts = {MODEL: {"horizons": {}}, "last frame": {"horizons": horizons}}
    assert fig5_prediction._read(row_of("last frame"), [{"parts": parts}]) == horizons
    records = [
        record_of(data, "Our", "3", f_ari_frame=value, ari_frame=2 * value, mse=3 * value)
        for data, value in (("binary", 1.0), ("clevrer", 2.0))
    ]
    for some, titles in (
        (records[:1], ("Bouncing Balls",)),
        (records, ("Bouncing Balls", "CLEVRER")),
    ):
        found = panels_of(fig5_prediction, some)
        assert list(found) == ["figure", "figure_mse"]
        shares = [
            f"{title}: {name}" for title in titles for name in ("F-ARI per frame", "ARI per frame")
        ]
        assert list(found["figure"]) == shares
        assert list(found["figure_mse"]) == [f"{title}: MSE" for title in titles]
    assert found["figure"]["CLEVRER: ARI per frame"]["Our, clevrer"][0] == 4
    assert found["figure_mse"]["Bouncing Balls: MSE"]["Our, binary"][0] == 3


def test_images_of_walks(tmp_path):
    """A row for each walk, in the range of colors; a data set without a measurement is left out."""
    images = np.linspace(-1, 2, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4, 1)
    walks = [{"slot": 1, "dimension": 7}, {"slot": 0, "dimension": 5}]
    content = {"walks": walks, "offsets": [-3.0, 0.0, 3.0], "r2": {"size": 0.25}}
    assert fig14_latent_walk._read(row_of(), [content]) == {"R²": {"size": 0.25}}
    axes = fig14_latent_walk._grid(images, walks, content["offsets"]).axes
    assert [one.get_title() for one in axes] == ["-3 σ", "0 σ", "3 σ", "", "", ""]
    assert [one.get_ylabel() for one in axes[::3]] == ["slot 1\nz 7", "slot 0\nz 5"]
    for one, pixels in zip(axes, images.reshape(6, 4, 4, 1), strict=True):
        (image,) = one.get_images()
        np.testing.assert_allclose(image.get_array(), np.clip(pixels, 0, 1).repeat(3, axis=2))
    np.savez(tmp_path / "walk.npz", images=images)
    (tmp_path / "latent_walk.json").write_text(json.dumps(content))
    records = [{"data": "binary"}, {"data": "color"}]
    written = fig14_latent_walk._draw(tmp_path / "walks", records, [None, tmp_path])
    assert [path.name for path in written] == ["walks_color.png", "walks_color.pdf"]
    assert all(path.stat().st_size for path in written)


def test_animations_are_copied_under_their_names(tmp_path):
    scores = {"mse": 0.5}
    assert animations._read(row_of(), [{"observed": scores, "clips": 1}]) == {"observed": scores}
    folder = tmp_path / "measured" / "predict"
    folder.mkdir(parents=True)
    for name in ("clip_00.gif", "clip_00.mp4", "clip_00.png", "metrics.json"):
        (folder / name).write_bytes(name.encode())
    records = [{"model": "four_balls"}, {"model": "not_run"}]
    written = animations._draw(tmp_path / "shown", records, [folder.parent, None])
    assert tiny.contents(tmp_path / "shown") == {
        f"four_balls.{kind}": f"clip_00.{kind}".encode() for kind in ("gif", "mp4", "png")
    }
    assert {path.name for path in written} == set(tiny.contents(tmp_path / "shown"))


def measured(observed):
    """A walk, and a simulation after so many frames."""
    frames = {"predict.num_observed": observed, "predict.num_simulated": 2}
    return (
        Measurement(program=WALK, changes={"evaluate.clips": 8}),
        Measurement(program=SIMULATE, changes={"evaluate.clips": 8, **frames}),
    )


def read(row, contents):
    walk, simulated = contents
    return fig14_latent_walk._read(row, [walk]) | fig5_prediction._read(row, [simulated])


def test_a_figure_from_its_command(trained, data_dir, tmp_path, monkeypatch):
    """Measurements of a model that is there; two observed frames are too few for velocities."""
    monkeypatch.chdir(tiny.ROOT)
    for name, value in tiny.environment().items():
        monkeypatch.setenv(name, value)
    rows = (row_of(measurements=measured(3)), row_of(measurements=measured(2), model="Broken"))
    folder = tmp_path / "runs" / rows[0].training.folder(0)
    shutil.copytree(trained, folder)
    cost = {"minutes": 1.0, "commit": "abc", "command": "python -m stiid.main"}
    (folder / "cost.json").write_text(json.dumps(cost))
    result = PaperResult(
        name="walks",
        title="Walks",
        note="A note.",
        columns=("R²", "1", "2"),
        scores={"position": "position", "mse": "MSE"},
        rows=rows,
        read=read,
        draw=fig14_latent_walk._draw,
    )
    code = make(
        result,
        "small",
        seeds=(0,),
        only="*",
        workdir=tmp_path / "runs",
        output=tmp_path,
        changes={"data.data_dir": str(data_dir)},
    )
    assert code == 1
    ours, broken = json.loads((tmp_path / "walks-small.json").read_text())["rows"]
    assert broken["errors"]["0"].startswith("error: ValueError: predict.num_observed must be at le")
    (run,) = ours["runs"]
    assert run["step"] == 6
    assert set(run["scores"]) == {"R²", "1", "2"}
    assert run["scores"]["R²"]["position"] < 1
    assert run["scores"]["2"]["mse"] > 0
    commands = [one["command"] for one in run["measured"]]
    assert [text.split()[2] for text in commands] == [
        "experiments.latent_walk",
        "experiments.prediction",
    ]
    assert {path.name for path in tmp_path.glob("walks-small*")} == {
        "walks-small.json",
        "walks-small.md",
        "walks-small_color.png",
        "walks-small_color.pdf",
    }
    with Image.open(tmp_path / "walks-small_color.png") as image:
        assert min(image.size) > 100
