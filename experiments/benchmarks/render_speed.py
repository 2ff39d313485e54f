"""Measure how fast the substitute for CLEVRER is rendered on one core, in frames and videos.

    python -m experiments.benchmarks.render_speed [--clips 12]

CPU time of this process is measured, not wall time, so that other work on the machine disturbs
less; hyper-threads on the same core still slow it down.
"""

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from stiid.data.solids.clips import RenderedSpec, clips, make_motion
from stiid.data.solids.writer import FRAMES, ClevrerLayout, write_clevrer


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=12, help="of 128 frames")
    count = parser.parse_args().clips

    def move() -> None:
        for index in range(count):
            make_motion(RenderedSpec(), "train", index, frames=FRAMES, seed=0)

    print(f"{'motion alone':>24} {count * FRAMES / seconds(move):8.0f} frames/s")
    for height, width in ((64, 64), (64, 96), (128, 128)):
        spec = RenderedSpec(height=height, width=width, frames=FRAMES, train=count)
        list(clips(spec, "train", stop=1))  # casts the view's rays
        rate = count * FRAMES / seconds(lambda spec=spec: list(clips(spec, "train")))
        print(f"{f'clips of {width}x{height}':>24} {rate:8.0f} frames/s")
    videos = max(1, count // 4)
    for proposals, what in ((0, "mp4 and annotation"), (1, "and proposals")):
        layout = ClevrerLayout(train=videos, validation=0, proposals=proposals)
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            took = seconds(lambda path=Path(folder) / "out", of=layout: write_clevrer(path, of))
        print(f"{what:>24} {videos / took:8.2f} videos/s")


if __name__ == "__main__":
    main()
