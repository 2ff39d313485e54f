"""SAVi, slot attention for video (Kipf et al., ICLR 2022).

    python -m stiid.main --config=configs/savi.py:quick --workdir=runs/savi_quick
    python -m stiid.main --config=configs/savi.py:quick --workdir=runs/savi_quick --mode=predict
    python -m stiid.main --config=configs/savi.py:color --workdir=runs/savi_color

Variants: ``binary`` and ``color`` have the original's small model (SAVi-S, 64×64) and its training:
windows of 6 frames, batch 64, 100,000 updates of Adam, 2,500 of them a warm-up to 2e-4, then a
cosine to zero; gradients are clipped to a norm of 0.05. The data are those of
``bouncing_balls.py``; ``clevrer`` is the same on those of ``clevrer.py``. Hardware: 8 GPUs; not
measured by us.

For two CPU cores: ``quick`` on the data of ``quickstart.py``, ``small_binary`` and ``small_color``
on those of the variants of ``bouncing_balls.py`` with that name, ``clevrer_small`` on those of
``clevrer.py:small``. They have narrow layers of 3×3, three iterations of slot attention in the
first frame, and a rate five times as high.

The original starts from the true boxes of the first frame and reconstructs optical flow. Here slots
start from samples of one learned Gaussian, without labels, as all others do, and frames are
reconstructed, since these data have no flow. ``quick_boxes`` is ``quick`` with true boxes, at test
too; ``--config.model.start=boxes`` (or ``centers``) does it elsewhere.
"""

from typing import Any

from configs import bouncing_balls, clevrer, quickstart
from stiid.config import extend

_SMALL = {
    "quick": (4, 4000),
    "small_binary": (5, 12_000),
    "small_color": (5, 12_000),
    "clevrer_small": (6, 6000),
}  # slots, updates
VARIANTS = ("binary", "color", "clevrer", *_SMALL, "quick_boxes")


def get_config(variant: str = "color") -> dict[str, Any]:
    """The experiment of a variant, one of ``VARIANTS``."""
    if variant not in VARIANTS:
        raise ValueError(f"configs/savi.py: expected one of {VARIANTS}, got {variant!r}")
    if variant == "quick_boxes":
        return extend(get_config("quick"), model={"start": "boxes"})
    if variant in _SMALL:
        return _small(variant)
    of_clevrer = variant == "clevrer"
    base = clevrer.get_config() if of_clevrer else bouncing_balls.get_config(variant)
    return _with_data_of(base, num_slots=6 if of_clevrer else 5, clips=base.get("evaluate", {}))


def _with_data_of(base: dict[str, Any], *, num_slots: int, clips: dict[str, Any]) -> dict[str, Any]:
    """The original's model and training."""
    return {
        "data": base["data"],
        "model": {"family": "savi", "num_slots": num_slots},
        "optim": {
            "learning_rate": 2e-4,
            "final_learning_rate": 0.0,
            "warmup_steps": 2500,
            "clip_norm": 0.05,
        },
        "train": {
            "stages": [{"steps": 100_000, "num_frames": 6, "batch_size": 64}],
            # the stage runs its length
            "stagnation": {"window": 0, "min_improvement": 0.0, "collapse_kl": 0.0},
        },
        "evaluate": {name: clips[name] for name in ("clips", "batch_size") if name in clips},
    }


def _small(variant: str) -> dict[str, Any]:
    """Narrow layers, and data, evaluation and logs of the small configs of our model."""
    num_slots, steps = _SMALL[variant]
    if variant == "quick":
        base = quickstart.get_config()
    elif variant == "clevrer_small":
        base = clevrer.get_config("small")
    else:
        base = bouncing_balls.get_config(variant)
    config = extend(
        _with_data_of(base, num_slots=num_slots, clips={}),
        model={
            # smaller
            "slot_size": 64,
            "kernel_size": 3,
            "encoder_features": (32, 32, 32),
            "encoder_strides": (1, 1, 1),
            "predictor_mlp": 128,
            "decoder_features": (32, 32),
            "doublings": 2,
            # slots part sooner
            "first_iterations": 3,
        },
        optim={"learning_rate": 1e-3, "warmup_steps": 200},
        train={
            "stages": [{"steps": steps, "num_frames": 6, "batch_size": 8, "micro_batches": 8}],
            # logging
            "log_every": 20,
            "eval_every": 1000,
            "checkpoint_every": 500,
        },
        evaluate={
            "clips": base["evaluate"]["clips"],
            "batch_size": base["evaluate"]["batch_size"],
            "lengths": base["evaluate"]["lengths"],
        },
    )
    return extend(config, predict=base["predict"]) if "predict" in base else config
