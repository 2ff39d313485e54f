"""DDPAE on its own bouncing balls, binary and of equal mass (Hsieh et al., NeurIPS 2018).

    python -m stiid.main --config=configs/ddpae.py:quick --workdir=runs/ddpae_quick
    python -m stiid.main --config=configs/ddpae.py:quick --workdir=runs/ddpae_quick --mode=predict
    python -m stiid.main --config=configs/ddpae.py:balls --workdir=runs/ddpae

Variants: ``balls`` is the original's setting: 128×128, 4 balls, 10 frames given and 10 predicted,
batch 104 (100, made a multiple of 8 devices), 200,000 updates of Adam (β₁ = 0.5) at 1e-3, then 1e-4
from the middle on. Hardware: one GPU; not measured by us. ``quick`` is a small
version with 2 balls at 32×32: 11 minutes on two shared CPU cores; the MSE of predicted frames is
.05, that of the untrained model .27 (experiments/results/ddpae_quick.json). For a comparison on
equal data, ``binary`` and ``small_binary`` have the data of these variants of
``bouncing_balls.py``, and 10 of 15 frames given; their prior of the scale is ours.

Batch norm uses the statistics of a device's part of the batch, or of each micro-batch: two
micro-batches on one device equal two devices.
"""

from typing import Any

from configs import bouncing_balls
from stiid.config import extend

VARIANTS = ("balls", "quick", "binary", "small_binary")


def get_config(variant: str = "balls") -> dict[str, Any]:
    """The experiment of a variant, one of ``VARIANTS``."""
    if variant not in VARIANTS:
        raise ValueError(f"configs/ddpae.py: expected one of {VARIANTS}, got {variant!r}")
    if variant == "quick":
        return _quick()
    if variant == "binary":
        return _with_data_of("binary", _original(num_frames=15), scale=3.5, clips=512)
    if variant == "small_binary":
        return _with_data_of("small_binary", _quick(num_frames=15), scale=3.0, clips=128)
    return _original()


def _original(num_frames: int = 20) -> dict[str, Any]:
    return {
        "data": {
            "name": "bouncing_balls",
            "max_frames": 60,
            "options": {
                "law": "ddpae",
                "box": 800.0,
                "radii": (60.0,),
                "masses": (1.0,),
                "speed": 20.0,
                "micro_steps": 1,
                "resolution": 128,
                "frames": 60,
                "validation": 2_000,
                "test": 2_000,
            },
        },
        "model": {"family": "ddpae"},
        "optim": {
            "learning_rate": 1e-3,
            "final_learning_rate": 1e-3,
            "clip_norm": 1e30,  # the original does not clip
            "beta1": 0.5,
        },
        "train": {
            "stages": _stages(100_000, num_frames=num_frames, batch_size=104),
            "stagnation": {"window": 0, "min_improvement": 0.0, "collapse_kl": 0.0},
        },
        "evaluate": {"batch_size": 32, "lengths": (10,)},
        "predict": {"num_observed": 10},
    }


def _stages(steps: int, **sizes: int) -> list[dict[str, Any]]:
    """Half of the training at the full learning rate, half at a tenth."""
    first = {"steps": steps, **sizes}
    return [first, {**first, "optim": {"learning_rate": 1e-4, "final_learning_rate": 1e-4}}]


def _quick(num_frames: int = 10) -> dict[str, Any]:
    """Two larger, faster balls at 32×32, narrow layers, 6 frames given and 4 predicted."""
    return extend(
        _original(),
        data={
            "max_frames": 30,
            "options": {
                "num_balls": (2,),
                "radii": (100.0,),
                "speed": 40.0,
                "resolution": 32,
                "frames": 30,
                "train": 4000,
                "validation": 64,
                "test": 256,
            },
        },
        model={
            "num_slots": 2,
            "num_observed": 6,
            "frame_code": 64,
            "hidden": 64,
            "content": 32,
            "scale": 3.0,
        },
        train={
            "stages": _stages(1500, num_frames=num_frames, batch_size=16),
            "eval_every": 500,
            "checkpoint_every": 500,
        },
        evaluate={"clips": 64, "lengths": (6,)},
        predict={"clips": 4, "num_observed": 6, "num_simulated": 4},
    )


def _with_data_of(
    variant: str, config: dict[str, Any], *, scale: float, clips: int
) -> dict[str, Any]:
    """The paper's balls: ten frames given, five predicted (Fig. 4)."""
    config["data"] = bouncing_balls.get_config(variant)["data"]
    return extend(
        config,
        model={"num_slots": 4, "num_observed": 10, "scale": scale},
        evaluate={"clips": clips, "lengths": (10,)},
        predict={"num_observed": 10, "num_simulated": 5},
    )
