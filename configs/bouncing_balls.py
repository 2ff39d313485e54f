"""Bouncing Balls at the paper's scale, binary and in color: the paper's tables and figures.

Hardware: 8 GPUs of 11 GB or more (the paper: 8 GTX 1080 Ti, about a day). Not measured by us.
Expected: the paper reports, at 40 frames, ARI .73, F-ARI 1.00, MSE .0004 (color: .0002).

    python -m stiid.main --config=configs/bouncing_balls.py:binary --workdir=runs/balls_binary
    python -m stiid.main --config=configs/bouncing_balls.py:binary --workdir=runs/balls_binary \
        --mode=eval --config.evaluate.split=test --config.evaluate.clips=0

Variants: ``binary`` and ``color`` train and test on 4 balls with 5 slots. ``binary_678``,
``color_678_4`` (4 colors, repeated) and ``color_678_8`` (8 colors, 4 of them new) only test a model
that was trained with ``binary`` or ``color``: 6 to 8 balls, 9 slots. ``small_binary`` and
``small_color``, tested by ``small_binary_678``, ``small_color_678_4`` and ``small_color_678_8``,
are for two CPU cores: 32×32 pixels, a smaller box, networks and recipe of ``quickstart.py``.
Training them took seven and six hours on one core, without evaluations
(experiments/results/table1_decomposition-small.md has their scores).

Where the paper says nothing, this config follows its authors' code (``configs/provide.py``;
``_SILENT`` below):
- Each frame, observed or simulated, starts from the learned λ and from one sample of it per clip
  (a sample of q_λ, as in Eq. 4).
- The mixture is per color channel (Eq. 1 does not define it for several channels), and 0.3 is the
  variance ("the variance … is set to σ = 0.3").
- The decoder's MLP has width 64 and an ELU after both layers. Initial weights are PyTorch's.
- The colors. At test, noise is sampled in all evaluations, and there is one noise sample.

Where that code differs from the paper, this config follows the paper:
- R̂ = max(R − t, 1) refinements, each weighted by its index within the frame.
- The 2D-LSTM of Graves; a prior that predicts log σ (with an ELU in its hidden layer); the inputs
  of IODINE, posterior masks among them, without SqueezeNet.
- A fixed β; the gradient ∇L of the ELBO alone, without the entropy.

In both, the prior at t = 0 is ξ_θ(0), and γ > 0 makes masks sharper, as in Eq. 7; the entropy has
the weight of its evaluation's ELBO. The paper leaves three points open in which this config
nevertheless differs from that code: gradients are summed over a batch, not averaged (at β = 100 the
layer norm removes the factor); binary frames have one channel, as in R-NEM's files (three equal
ones would only make β three times as large); the batch size of 32 at 4 frames "falls in proportion"
to 8, the smallest that 8 devices allow. The number of steps per stage is ours.
"""

from typing import Any

from configs.released import small_balls
from stiid.config import extend

_TEST_ONLY = {
    "binary_678": ("binary", "binary"),
    "color_678_4": ("color", "authors4"),
    "color_678_8": ("color", "authors8"),
    "small_binary_678": ("small_binary", "binary"),
    "small_color_678_4": ("small_color", "repeated4"),
    "small_color_678_8": ("small_color", "unique8"),
}
VARIANTS = ("binary", "color", "small_binary", "small_color", *_TEST_ONLY)

# The authors' choices where the paper says nothing. The small variants use none of them.
_SILENT: dict[str, Any] = {
    "model": {
        "decoder": {"mlp_features": 64, "mlp_elu": True},
        "inference": {
            "posterior_start": "learned",
            "first_sample": "clip",
            "simulation_start": "learned",
            "mixture": "channel",
            "initial_weights": "uniform",
        },
    },
    "evaluate": {"noise": "all"},
}


def get_config(variant: str = "binary") -> dict[str, Any]:
    """The experiment of a variant, one of ``VARIANTS``."""
    if variant not in VARIANTS:
        raise ValueError(f"configs/bouncing_balls.py: expected one of {VARIANTS}, got {variant!r}")
    if variant in _TEST_ONLY:
        trained, colors = _TEST_ONLY[variant]
        return extend(
            get_config(trained),
            data={
                "options": {"num_balls": (6, 7, 8), "colors": colors, "train": 0, "validation": 0}
            },
            evaluate={"split": "test", "clips": 0, "num_slots": 9},
        )
    if variant == "small_binary":
        return small_balls.binary()
    if variant == "small_color":
        return small_balls.color()
    if variant == "color":
        return as_authors({"data": {"name": "bouncing_balls", "options": {"colors": "authors4"}}})
    return as_authors({"data": {"name": "bouncing_balls"}, "model": {"objective": {"gamma": 0.1}}})


def as_authors(config: dict[str, Any]) -> dict[str, Any]:
    """Add the authors' choices where the paper says nothing."""
    return extend(config, **_SILENT)
