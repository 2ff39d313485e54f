"""Your own videos with the recipe of ``configs/masks.py``, on two CPU cores.

    python -m stiid.main --config=configs/own_video.py:fast --workdir=runs/mine \
        --config.data.options.path=FOLDER
    python -m stiid.main --workdir=runs/mine --mode=decompose --input=VIDEO

FOLDER holds video files, folders of images, or arrays (.npy, .npz); it may be a single video. The
variant ``fast`` is for a first try: 32×32 pixels and less than half the updates, about five minutes
on two cores; ``default`` has 64×64 pixels and takes about two hours.

What to adapt first: ``model.num_slots`` (objects, background, and a spare one), ``stride`` (objects
should move by a few pixels from frame to frame), ``frames`` of a clip (at least 4), ``crop`` (left,
top, width, height). For videos that are not square, the middle is used; ``aspect="letterbox"`` uses
all, between black bars. If objects differ little from the background, lower
``model.inference.variance``; a warning says so.

True masks serve for scores only: an .npz file has them beside the video, under the name "masks";
those of video files are folders of images (``masks``, see ``OwnVideoSpec``). With them, set
``train.best_metric`` to "f_ari".

Slots start from colors that differ from the frame's most frequent one, and each slot shows one
color. The model separates objects that move over a plain background; it is not for textured scenes.
It does not simulate: predictions repeat the last frame (see ``configs/masks.py``).
"""

from typing import Any

from configs import masks, quickstart
from stiid.config import extend

VARIANTS = ("default", "fast")


def get_config(variant: str = "default") -> dict[str, Any]:
    """The experiment of a variant, one of ``VARIANTS``."""
    if variant not in VARIANTS:
        raise ValueError(f"configs/own_video.py: expected one of {VARIANTS}, got {variant!r}")
    config = extend(
        "masks:quick",
        data={"name": "own_video", "max_frames": 0, "options": {"frames": 10}},
        model={"num_slots": 6},
        train={"best_metric": "mse"},  # videos have no true masks
        evaluate={"batch_size": 8, "lengths": ()},
        predict={"num_observed": 5, "num_simulated": 5},
    )
    if variant == "default":
        return config
    return extend(
        config,
        data={"options": {"height": 32, "width": 32}},
        train={
            "stages": [
                {**masks.SINGLE_FRAMES, "steps": 500},
                quickstart.clips(4, 200, optim={"final_learning_rate": 1e-4}),
            ],
            "eval_every": 500,
        },
        evaluate={"clips": 16},
    )
