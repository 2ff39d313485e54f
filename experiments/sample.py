"""Make the package's clip, ``stiid://sample``: four colored balls, simulated.

    python -m experiments.sample [--output=FILE.mp4]

It has the law of motion of the data of ``stiid://small_color``, which was not trained on it
(another seed). It is rendered eight times as large and reduced to half of that, so that edges are
smooth, as in a real video.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from stiid.data.balls.bouncing_balls import BallsSpec, clips
from stiid.data.video.frames import SAMPLE_FILE
from stiid.media import write_mp4
from stiid.training.locate import find_model
from stiid.training.restore import stored_experiment

_SEED, _FRAMES, _FPS, _TIMES = 2, 40, 10, 8


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=SAMPLE_FILE)
    path = parser.parse_args(argv).output
    options = dict(stored_experiment(*find_model("small_color")).data.options)
    side = _TIMES * options["resolution"]
    options |= {"resolution": side, "frames": _FRAMES, "seed": _SEED}
    video = next(clips(BallsSpec(**options), "test", stop=1))["video"]
    small = [Image.fromarray(frame).reduce(2) for frame in video]
    write_mp4(path, np.stack([np.asarray(frame) for frame in small]), fps=_FPS)
    print(f"wrote {path} ({path.stat().st_size / 1e3:.0f} kB)")


if __name__ == "__main__":
    main()
