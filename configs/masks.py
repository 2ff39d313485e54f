"""One object per mask, from one noise sample, after minutes of training on two CPU cores.

Hardware: 2 CPU cores, no GPU. Time: 12 minutes of CPU time (``quick``).
Expected of ``quick``, at 10 and at 20 frames: ARI 1.00, F-ARI 1.00, and every ball in a slot of its
own (experiments/lab_notes.md).

    python -m stiid.main --config=configs/masks.py:quick --workdir=runs/masks_quick

Such a model repeats the last frame when it simulates, until it is taught how its slots move, within
half an hour; all parameters but those of its relational prior (stiid/nn/relational.py) stay as they
are, and the folder holds both:

    python -m experiments.relational_prior runs/masks_quick --output=runs/masks_quick_simulates \
        --mirrored --num_frames=30

Variants: ``quick`` on the data of ``quickstart.py``; ``small_binary`` and ``small_color`` on those
of ``bouncing_balls.py``. Not in the paper: a slot shows one color (``appearance``), so that it
cannot show a ball and the background; slots start from pixels of the frame (``posterior_start``)
and learn to reproduce them (``objective.seeds``). In such plain scenes, color and place alone
nearly separate the objects; the model learns to decode them, to correct the masks, and to keep each
object in its slot.
"""

from typing import Any

from configs import quickstart
from stiid.config import extend

VARIANTS = ("quick", "small_binary", "small_color")
SINGLE_FRAMES: dict[str, Any] = {
    **quickstart.SINGLE_FRAMES,
    "steps": 1000,
    "model": {},
    "optim": {"learning_rate": 2e-3, "final_learning_rate": 1e-3},
}
# Single frames, then clips.
_STAGES = [
    SINGLE_FRAMES,
    quickstart.clips(4, 600, optim={"final_learning_rate": 3e-4}),
    quickstart.clips(4, 200, optim={"learning_rate": 3e-4, "final_learning_rate": 3e-5}),
]


def get_config(variant: str = "quick") -> dict[str, Any]:
    """The experiment of a variant, one of ``VARIANTS``."""
    if variant not in VARIANTS:
        raise ValueError(f"configs/masks.py: expected one of {VARIANTS}, got {variant!r}")
    quick = variant == "quick"
    config = extend(
        "quickstart" if quick else f"bouncing_balls:{variant}",
        model={
            # one more than objects and background; it learns to stay empty
            "num_slots": 5 if quick else 6,
            "inference": {
                "appearance": "mean",
                "posterior_start": "seeds",
                # two refinements in every frame
                "refinements": 2,
                "grid": "full",
                "gradient_skip": 0.05,
                # small enough that one black slot for all costs more than colors with vague masks
                "variance": 0.09,
                "mixture": "pixel",
                "residual_prior": True,
                "result_masks": "posterior",
                # taught afterwards, see above
                "simulation_start": "relational",
            },
            "objective": {"beta": 10.0, "psi": 0.1, "gamma": 0.0, "seeds": 1.0},
        },
        train={"stages": _STAGES},
        evaluate={"clips": 64, "restarts": 1, "restart_frames": 1},
    )
    config["evaluate"]["model"] = {}
    return config
