"""Two handwritten digits that bounce in a box: Moving MNIST, on clips that are made while training.

    python -m stiid.main --config=configs/moving_mnist.py:quick --workdir=runs/digits
    python -m stiid.main --config=configs/moving_mnist.py --workdir=runs/moving_mnist \
        --config.data.options.path=train-images-idx3-ubyte.gz
    python -m stiid.main --workdir=runs/moving_mnist --mode=eval --config.evaluate.split=test \
        --config.data.options.published=mnist_test_seq.npy

Without ``path``, the digits are those of scikit-learn (1,797 of 8×8 pixels, enlarged), if it is
installed; with it they are MNIST's. With ``published``, the test split is the published test set of
10,000 clips, otherwise new clips of digits that training does not see. The published clips have no
true masks: their only score is MSE.

Variants: ``default`` is the paper's model and curriculum on clips of up to 20 frames at 64×64;
hardware: 8 GPUs. ``ddpae`` is DDPAE with the original's settings for this data: 10 frames given and
10 predicted, batch 64; hardware: one GPU. ``quick`` is for two CPU cores: 32×32 pixels, with the
recipe of ``masks.py:quick``. None is measured by us. The paper has no such data. Digits are equally
white, and only their places tell them apart: where they overlap, colors do not help.
"""

from typing import Any

from stiid.config import extend

VARIANTS = ("default", "ddpae", "quick")
# Frames, clips in a batch, updates: those of ``stiid.config.curriculum.growing_clips``.
_STAGES = ((4, 32, 60_000), (8, 16, 40_000), (16, 8, 40_000), (20, 8, 30_000))
_DATA = {"name": "moving_digits", "max_frames": 20}
_HALVES = {"num_observed": 10, "num_simulated": 10}


def get_config(variant: str = "default") -> dict[str, Any]:
    """The experiment of a variant, one of ``VARIANTS``."""
    if variant not in VARIANTS:
        raise ValueError(f"configs/moving_mnist.py: expected one of {VARIANTS}, got {variant!r}")
    if variant == "quick":
        return extend(
            "masks:quick",
            data={**_DATA, "options": {"resolution": 32, "validation": 128, "test": 256}},
            model={"num_slots": 4},
        )
    if variant == "ddpae":
        half = {"batch_size": 64, "num_frames": 20, "steps": 100_000}
        later = {"learning_rate": 1e-4, "final_learning_rate": 1e-4}
        return extend(
            "ddpae:balls",
            data=_DATA,
            model={"num_slots": 2, "hidden": 64, "scale": 2.0},
            train={"stages": [half, {**half, "optim": later}]},
            predict=_HALVES,
        )
    return extend(
        "bouncing_balls:binary",
        data=_DATA,
        model={"num_slots": 3},
        train={
            "stages": [
                {"num_frames": frames, "batch_size": batch, "steps": steps}
                for frames, batch, steps in _STAGES
            ]
        },
        evaluate={"lengths": (10, 20)},
        predict=_HALVES,
    )
