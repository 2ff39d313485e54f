"""Compare how fast prepared clips are read with how fast the training step consumes them.

    python -m experiments.benchmarks.read_speed [--configs quickstart own_video …] [--rows 2]

For each config: clips per second of its training pipeline (first stage), and clips per second of
one device that only computes the loss and its gradient, on the same machine. Data that are not
available are replaced by files of the same format: noise with moving rectangles in an AVI of
720x480, balls in mp4 files of 96x96, solids in CLEVRER's layout, balls in R-NEM's, in the three
ways in which an HDF5 file may lie on the disk.
"""

import argparse
import contextlib
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import h5py
import jax
import numpy as np

from experiments.benchmarks.updates import named_config
from stiid.config.experiment import Experiment
from stiid.data import registry
from stiid.data.balls.bouncing_balls import BallsSpec, clips
from stiid.data.balls.r_nem_writer import write_r_nem
from stiid.data.pipeline import train_iterator
from stiid.data.solids.writer import ClevrerLayout, write_clevrer
from stiid.media import write_mp4
from stiid.typed_config import parse

CONFIGS = ("quickstart", "rnem_files", "own_video", "grand_central", "clevrer")
LAYOUTS: dict[str, dict[str, Any]] = {
    "one chunk a clip, gzip": {},
    "contiguous": {"chunks": None},
    "chunks chosen by h5py, gzip": {"chunks": True, "compression": "gzip"},
}
SECONDS = 4.0


def write_station(path: Path, *, frames: int = 2500) -> None:
    rng = np.random.default_rng(0)
    background = rng.integers(100, 140, (480, 720, 3), np.uint8)
    start, step = rng.random((60, 2)) * (720, 480), rng.normal(size=(60, 2)) * 1.5
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = (
            720,
            480,
            "yuv420p",
            3_000_000,
        )
        for t in range(frames):
            frame = background.copy()
            for x, y in ((start + step * t) % (700, 450)).astype(int):
                frame[y : y + 24, x : x + 12] = (x % 256, y % 256, 80)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def copy_layout(source: Path, target: Path, **layout: Any) -> None:
    """The same HDF5 file with its datasets stored in another way."""
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        for group in old.values():
            for name, item in group.items():
                new.create_dataset(f"{group.name}/{name}", data=item[()], **layout)


def small_data(name: str, folder: Path) -> dict[str, dict[str, Any]]:
    """Options of a config's data here."""
    if name == "quickstart":
        return {"": {"train": 500, "validation": 1, "test": 0}}
    if name == "own_video":
        spec = BallsSpec(resolution=96, frames=200, colors="unique4", train=6)
        for i, clip in enumerate(clips(spec, "train")):
            (folder / "videos").mkdir(exist_ok=True)
            write_mp4(folder / "videos" / f"{i}.mp4", clip["video"], fps=25)
        return {"": {"path": str(folder / "videos")}}
    if name == "clevrer":
        write_clevrer(folder / "clevrer", ClevrerLayout(train=8, validation=0))
        return {"": {"path": str(folder / "clevrer"), "validation": 1}}
    if name == "grand_central":
        write_station(folder / "station.avi")
        return {"": {"path": str(folder / "station.avi")}}
    write_r_nem(folder / "0.h5", BallsSpec(train=500, validation=1, test=0), curtain=False)
    for i, layout in enumerate(LAYOUTS.values()):
        if i:
            copy_layout(folder / "0.h5", folder / f"{i}.h5", **layout)
    return {name: {"path": str(folder / f"{i}.h5")} for i, name in enumerate(LAYOUTS)}


def rate(batches: Iterator[Any], rows: int) -> float:
    """Clips per second, after the first batch."""
    next(batches)
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        next(batches)
        count += rows
    return count / (time.perf_counter() - started)


def read_rate(experiment: Experiment, data_dir: str) -> float:
    data, stage = experiment.data, experiment.train.stages["stage_0"]
    source = registry.load(data.name, "train", data_dir=data_dir, **data.options)
    batches = train_iterator(
        source,
        batch_size=stage.batch_size,
        num_frames=stage.num_frames,
        max_frames=data.max_frames,
        seed=0,
    )
    return rate(batches, stage.batch_size)


def step_rate(experiment: Experiment, rows: int) -> float:
    view = registry.view(experiment.data.name, **experiment.data.options)
    shape = (view.height, view.width, view.channels)
    system = experiment.at_stage("stage_0").model.build(shape)
    frames = experiment.train.stages["stage_0"].num_frames
    video = np.random.default_rng(0).integers(0, 256, (rows, frames, *shape), np.uint8)
    keys = jax.random.split(jax.random.key(0), rows)
    params = jax.jit(system.init)(jax.random.key(0))
    gradient = jax.jit(jax.grad(lambda p: system.loss(p, video, keys).total.mean()))

    def steps() -> Iterator[Any]:
        while True:
            yield jax.block_until_ready(gradient(params))

    return rate(steps(), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configs", nargs="+", default=CONFIGS, choices=CONFIGS)
    parser.add_argument("--rows", type=int, default=2, help="clips on the device at a time")
    arguments = parser.parse_args()
    print(f"{'config':>14} {'read clips/s':>13} {'step clips/s':>13} {'ratio':>8}")
    for name in arguments.configs:
        config = named_config(name).to_dict()
        consumed = None
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(None):
            cases = small_data(name, Path(folder))
            lines = []
            for case, options in cases.items():
                config["data"]["options"] = {**config["data"]["options"], **options}
                experiment = parse(Experiment, config)
                read = read_rate(experiment, folder)
                consumed = consumed or step_rate(experiment, arguments.rows)
                lines.append(
                    f"{name:>14} {read:13.1f} {consumed:13.2f} {read / consumed:8.0f}  {case}"
                )
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
