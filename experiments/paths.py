"""Draw where objects go in simulated frames: in truth, by models, and in a line.

    python -m experiments.paths masks_small_color [MODEL …] --output=FILE.png

Each row is a test clip, each tile its last frame, with the paths of all objects since the last
observed frame. A slot has the color of the object that it shows in the observed frames.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment

import stiid
from experiments.trivial_prediction import move_on
from stiid.files import atomic_path
from stiid.outputs.palette import PALETTE, colorize
from stiid.outputs.trajectories import slot_places

TRUTH, LINE = "truth", "in a line"
_GROUND = np.array((24, 26, 32), np.uint8)
_INCHES = 2.1  # side of a tile


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", help="released models, or folders of runs")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=3)
    parser.add_argument("--observed", type=int, default=20)
    parser.add_argument("--simulated", type=int, default=20)
    options = parser.parse_args(argv)
    models = {Path(name).name: stiid.load(name) for name in options.models}
    first = next(iter(models.values()))
    length = options.observed + options.simulated
    clips = first.clips(options.clips, num_frames=length, split="test")
    if clips.masks is None:
        raise SystemExit(f"{options.models[0]}: its test clips have no true masks to compare with")
    pairs = zip(clips.video, clips.masks, strict=True)
    rows = [predictions(*clip, models, options.observed) for clip in pairs]
    draw(options.output, rows, observed=options.observed)
    print(f"wrote {options.output} ({options.output.stat().st_size / 1e3:.0f} kB)")


def predictions(
    video: np.ndarray, truth: np.ndarray, models: Mapping[str, stiid.Model], observed: int
) -> dict[str, np.ndarray]:
    """Predict the rest of a clip from its first frames.

    Args:
      video: uint8 [T, H, W, C].
      truth: integers [T, H, W], 0 is the background.
      models: by name; the masks of the first one also move on in a line.
      observed: how many frames are given.

    Returns:
      What is at each pixel by each prediction, integers [T, H, W], named as in ``truth``.
    """
    count, found = len(video) - observed, {TRUTH: truth}
    for name, model in models.items():
        masks = model.predict(video[:observed], num_frames=count).masks
        found[name] = named_as(truth, masks.argmax(1), observed)
    slots = found[next(iter(models))][:observed]
    frames = video[:observed] / np.float32(255.0)
    line = move_on(slots, frames, num_slots=int(slots.max()) + 1, count=count)
    return {**found, LINE: np.concatenate([slots, line.slots])}


def named_as(truth: np.ndarray, slots: np.ndarray, observed: int) -> np.ndarray:
    """Rename slots [T, H, W] to the objects that they show most of in the observed frames.

    Objects and slots are matched one to one; other slots get the numbers after the objects.
    """
    objects, count = int(truth.max()) + 1, int(slots.max()) + 1
    pairs = truth[:observed].astype(np.int64) * count + slots[:observed]
    overlap = np.bincount(pairs.ravel(), minlength=objects * count).reshape(objects, count)
    names = objects + np.arange(count)
    matched, of_slot = linear_sum_assignment(-overlap)
    names[of_slot] = matched
    return names[slots]


def draw(output: Path, rows: Sequence[Mapping[str, np.ndarray]], *, observed: int) -> None:
    """Draw clips as rows, and predictions as columns.

    Args:
      output: PNG file.
      rows: of each clip, the results of ``predictions``.
      observed: paths begin in the last observed frame.
    """
    size = (_INCHES * len(rows[0]), _INCHES * len(rows) + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for axes, name in zip(grid[0], rows[0], strict=True):
        axes.set_title(name, fontsize=10)
    for tiles, row in zip(grid, rows, strict=True):
        for axes, ids in zip(tiles, row.values(), strict=True):
            _draw_tile(axes, ids[observed - 1 :])
    with atomic_path(output) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})


def _draw_tile(axes: Axes, ids: np.ndarray) -> None:
    """Draw the last frame of integers [T, H, W], and the way of each object to it."""
    last = ids[-1]
    axes.imshow(np.where((last == 0)[..., None], _GROUND, colorize(last)))
    for name, path in _paths(ids):
        color = PALETTE[name % len(PALETTE)] / 255
        axes.plot(*path.T, color="white", linewidth=2.6)
        axes.plot(*path.T, color=color, linewidth=1.4)
        axes.plot(*path[0], marker="o", markersize=4, color=color, markeredgecolor="white")
    height, width = last.shape
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])


def _paths(ids: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Number and centroids [T, 2] of each object that is there in the first frame; else NaN."""
    count, corner, pixel = int(ids.max()) + 1, np.full(2, -0.5), np.ones(2)
    places = [slot_places(one, num_slots=count, origin=corner, scale=pixel) for one in ids]
    for name in range(1, count):
        path = np.array([(frame[name].x, frame[name].y) for frame in places])
        if not np.isnan(path[0]).any():
            yield name, path


if __name__ == "__main__":
    main()
