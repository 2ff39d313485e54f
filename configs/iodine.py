"""IODINE, frame by frame, and SEQ-IODINE: the PyTorch implementation that the paper compares with.

    python -m stiid.main --config=configs/iodine.py:color --workdir=runs/iodine_color
    python -m stiid.main --config=configs/iodine.py:seq_color --workdir=runs/seq_iodine_color \
        --mode=eval --checkpoint=runs/iodine_color
    python -m stiid.main --config=configs/iodine.py:color --workdir=runs/imported --mode=import \
        --input=iodine.th

Variants: ``binary`` and ``color`` train and test IODINE on 4 balls with 5 slots. ``seq_binary``,
``seq_binary_10`` and ``seq_color`` have the same training, and test its result as SEQ-IODINE: one
refinement a frame, λ and the LSTM's state handed on, frame t scored by the decode in front of its
refinement, from frames < t (``last_decode=True`` scores the one after it). ``seq_binary`` is for
20, 30 and 40 frames, with the clamps of A.3; ``seq_binary_10`` is without, for 10 frames.
``clevrer`` and ``seq_clevrer`` are the same on the data of ``clevrer.py``, with 6 slots.

For two CPU cores: ``quick`` and ``seq_quick`` have data, networks and switches of
``quickstart.py``; ``small_binary`` and ``small_color`` those of the variants of
``bouncing_balls.py`` with that name (three hours of a core), and ``seq_small_binary``,
``seq_small_binary_10`` and ``seq_small_color`` test them as sequences. IODINE has one draw of noise
at test: eight would take eight times the time, since every frame has its own
(``--config.evaluate.restarts=8``). Sequences have eight.

Hardware: 8 GPUs; not measured by us. Expected (the paper, 40 frames, per frame): binary F-ARI .9986
and MSE .0018, color .9752 and .0014; SEQ-IODINE .4063 and .0968, .6734 and .0270. ``quick``: 19
minutes on two shared CPU cores; F-ARI per frame .93 (the untrained copy: .12;
experiments/results/iodine_quick.json).

The networks, the likelihood and the loss are github.com/MichaelKevinKelly/IODINE's at c2c22df,
layer for layer, with the paper's β = 10 and R = 6, which counts evaluations: 5 refinements. In
color, at 64×64, it has 2,648,324 parameters. Its batch of 32 over the paper's 8 GPUs makes the
inner gradients means over 4 frames: ``gradient_scale``. Its training script also feeds SqueezeNet
features, of which neither its README nor the paper speaks: ``refiner.squeezenet``. Binary frames
have one channel here; that implementation is for RGB only.
"""

from ml_collections import ConfigDict

from configs import bouncing_balls, clevrer, quickstart

_SMALL = ("quick", "small_binary", "small_color")
_TRAINED = ("binary", "color", "clevrer", *_SMALL)
_BINARY_10 = ("seq_binary_10", "seq_small_binary_10")
VARIANTS = (*_TRAINED, *(f"seq_{name}" for name in _TRAINED), *_BINARY_10)

_EPOCH = 50_000 // 32

# After a first stage of stills as the quickstart's: batch size, steps, learning rates, weights.
_FALLING = {"final_learning_rate": 5e-4}
_LAST = {"learning_rate": 5e-4, "final_learning_rate": 5e-5}
_AGAIN = {"learning_rate": 1e-3, "final_learning_rate": 3e-4}
_SMALL_STAGES: bouncing_balls.Stages = (
    (16, 500, {}, {}),
    (24, 900, _FALLING, {}),
    (48, 900, _LAST, {}),
    (48, 200, _LAST, {}),
    (24, 250, _AGAIN, {"beta": 30.0}),
    (48, 200, _LAST, {"beta": 30.0}),
)
_QUICK_STAGES: bouncing_balls.Stages = ((16, 1000, {"final_learning_rate": 1e-4}, {}),)

_ONE_FRAME = {
    "grid": "full",
    "time_axis": "none",
    "posterior_start": "posterior",
    "conditional_prior": False,
    "first_prior": "standard",
    "generation": False,
}
_SEQUENTIAL = {"time_axis": "chain", "refinements": 1, "last_decode": False}
_CLAMPS = {"gradient_clamp": 10.0, "delta_clamp": 10.0}


def get_config(variant: str = "color") -> ConfigDict:
    """The experiment of a variant, one of ``VARIANTS``."""
    if variant not in VARIANTS:
        raise ValueError(f"configs/iodine.py: expected one of {VARIANTS}, got {variant!r}")
    trained = variant.removeprefix("seq_").removesuffix("_10")
    config = _base(trained)
    with config.unlocked():
        config.model.inference.update(_ONE_FRAME)
        if trained in _SMALL:
            _make_small(config, _QUICK_STAGES if trained == "quick" else _SMALL_STAGES)
        else:
            _make_pytorch(config)
        config.train.best_metric = "f_ari_frame"
        config.predict.num_simulated = 0  # nothing in it knows of motion
        if variant.startswith("seq_"):
            _test_as_sequence(config, variant)
        else:
            config.evaluate.restarts = 1
    return config


def _base(trained: str) -> ConfigDict:
    """What the variant shares its data with."""
    if trained == "quick":
        return quickstart.get_config()
    if trained == "clevrer":
        return clevrer.get_config()
    return bouncing_balls.get_config(trained)


def _make_pytorch(config: ConfigDict) -> None:
    config.model.inference.update(
        refinements=5,
        mixture="channel",
        posterior_mask="softmax",
        gradient_scale=1 / 4,
        initial_weights="uniform",
    )
    config.model.refiner.two_biases = True
    config.model.objective.update(beta=10.0, psi=1.0, gamma=0.0)
    stage = config.train.stages.stage_0.to_dict()
    config.train.stages = {
        "stage_0": {**stage, "steps": 100 * _EPOCH, "num_frames": 1, "batch_size": 32}
    }
    config.train.stagnation.window = 0
    config.evaluate.noise = "all"


def _make_small(config: ConfigDict, stages: bouncing_balls.Stages) -> None:
    """All frames as stills, shares left free; at every draw of noise, each frame has its own."""
    config.model.inference.refinements = 4
    config.model.objective.gamma = 0.0
    stills = config.train.stages.stage_0.to_dict()
    config.train.stages = {"stage_0": stills}
    for number, (batch_size, steps, optim, objective) in enumerate(stages, 1):
        config.train.stages[f"stage_{number}"] = {
            **stills,
            "steps": steps,
            "batch_size": batch_size,
            "model": {"objective": objective},
            "optim": optim,
        }
    config.train.eval_every = 1000
    config.evaluate.update(clips=128, restart_frames=1)
    config.evaluate.model = {"objective": {"psi": 1.0}}


def _test_as_sequence(config: ConfigDict, variant: str) -> None:
    """At test, one refinement a frame."""
    binary = variant.endswith("binary")
    changes = _SEQUENTIAL | (_CLAMPS if binary else {})
    config.evaluate.model = {**config.evaluate.model.to_dict(), "inference": changes}
    if binary:
        config.evaluate.lengths = (20, 30, 40)
    elif variant in _BINARY_10:
        config.evaluate.lengths = (10,)
