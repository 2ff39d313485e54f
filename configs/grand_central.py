"""Grand Central Station: a crowd at 128×128 in sequences of 20 frames (section 4.1 of the paper).

Hardware: 8 GPUs of 11 GB or more. Not measured by us. Expected: the paper shows pictures only, and
no true masks exist: evaluation gives the MSE, and with tracklets the motion check of
``stiid.evaluation.track_agreement`` in ``eval/motion.json``.

    python -m stiid.main --config=configs/grand_central.py --workdir=runs/grand_central \
        --config.data.options.path=/data/grandcentral.avi \
        --config.data.options.tracklets=/data/trajectoriesNew.mat

The paper trains with 8 slots and tests with 10. Not stated, and ours: the window (a square on the
open floor, halved), the stride, the split by time with 10 seconds in between, R = 5 and β : ψ = 10
as for CLEVRER.
"""

from ml_collections import ConfigDict

from configs import bouncing_balls

# frames, batch size, steps at most
_CURRICULUM = ((4, 32, 60_000), (8, 16, 40_000), (20, 8, 60_000))


def get_config() -> ConfigDict:
    """The experiment."""
    config = bouncing_balls.get_config("color")
    with config.unlocked():
        config.data.update(name="grand_central", max_frames=20)
        config.data.options = {
            "path": "grandcentral.avi",
            "tracklets": "",
            "crop": (232, 200, 256, 256),
            "resolution": 128,
            "stride": 4,
            "frames": 20,
            "train": 0.8,
            "validation": 0.1,
            "test": 0.1,
            "gap": 250,
        }
        config.model.num_slots = 8
        config.model.inference.refinements = 5
        config.model.objective.update(beta=10.0, psi=1.0, gamma=0.0)
        stage = config.train.stages.stage_0.to_dict()
        config.train.stages = {
            f"stage_{i}": {**stage, "num_frames": frames, "batch_size": batch, "steps": steps}
            for i, (frames, batch, steps) in enumerate(_CURRICULUM)
        }
        config.train.best_metric = "mse"
        config.evaluate.update(clips=0, batch_size=8, lengths=(10, 20), num_slots=10)
        config.predict.update(clips=4, num_observed=10, num_simulated=10)
    return config
