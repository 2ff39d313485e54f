"""R-NEM and its ablations on binary Bouncing Balls (van Steenkiste et al., ICLR 2018).

    python -m stiid.main --config=configs/rnem.py:quick --workdir=runs/rnem_quick
    python -m stiid.main --config=configs/rnem.py:r_nem --workdir=runs/rnem
    python -m stiid.main --config=configs/rnem.py:r_nem --workdir=runs/rnem --mode=eval \
        --config.evaluate.split=test --config.evaluate.clips=0
    python -m experiments.baselines --workdir=runs/rnem --output=runs/rnem/baselines.json

Variants: ``r_nem``, ``r_nem_no_attention`` and ``rnn_em`` at the original's size: 4 balls at 64×64,
clips of 31 frames, batch 64, Adam 1e-3 for at most 500 epochs of 50,000 clips, until the loss of
the first 1,000 validation clips has not improved for 10 epochs. Hardware: one GPU; not measured by
us. ``quick`` is ``r_nem`` in small, on 3 balls at 24×24: 17 minutes on two shared CPU cores;
F-ARI .58 over 20 frames (the untrained copy: .01; experiments/results/rnem_quick.json).
``small`` is the same on the data of ``bouncing_balls.py:small_binary``.

Expected at 64×64, from the paper of this package (with the original's released models): F-ARI .63,
.73, .77, .79 at 10, 20, 30, 40 frames.
"""

from ml_collections import ConfigDict

from configs import bouncing_balls

_CELLS = ("r_nem", "r_nem_no_attention", "rnn_em")
VARIANTS = (*_CELLS, "quick", "small")

_EPOCH = 50_000 // 64


def get_config(variant: str = "r_nem") -> ConfigDict:
    """The experiment of a variant, one of ``VARIANTS``."""
    if variant not in VARIANTS:
        raise ValueError(f"configs/rnem.py: expected one of {VARIANTS}, got {variant!r}")
    config = _paper_config()
    if variant in _CELLS:
        config.model.cell = variant
    else:
        _make_quick(config)
    if variant == "small":
        _make_small(config)
    return config


def _paper_config() -> ConfigDict:
    config = bouncing_balls.get_config("binary")
    with config.unlocked():
        config.data.max_frames = 31
        config.model = {
            "family": "rnem",
            "num_slots": 5,
            "cell": "r_nem",
            "features": (16, 32, 64),
            "hidden": 512,
            "state_size": 250,
            "attention_features": 100,
            "flip_probability": 0.2,
            "inter_weight": 1.0,
        }
        config.optim.update(
            learning_rate=1e-3,
            final_learning_rate=1e-3,
            clip_norm=1e30,  # the original does not clip
        )
        sizes = {"num_frames": 31, "batch_size": 64, "micro_batches": 1}
        config.train.stages = {
            "stage_0": {"steps": 500 * _EPOCH, **sizes, "model": {}, "optim": {}}
        }
        config.train.stagnation.update(window=0, min_improvement=0.0, collapse_kl=0.0, patience=10)
        config.train.update(eval_every=_EPOCH, checkpoint_every=_EPOCH, best_metric="f_ari_frame")
        config.evaluate.update(clips=1000, batch_size=40, noise="all")
        config.predict.num_observed = 31
    return config


def _make_quick(config: ConfigDict) -> None:
    """Three balls at 24×24, narrow layers, clips of 10 frames."""
    config.data.max_frames = 30
    config.data.options.update(
        num_balls=(3,),
        box=10.0,
        radii=(1.0, 1.25, 1.5),
        masses=(1.0, 1.0, 1.0),
        speed=0.87,
        resolution=24,
        frames=30,
        train=4000,
        validation=64,
        test=256,
    )
    config.model.update(
        num_slots=4, features=(8, 16, 32), hidden=256, state_size=128, attention_features=64
    )
    config.train.stages.stage_0.update(steps=2500, num_frames=10, batch_size=16)
    config.train.stages.stage_0.optim = {"final_learning_rate": 1e-4}
    config.train.update(log_every=50, eval_every=500, checkpoint_every=500)
    config.evaluate.update(clips=64, batch_size=32, lengths=(10, 20), num_slots=4)
    config.predict.update(clips=4, num_observed=20, num_simulated=10)


def _make_small(config: ConfigDict) -> None:
    """Four balls at 32×32, clips of 20 frames."""
    small = bouncing_balls.get_config("small_binary")
    config.data = small.data
    config.model.num_slots = 5
    config.train.stages.stage_0.num_frames = 20
    config.evaluate.update(clips=128, lengths=small.evaluate.lengths, num_slots=5)
    config.predict = small.predict
