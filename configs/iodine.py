"""IODINE, frame by frame, and SEQ-IODINE: the PyTorch implementation that the paper compares with.

    python -m stiid.main --config=configs/iodine.py:color --workdir=runs/iodine_color
    python -m stiid.main --config=configs/iodine.py:seq_color --workdir=runs/seq_iodine_color \
        --mode=eval --checkpoint=runs/iodine_color
    python -m stiid.main --config=configs/iodine.py:color --workdir=runs/imported --mode=import \
        --input=iodine.th

Variants: ``binary`` and ``color`` train and test IODINE on 4 balls with 5 slots. ``seq_binary``,
``seq_binary_10`` and ``seq_color`` have the same training, and test the model as SEQ-IODINE: one
refinement per frame; λ and the LSTM's state pass to the next frame; frame t is scored by the decode
before its refinement, from frames < t (``last_decode=True`` scores the one after it).
``seq_binary`` is for 20, 30 and 40 frames, with the clamps of A.3; ``seq_binary_10`` is for 10
frames, without them. ``clevrer`` and ``seq_clevrer`` are the same on the data of ``clevrer.py``,
with 6 slots.

For two CPU cores: ``quick`` and ``seq_quick`` have the data, networks and options of
``quickstart.py``; ``small_binary`` and ``small_color`` those of these variants of
``bouncing_balls.py`` (three hours on one core); ``seq_small_binary``, ``seq_small_binary_10`` and
``seq_small_color`` test them as sequences. IODINE has one noise sample at test, since each frame
has its own noise and eight samples take eight times as long (``--config.evaluate.restarts=8``).
Sequences have eight.

Hardware: 8 GPUs; not measured by us. Expected (the paper, 40 frames, per frame): binary F-ARI .9986
and MSE .0018, color .9752 and .0014; SEQ-IODINE .4063 and .0968, .6734 and .0270. ``quick``: 19
minutes on two shared CPU cores; F-ARI per frame .93 (untrained: .12;
experiments/results/iodine_quick.json).

The networks, the likelihood and the loss are github.com/MichaelKevinKelly/IODINE's at c2c22df,
layer for layer, with the paper's β = 10 and R = 6 evaluations, which are 5 refinements. In color,
at 64×64, it has 2,648,324 parameters. With its batch of 32 on the paper's 8 GPUs, inner gradients
are means over 4 frames: ``gradient_scale``. Its training script also uses SqueezeNet features,
which neither its README nor the paper mentions: ``refiner.squeezenet``. Binary frames have one
channel here; that implementation is for RGB only.
"""

from typing import Any

from configs import bouncing_balls, clevrer, quickstart
from stiid.config import extend

_SMALL = ("quick", "small_binary", "small_color")
_TRAINED = ("binary", "color", "clevrer", *_SMALL)
_BINARY_10 = ("seq_binary_10", "seq_small_binary_10")
VARIANTS = (*_TRAINED, *(f"seq_{name}" for name in _TRAINED), *_BINARY_10)

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


def get_config(variant: str = "color") -> dict[str, Any]:
    """The experiment of a variant, one of ``VARIANTS``."""
    if variant not in VARIANTS:
        raise ValueError(f"configs/iodine.py: expected one of {VARIANTS}, got {variant!r}")
    trained = variant.removeprefix("seq_").removesuffix("_10")
    config = extend(
        _small(trained) if trained in _SMALL else _pytorch(trained),
        model={"inference": _ONE_FRAME},
        train={"best_metric": "f_ari_frame"},
        predict={"num_simulated": 0},  # it has no model of motion
    )
    if variant.startswith("seq_"):
        return _as_sequence(config, variant)
    return extend(config, evaluate={"restarts": 1})


def _pytorch(trained: str) -> dict[str, Any]:
    """The PyTorch implementation's networks, likelihood and loss."""
    of_clevrer = trained == "clevrer"
    base = clevrer.get_config() if of_clevrer else bouncing_balls.get_config(trained)
    return extend(
        {**base, "model": {"num_slots": 6 if of_clevrer else 5}},
        model={
            "refiner": {"two_biases": True},
            "inference": {
                "refinements": 5,
                "mixture": "channel",
                "posterior_mask": "softmax",
                "gradient_scale": 1 / 4,
                "initial_weights": "uniform",
            },
            "objective": {"beta": 10.0, "psi": 1.0, "gamma": 0.0},
        },
        train={
            "stages": [{"steps": 100 * (50_000 // 32), "num_frames": 1, "batch_size": 32}],
            "stagnation": {"window": 0},
        },
        evaluate={"noise": "all"},
    )


def _small(trained: str) -> dict[str, Any]:
    """Single frames, without γ; at every restart, each frame has its own noise."""
    quick = trained == "quick"
    config = quickstart.get_config() if quick else bouncing_balls.get_config(trained)
    config["evaluate"]["model"] = {"objective": {"psi": 1.0}}
    return extend(
        config,
        model={"inference": {"refinements": 4}, "objective": {"gamma": 0.0}},
        train={"stages": _quick_stages() if quick else _small_stages(), "eval_every": 1000},
        evaluate={"clips": 128, "restart_frames": 1},
    )


def _quick_stages() -> list[dict[str, Any]]:
    return [quickstart.SINGLE_FRAMES, _frames(16, 1000, {"final_learning_rate": 1e-4})]


def _small_stages() -> list[dict[str, Any]]:
    last = {"learning_rate": 5e-4, "final_learning_rate": 5e-5}
    return [
        {**quickstart.SINGLE_FRAMES, "steps": 1000},
        _frames(16, 500, {}),
        _frames(24, 900, {"final_learning_rate": 5e-4}),
        _frames(48, 900, last),
        _frames(48, 200, last),
        _frames(24, 250, {"learning_rate": 1e-3, "final_learning_rate": 3e-4}, beta=30.0),
        _frames(48, 200, last, beta=30.0),
    ]


def _frames(
    batch_size: int, steps: int, optim: dict[str, float], **weights: float
) -> dict[str, Any]:
    """A stage of single frames."""
    stage = quickstart.clips(1, steps, optim=optim, objective=weights)
    return {**stage, "batch_size": batch_size}


def _as_sequence(config: dict[str, Any], variant: str) -> dict[str, Any]:
    """Test as SEQ-IODINE, with one refinement per frame."""
    binary = variant.endswith("binary")
    inference = {**_SEQUENTIAL, **(_CLAMPS if binary else {})}
    config = extend(config, evaluate={"model": {"inference": inference}})
    if binary:
        return extend(config, evaluate={"lengths": (20, 30, 40)})
    if variant in _BINARY_10:
        return extend(config, evaluate={"lengths": (10,)})
    return config
