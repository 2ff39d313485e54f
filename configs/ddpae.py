"""DDPAE on its own bouncing balls, binary and of equal mass (Hsieh et al., NeurIPS 2018).

    python -m stiid.main --config=configs/ddpae.py:quick --workdir=runs/ddpae_quick
    python -m stiid.main --config=configs/ddpae.py:quick --workdir=runs/ddpae_quick --mode=predict
    python -m stiid.main --config=configs/ddpae.py:balls --workdir=runs/ddpae

Variants: ``balls`` is the original's setting: 128×128, 4 balls, 10 frames given and 10 predicted,
batch 104 (100, made a multiple of 8 devices), 200,000 updates of Adam (β₁ = 0.5) at 1e-3, then 1e-4
from the middle on. Hardware: one GPU; not measured by us. ``quick`` is the same in small, on 2
balls at 32×32: 11 minutes on two shared CPU cores; the MSE of predicted frames is .05
instead of the untrained copy's .27 (experiments/results/ddpae_quick.json). For a comparison on
equal data, ``binary`` and ``small_binary`` have those of the variants of ``bouncing_balls.py`` with
that name, and 10 frames given of 15; their prior of the scale is ours.

Batch norm takes the statistics of a device's share of the batch, or of each micro-batch of it: two
micro-batches on one device are what two devices are.
"""

from ml_collections import ConfigDict

from configs import bouncing_balls

_SHARED = {"binary": 3.5, "small_binary": 3.0}  # data, and the prior mean of the scale
VARIANTS = ("balls", "quick", *_SHARED)


def get_config(variant: str = "balls") -> ConfigDict:
    """The experiment of a variant, one of ``VARIANTS``."""
    if variant not in VARIANTS:
        raise ValueError(f"configs/ddpae.py: expected one of {VARIANTS}, got {variant!r}")
    config = _paper_config()
    if variant in ("quick", "small_binary"):
        _make_quick(config)
    if variant in _SHARED:
        _share_data(config, variant)
    return config


def _paper_config() -> ConfigDict:
    config = bouncing_balls.get_config("binary")
    # original: 100; a multiple of 8 devices
    stage = {"num_frames": 20, "batch_size": 104, "micro_batches": 1}
    with config.unlocked():
        config.data.max_frames = 60
        config.data.options.update(
            law="ddpae",
            box=800.0,
            radii=(60.0,),
            masses=(1.0,),
            speed=20.0,
            micro_steps=1,
            resolution=128,
            frames=60,
            validation=2_000,
            test=2_000,
        )
        config.model = {
            "family": "ddpae",
            "num_slots": 4,
            "num_observed": 10,
            "features": 8,
            "frame_code": 256,
            "hidden": 128,
            "content": 128,
            "scale": 4.0,
            "independent": False,
            "scored": "all",
        }
        config.optim.update(
            learning_rate=1e-3,
            final_learning_rate=1e-3,
            clip_norm=1e30,  # the original does not clip
            beta1=0.5,
        )
        config.train.stages = {
            f"stage_{i}": {"steps": 100_000, **stage, "model": {}, "optim": optim}
            for i, optim in enumerate(({}, {"learning_rate": 1e-4, "final_learning_rate": 1e-4}))
        }
        config.train.stagnation.update(window=0, min_improvement=0.0, collapse_kl=0.0)
        config.evaluate.update(batch_size=32, lengths=(10,), num_slots=4)
        config.predict.num_observed = 10
    return config


def _make_quick(config: ConfigDict) -> None:
    """Two larger, faster balls at 32×32, narrow layers, 6 frames given and 4 predicted."""
    config.data.update(max_frames=30)
    config.data.options.update(
        num_balls=(2,),
        radii=(100.0,),
        speed=40.0,
        resolution=32,
        frames=30,
        train=4000,
        validation=64,
        test=256,
    )
    config.model.update(
        num_slots=2, num_observed=6, frame_code=64, hidden=64, content=32, scale=3.0
    )
    for stage in config.train.stages.values():
        stage.update(steps=1500, num_frames=10, batch_size=16)
    config.train.update(log_every=50, eval_every=500, checkpoint_every=500)
    config.evaluate.update(clips=64, batch_size=32, lengths=(6,), num_slots=2)
    config.predict.update(clips=4, num_observed=6, num_simulated=4)


def _share_data(config: ConfigDict, variant: str) -> None:
    """Ten frames of the paper's balls given, five predicted (Fig. 4)."""
    theirs = bouncing_balls.get_config(variant)
    with config.unlocked():
        config.data = theirs.data
        config.model.update(num_slots=4, num_observed=10, scale=_SHARED[variant])
        for stage in config.train.stages.values():
            stage.num_frames = 15
        clips = min(512, theirs.data.options.validation)  # ours, refined more, score fewer
        config.evaluate.update(clips=clips, lengths=(10,), num_slots=4)
        config.predict.update(num_observed=10, num_simulated=5)
