"""SAVi, slot attention for video (Kipf et al., ICLR 2022).

    python -m stiid.main --config=configs/savi.py:quick --workdir=runs/savi_quick
    python -m stiid.main --config=configs/savi.py:quick --workdir=runs/savi_quick --mode=predict
    python -m stiid.main --config=configs/savi.py:color --workdir=runs/savi_color

Variants: ``movi_a`` is the original's small model (SAVi-S, 64×64) on its data, read as in
``movi.py``, with its training: windows of 6 frames, batch 64, 100,000 updates of Adam, 2,500 of
them a warm-up to 2e-4, then a cosine to zero; gradients are clipped to a norm of 0.05. As there,
slots start from the true boxes of the first frame, at test too. The original reconstructs optical
flow, which our source does not give: frames are reconstructed instead, so that its F-ARI (.92 on
MOVi-A) is not to be expected. ``binary`` and ``color`` are the same model and training on the data
of ``bouncing_balls.py``, ``clevrer`` on those of ``clevrer.py``; there, slots start from samples of
one learned Gaussian, without labels, as those of all other models do. Hardware: 8 GPUs; not
measured by us.

For two CPU cores: ``quick`` on the data of ``quickstart.py``, ``small_binary`` and ``small_color``
on those of the variants of ``bouncing_balls.py`` with that name, ``clevrer_small`` on those of
``clevrer.py:small``. They have narrow layers of 3×3, learned slots to start from, three iterations
of slot attention in the first frame, each with a small network, and are trained on single frames
first, at a rate five times as high. ``quick_boxes`` is ``quick`` with true boxes;
``--config.model.start=boxes`` (or ``centers``) does it elsewhere. ``quick`` takes 16 minutes of a
core, F-ARI per clip 0.91 at 10 frames; ``small_binary`` and ``small_color`` an hour each, 0.99 and
1.00 (experiments/lab_notes.md).
"""

from typing import Any

from configs import bouncing_balls, clevrer, movi, quickstart
from stiid.config import extend

# Slots, and updates on single frames and on clips.
_SMALL = {
    "quick": (4, 2000, 1500),
    "small_binary": (5, 4000, 3000),
    "small_color": (5, 4000, 3000),
    "clevrer_small": (6, 2000, 1500),
}
VARIANTS = ("movi_a", "binary", "color", "clevrer", *_SMALL, "quick_boxes")


def get_config(variant: str = "color") -> dict[str, Any]:
    """The experiment of a variant, one of ``VARIANTS``."""
    if variant not in VARIANTS:
        raise ValueError(f"configs/savi.py: expected one of {VARIANTS}, got {variant!r}")
    if variant == "quick_boxes":
        return extend(get_config("quick"), model={"start": "boxes"})
    if variant in _SMALL:
        return _small(variant)
    if variant == "movi_a":
        return extend(
            _with_data_of(movi.get_config("a_64"), num_slots=11), model={"start": "boxes"}
        )
    if variant == "clevrer":
        return _with_data_of(clevrer.get_config(), num_slots=6)
    return _with_data_of(bouncing_balls.get_config(variant), num_slots=5)


def _with_data_of(base: dict[str, Any], *, num_slots: int) -> dict[str, Any]:
    """The original's model and training; data, clips and lengths of another config."""
    evaluate, kept = base.get("evaluate", {}), ("clips", "batch_size", "lengths")
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
        "evaluate": {name: evaluate[name] for name in kept if name in evaluate},
        "predict": base.get("predict", {}),
    }


def _small(variant: str) -> dict[str, Any]:
    """Narrow layers, and data, clips and lengths of the small configs of our model."""
    num_slots, single_frames, clips = _SMALL[variant]
    if variant == "quick":
        base = quickstart.get_config()
    elif variant == "clevrer_small":
        base = clevrer.get_config("small")
    else:
        base = bouncing_balls.get_config(variant)
    return extend(
        _with_data_of(base, num_slots=num_slots),
        model={
            # smaller
            "slot_size": 64,
            "kernel_size": 3,
            "encoder_features": (32, 32, 32),
            "encoder_strides": (1, 1, 1),
            "predictor_mlp": 128,
            "decoder_features": (32, 32),
            "doublings": 2,
            # learns sooner
            "start": "learned",
            "first_iterations": 3,
            "corrector_mlp": 128,
        },
        optim={"learning_rate": 1e-3, "final_learning_rate": 3e-4, "warmup_steps": 200},
        train={
            "stages": [
                {"steps": single_frames, "num_frames": 1, "batch_size": 32},
                {
                    "steps": clips,
                    "num_frames": 6,
                    "batch_size": 8,
                    "micro_batches": 8,
                    "optim": {"learning_rate": 5e-4, "final_learning_rate": 0.0},
                },
            ],
            # logging
            "log_every": 20,
            "eval_every": 1000,
            "checkpoint_every": 500,
        },
    )
