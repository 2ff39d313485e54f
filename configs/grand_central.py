"""Grand Central Station: a crowd at 128×128 in sequences of 20 frames (section 4.1 of the paper).

Hardware: 8 GPUs of 11 GB or more. Not measured by us. Expected: the paper shows images only, and
no true masks exist: evaluation gives the MSE, and with tracklets the motion check of
``stiid.evaluation.track_agreement`` in ``eval/motion.json``.

    python -m stiid.main --config=configs/grand_central.py --workdir=runs/grand_central \
        --config.data.options.path=/data/grandcentral.avi \
        --config.data.options.tracklets=/data/trajectoriesNew.mat

The paper trains with 8 slots and tests with 10. It does not state the window (here a square on the
open floor, at half its size), the stride, the split (here by time, with gaps of 10 seconds), R and
β : ψ (here 5 and 10, as for CLEVRER).
"""

from typing import Any


def get_config() -> dict[str, Any]:
    """The experiment."""
    return {
        "data": {"name": "grand_central", "max_frames": 20},
        "model": {
            "num_slots": 8,
            "inference": {"refinements": 5},
            "objective": {"beta": 10.0, "psi": 1.0},
        },
        "train": {
            "stages": [
                {"num_frames": 4, "batch_size": 32, "steps": 60_000},
                {"num_frames": 8, "batch_size": 16, "steps": 40_000},
                {"num_frames": 20, "batch_size": 8, "steps": 60_000},
            ],
            "best_metric": "mse",
        },
        "evaluate": {"clips": 0, "batch_size": 8, "lengths": (10, 20), "num_slots": 10},
        "predict": {"clips": 4, "num_observed": 10},
    }
