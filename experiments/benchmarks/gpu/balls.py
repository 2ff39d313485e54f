"""Four colored balls at 64×64 with the paper's networks, by the recipe of ``configs/masks.py``.

    python -m stiid.main --config=experiments/benchmarks/gpu/balls.py --workdir=runs/balls64

A training that should take a few minutes on a GPU; it was not run yet. Variant ``tiny``: two
updates of small networks, for tests.
"""

from typing import Any

from stiid.config import extend

VARIANTS = ("default", "tiny")
_NETWORKS = {
    "latent_size": 64,
    "decoder": {"features": 64, "mlp_features": 128, "kernel_size": 3},
    "refiner": {
        **{"features": 64, "layers": 4, "stride": 1, "pool": "average"},
        **{"hidden": 128, "lstm_features": 128},
    },
}
_CLIPS = {"frames": 24, "train": 2000, "validation": 64, "test": 2}  # made within a minute
_TINY = {
    "latent_size": 8,
    "decoder": {"features": 8, "layers": 2, "mlp_features": 8},
    "refiner": {"features": 8, "layers": 2, "hidden": 8, "lstm_features": 8},
    "inference": {"refinements": 1},
}


def get_config(variant: str = "default") -> dict[str, Any]:
    """The experiment of a variant, one of ``VARIANTS``."""
    if variant not in VARIANTS:
        raise ValueError(f"balls.py: expected one of {VARIANTS}, got {variant!r}")
    tiny = variant == "tiny"
    config = extend(
        "masks:small_color",
        data={"max_frames": 20, "options": {"resolution": 16 if tiny else 64, **_CLIPS}},
        model=_TINY if tiny else _NETWORKS,
        evaluate={"clips": 64, "batch_size": 32, "lengths": (10, 20)},
        train={"log_every": 20, "eval_every": 1000, "checkpoint_every": 500},
    )
    stages = config["train"]["stages"]
    for stage in stages.values():  # half as many updates of twice as many clips
        stage |= {"batch_size": 16, "micro_batches": 1, "steps": stage["steps"] // 2}
    if tiny:
        config = extend(
            config,
            data={"options": {"train": 16, "validation": 2, "test": 2}},
            evaluate={"clips": 2, "batch_size": 2, "lengths": (2,)},
            train={"log_every": 1},
        )
        first = stages["stage_0"] | {"batch_size": 2, "steps": 2}
        config["train"]["stages"] = {"stage_0": first}
    return config
