"""Measure how many videos in CLEVRER's format are prepared per second, on one core.

    python -m experiments.benchmarks.prepare_speed [--path FOLDER] [--videos 24]

Without a folder, a substitute is rendered first, which takes a few seconds per video. CPU time of
one core is measured, so that other work on the machine disturbs less.
"""

import argparse
import contextlib
import io
import os
import tempfile
import time
from pathlib import Path

from stiid.data import registry
from stiid.data.solids.writer import ClevrerLayout, write_clevrer

CASES = {
    "train": {"split": "train"},
    "train, with masks": {"split": "train", "train_masks": "annotations"},
    "test": {"split": "test", "objects": (3, 4, 5, 6)},
    "test, proposals": {"split": "test", "objects": (3, 4, 5, 6), "masks": "proposals"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--path", default="", help="folder of CLEVRER's files, with proposals")
    parser.add_argument("--videos", type=int, default=24, help="of each split")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.path or f"{folder}/substitute"
        if not arguments.path:
            count = arguments.videos
            layout = ClevrerLayout(train=count, validation=count, proposals=1)
            write_clevrer(Path(path), layout)
        print(
            f"{'':>18} {'videos':>7} {'clips':>6} {'videos/s of a core':>19} {'by the clock':>13}"
        )
        for name, options in CASES.items():
            given = {"path": path, "validation": 0, "limit": arguments.videos, **options}
            split = given.pop("split")
            spec = registry.make_spec("clevrer", **given)
            videos = len(spec.numbers(split, spec.files()))
            processor, clock = time.process_time(), time.perf_counter()
            with contextlib.redirect_stdout(None), contextlib.redirect_stderr(io.StringIO()):
                source = registry.load("clevrer", split, data_dir=folder, **given)
            print(
                f"{name:>18} {videos:7d} {len(source):6d}"
                f" {videos / (time.process_time() - processor):11.1f}"
                f" {videos / (time.perf_counter() - clock):13.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
