"""R-NEM and its ablations on binary Bouncing Balls (van Steenkiste et al., ICLR 2018).

    python -m stiid.main --config=configs/rnem.py:quick --workdir=runs/rnem_quick
    python -m stiid.main --config=configs/rnem.py:r_nem --workdir=runs/rnem
    python -m stiid.main --config=configs/rnem.py:r_nem --workdir=runs/rnem --mode=eval \
        --config.evaluate.split=test --config.evaluate.clips=0
    python -m experiments.baselines --workdir=runs/rnem --output=runs/rnem/baselines.json

Variants: ``r_nem``, ``r_nem_no_attention`` and ``rnn_em`` at the original's size: 4 balls at 64×64,
clips of 31 frames, batch 64, Adam 1e-3 for at most 500 epochs of 50,000 clips, until the loss of
the first 1,000 validation clips has not improved for 10 epochs. Hardware: one GPU; not measured by
us. ``quick`` is a small ``r_nem`` for 3 balls at 24×24: 17 minutes on two shared CPU cores;
F-ARI .58 over 20 frames (untrained: .01; experiments/results/rnem_quick.json).
``small`` is the same on the data of ``bouncing_balls.py:small_binary``.

Expected at 64×64, from the paper that this package implements (with R-NEM's released models): F-ARI
.63, .73, .77, .79 at 10, 20, 30, 40 frames.
"""

from typing import Any

from configs.released import small_balls
from stiid.config import extend

_CELLS = ("r_nem", "r_nem_no_attention", "rnn_em")
VARIANTS = (*_CELLS, "quick", "small")

_EPOCH = 50_000 // 64


def get_config(variant: str = "r_nem") -> dict[str, Any]:
    """The experiment of a variant, one of ``VARIANTS``."""
    if variant not in VARIANTS:
        raise ValueError(f"configs/rnem.py: expected one of {VARIANTS}, got {variant!r}")
    if variant in _CELLS:
        return extend(_original(), model={"cell": variant})
    return _small() if variant == "small" else _quick()


def _original() -> dict[str, Any]:
    return {
        "data": {"name": "bouncing_balls", "max_frames": 31},
        "model": {"family": "rnem"},
        "optim": {
            "learning_rate": 1e-3,
            "final_learning_rate": 1e-3,
            "clip_norm": 1e30,  # the original does not clip
        },
        "train": {
            "stages": [{"steps": 500 * _EPOCH, "num_frames": 31, "batch_size": 64}],
            "stagnation": {
                "window": 0,
                "min_improvement": 0.0,
                "collapse_kl": 0.0,
                "patience": 10,
            },
            "eval_every": _EPOCH,
            "checkpoint_every": _EPOCH,
            "best_metric": "f_ari_frame",
        },
        "evaluate": {"clips": 1000, "batch_size": 40, "noise": "all"},
        "predict": {"num_observed": 31},
    }


def _quick() -> dict[str, Any]:
    """The quickstart's balls, narrow layers, clips of 10 frames."""
    config = extend(
        _original(),
        model={
            "num_slots": 4,
            "features": (8, 16, 32),
            "hidden": 256,
            "state_size": 128,
            "attention_features": 64,
        },
        train={"eval_every": 500, "checkpoint_every": 500},
        evaluate={"clips": 64, "batch_size": 32, "lengths": (10, 20)},
        predict={"clips": 4, "num_observed": 20},
    )
    config["data"] = extend("quickstart")["data"]
    config["data"]["max_frames"] = 30
    config["data"]["options"] |= {"colors": "binary", "validation": 64}
    return _with_stage(config, num_frames=10)


def _small() -> dict[str, Any]:
    """Four balls at 32×32, clips of 20 frames."""
    config = extend(
        _quick(), model={"num_slots": 5}, evaluate={"clips": 128, "lengths": (10, 20, 30, 40)}
    )
    del config["predict"]
    config["data"] = small_balls.binary()["data"]
    return _with_stage(config, num_frames=20)


def _with_stage(config: dict[str, Any], *, num_frames: int) -> dict[str, Any]:
    stage = {"steps": 2500, "num_frames": num_frames, "batch_size": 16}
    return extend(config, train={"stages": [{**stage, "optim": {"final_learning_rate": 1e-4}}]})
