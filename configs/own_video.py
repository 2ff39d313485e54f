"""Your own videos at 64×64 with the recipe of ``configs/quickstart.py``, on two CPU cores.

    python -m stiid.main --config=configs/own_video.py --workdir=runs/mine \
        --config.data.options.path=FOLDER
    python -m stiid.main --workdir=runs/mine --mode=decompose --input=VIDEO

FOLDER holds video files or folders of pictures; it may be a single video. What to adapt first:
``model.num_slots`` and ``evaluate.num_slots`` (objects and background), ``stride`` (objects should
move by some pixels of the 64 per frame), ``crop`` (left, top, width, height). With true masks
(``masks``, see ``OwnVideoSpec``) set ``train.best_metric`` to "f_ari". Moving things on a plain
ground is what this model can tell apart; textured scenes are beyond it.
"""

from ml_collections import ConfigDict

from configs import quickstart


def get_config() -> ConfigDict:
    """The experiment."""
    config = quickstart.get_config()
    with config.unlocked():
        config.data.update(name="own_video", max_frames=20)
        config.data.options = {
            "path": "videos",
            "masks": "",
            "crop": (),
            "height": 64,
            "width": 64,
            "channels": 3,
            "stride": 1,
            "frames": 20,
            "validation": 0.1,
            "test": 0.0,
            "seed": 0,
        }
        config.model.num_slots = config.evaluate.num_slots = 6
        config.train.best_metric = "mse"
        config.evaluate.update(clips=64, batch_size=8, lengths=(10, 20))
        config.predict.update(clips=4, num_observed=10, num_simulated=10)
    return config
