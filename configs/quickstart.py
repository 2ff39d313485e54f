"""Three colored balls at 24×24: slots that separate the balls within minutes on two CPU cores.

Hardware: 2 CPU cores, no GPU. Time: 5 minutes on both of them if they are idle,
12 to 19 if they are shared.
Expected, at 10 and at 20 frames: F-ARI per clip 0.99 (experiments/results/quickstart.json).

    python -m stiid.main --config=configs/quickstart.py --workdir=runs/quickstart

Training starts with single frames and a small ψ, then uses clips of five frames. At test there are
more refinements, a larger ψ and eight noise samples.
"""

from typing import Any

_BATCH = {"batch_size": 8, "micro_batches": 8}
# The first stage: single frames, at a small weight of the KL divergence.
SINGLE_FRAMES: dict[str, Any] = {
    "steps": 1200,
    "num_frames": 1,
    **_BATCH,
    "model": {"inference": {"refinements": 4}, "objective": {"psi": 0.1}},
    "optim": {"learning_rate": 2e-3, "final_learning_rate": 3e-4},
}


def clips(
    num_frames: int, steps: int, *, optim: dict[str, float] | None = None, **model: Any
) -> dict[str, Any]:
    """A stage of clips, with the learning rates and model sections that differ in it."""
    stage = {"steps": steps, "num_frames": num_frames, **_BATCH}
    return {**stage, "model": model, "optim": optim or {}}


def get_config() -> dict[str, Any]:
    """The quickstart experiment."""
    return {
        "data": {
            "name": "bouncing_balls",
            "max_frames": 20,
            "options": {
                # larger and faster balls of equal mass in a smaller box
                "num_balls": (3,),
                "box": 10.0,
                "radii": (1.0, 1.25, 1.5),
                "masses": (1.0, 1.0, 1.0),
                "speed": 0.87,
                "colors": "unique4",
                # fewer and smaller clips
                "resolution": 24,
                "frames": 30,
                "train": 4000,
                "validation": 128,
                "test": 256,
            },
        },
        "model": {
            # smaller
            "latent_size": 32,
            "num_slots": 4,
            "decoder": {
                "features": 32,
                "mlp_features": 64,
                # learns sooner: each pixel independently, from features of its position
                "kernel_size": 1,
                "frequencies": (0.5, 1.0, 2.0, 3.0, 4.0),
                "modulated": True,
                "residual": True,
            },
            "refiner": {
                "features": 32,
                "layers": 3,
                "stride": 2,
                "pool": "none",
                "lstm_features": 64,
                # learns sooner: keeps memory, starts with small updates
                "forget_scale": 0.5,
                "forget_bias": 1.0,
                "output_scale": 0.1,
            },
            "prior": {"features": 64},
            "inference": {
                "refinements": 3,
                # learns sooner: inference starts with small steps along the gradient
                "gradient_skip": 0.3,
                "init_scale": 0.1,
                "init_log_var": -3.0,
                "log_var_range": (-10.0, 3.0),
                "mixture": "channel",
                "first_prior": "standard",
                "posterior_start": "prior",
                "simulation_start": "prior",
                # faster on CPUs with enough memory
                "unroll": 0,
                "remat": False,
            },
            "objective": {"beta": 10.0, "psi": 0.3},
        },
        "optim": {"learning_rate": 1e-3, "final_learning_rate": 1e-3},
        "train": {
            "stages": [SINGLE_FRAMES, clips(5, 1000, optim={"final_learning_rate": 1e-4})],
            # no stage ends early
            "stagnation": {"window": 0, "min_improvement": 0.0, "collapse_kl": 0.0},
            # logging
            "log_every": 20,
            "eval_every": 550,
            "checkpoint_every": 250,
        },
        "evaluate": {
            "clips": 128,
            "batch_size": 32,
            "lengths": (10, 20),
            "restarts": 8,
            "model": {"inference": {"refinements": 4}, "objective": {"psi": 1.0}},
        },
        "predict": {"clips": 4, "num_observed": 10},
    }
