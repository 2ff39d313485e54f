"""Three colored balls at 24×24, on two CPU cores: see balls told apart within minutes.

Hardware: 2 CPU cores, no GPU. Time: 11 to 13 minutes on both of them, 19 on one.
Expected, at 10 and at 20 frames: F-ARI per clip 0.99 (experiments/results/quickstart.json).

    python -m stiid.main --config=configs/quickstart.py --workdir=runs/quickstart

Stills first, at a small ψ, then clips of five frames; more refinements, a larger ψ and eight draws
of the first frame's noise at test.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The quickstart experiment."""
    return ConfigDict(
        {
            "seed": 0,
            "data": {
                "name": "bouncing_balls",
                "data_dir": "~/.cache/stiid",
                "max_frames": 20,
                "options": {
                    "num_balls": (3,),
                    "box": 10.0,
                    "radii": (1.0, 1.25, 1.5),
                    "masses": (1.0, 1.0, 1.0),
                    "speed": 0.87,
                    "micro_steps": 2,
                    "colors": "unique4",
                    "resolution": 24,
                    "frames": 30,
                    "train": 4000,
                    "validation": 128,
                    "test": 256,
                    "seed": 0,
                },
            },
            "model": {
                "family": "stiid",
                "latent_size": 32,
                "num_slots": 4,
                "precision": "float32",
                "decoder": {
                    "features": 32,
                    "layers": 4,
                    "kernel_size": 1,
                    "frequencies": (0.5, 1.0, 2.0, 3.0, 4.0),
                    "modulated": True,
                    "mlp_features": 64,
                    "residual": True,
                },
                "refiner": {
                    "features": 32,
                    "layers": 3,
                    "stride": 2,
                    "squeezenet": False,
                    "pool": "none",
                    "hidden": 128,
                    "lstm_features": 64,
                    "forget_scale": 0.5,
                    "forget_bias": 1.0,
                    "two_biases": False,
                    "output_scale": 0.1,
                },
                "prior": {"features": 64},
                "inference": {
                    "refinements": 3,
                    "grid": "triangular",
                    "time_axis": "lstm2d",
                    "posterior_start": "prior",
                    "conditional_prior": True,
                    "first_prior": "standard",
                    "generation": True,
                    "mixture": "channel",
                    "variance": 0.3,
                    "posterior_mask": "normalized",
                    "log_var_range": (-10.0, 3.0),
                    "gradient_scale": 1.0,
                    "gradient_clamp": None,
                    "delta_clamp": None,
                    "gradient_skip": 0.3,
                    "init_scale": 0.1,
                    "init_log_var": -3.0,
                    "initial_weights": "lecun",
                    "last_decode": True,
                    "simulation_start": "prior",
                    "unroll": 0,
                    "remat": False,
                },
                "objective": {
                    "beta": 10.0,
                    "psi": 0.3,
                    "gamma": 0.0,
                    "slot_entropy": 0.0,
                    "largest_share": 0.0,
                    "step_weights": "linear",
                    "num_simulated": 0,
                },
            },
            "optim": {
                "learning_rate": 1e-3,
                "final_learning_rate": 1e-3,
                "warmup_steps": 0,
                "clip_norm": 5.0,
                "beta1": 0.9,
            },
            "train": {
                "stages": {
                    "stage_0": {
                        "steps": 1200,
                        "num_frames": 1,
                        "batch_size": 8,
                        "micro_batches": 8,
                        "model": {
                            "inference": {"refinements": 4},
                            "objective": {"psi": 0.1},
                        },
                        "optim": {"learning_rate": 2e-3, "final_learning_rate": 3e-4},
                    },
                    "stage_1": {
                        "steps": 1000,
                        "num_frames": 5,
                        "batch_size": 8,
                        "micro_batches": 8,
                        "model": {},
                        "optim": {"final_learning_rate": 1e-4},
                    },
                },
                "stagnation": {
                    "window": 0,
                    "min_improvement": 0.0,
                    "collapse_kl": 0.0,
                    "patience": 0,
                },
                "log_every": 20,
                "eval_every": 550,
                "checkpoint_every": 250,
                "best_metric": "f_ari",
                "non_finite": "stop",
                "max_skips": 50,
            },
            "evaluate": {
                "split": "validation",
                "clips": 128,
                "batch_size": 32,
                "lengths": (10, 20),
                "num_slots": 4,
                "model": {"inference": {"refinements": 4}, "objective": {"psi": 1.0}},
                "noise": "first",
                "restarts": 8,
                "restart_frames": 1,
                "seed": 0,
            },
            "predict": {"clips": 4, "num_observed": 10, "num_simulated": 10},
        }
    )
