"""Your own videos with the recipe of ``configs/quickstart.py``, on two CPU cores.

    python -m stiid.main --config=configs/own_video.py:fast --workdir=runs/mine \
        --config.data.options.path=FOLDER
    python -m stiid.main --workdir=runs/mine --mode=decompose --input=VIDEO

FOLDER holds video files, folders of images, or arrays (.npy, .npz); it may be a single video. The
variant ``fast`` is for a first try: 32×32 pixels and about half the updates of the quickstart,
about 15 minutes on two cores; ``default`` has 64×64 pixels and takes about two hours.

What to adapt first: ``model.num_slots`` (objects and background), ``stride`` (objects should move
by a few pixels from frame to frame), ``crop`` (left, top, width, height), ``frames`` of a clip. For
videos that are not square, the middle is used; ``aspect="letterbox"`` uses all, between black bars.
If objects differ little from the background, lower ``model.inference.variance``; a warning says so.
With true masks (``masks``, see ``OwnVideoSpec``), set ``train.best_metric`` to "f_ari". The model
separates objects that move over a plain background; it is not for textured scenes.
"""

from typing import Any

from configs import quickstart
from stiid.config import extend

VARIANTS = ("default", "fast")


def get_config(variant: str = "default") -> dict[str, Any]:
    """The experiment of a variant, one of ``VARIANTS``."""
    if variant not in VARIANTS:
        raise ValueError(f"configs/own_video.py: expected one of {VARIANTS}, got {variant!r}")
    config = extend(
        "quickstart",
        data={"name": "own_video", "max_frames": 0},
        model={"num_slots": 6},
        train={"best_metric": "mse"},  # videos have no true masks
        evaluate={"clips": 64, "batch_size": 8, "lengths": ()},
    )
    if variant == "default":
        return config
    return extend(
        config,
        data={"options": {"height": 32, "width": 32}},
        model={"num_slots": 5},
        train={
            "stages": [
                {**quickstart.SINGLE_FRAMES, "steps": 700},
                quickstart.clips(5, 500, optim={"final_learning_rate": 1e-4}),
            ],
            "eval_every": 300,
        },
        evaluate={"clips": 16, "restarts": 4},
    )
