"""Your own videos at 64×64 with the recipe of ``configs/quickstart.py``, on two CPU cores.

    python -m stiid.main --config=configs/own_video.py --workdir=runs/mine \
        --config.data.options.path=FOLDER
    python -m stiid.main --workdir=runs/mine --mode=decompose --input=VIDEO

FOLDER holds video files or folders of pictures; it may be a single video. What to adapt first:
``model.num_slots`` (objects and background), ``stride`` (objects should
move by some pixels of the 64 per frame), ``crop`` (left, top, width, height). With true masks
(``masks``, see ``OwnVideoSpec``) set ``train.best_metric`` to "f_ari". Moving things on a plain
ground is what this model can tell apart; textured scenes are beyond it.
"""

from typing import Any

from stiid.config import extend


def get_config() -> dict[str, Any]:
    """The experiment."""
    return extend(
        "quickstart",
        data={"name": "own_video", "max_frames": 20},
        model={"num_slots": 6},
        train={"best_metric": "mse"},  # videos have no true masks
        evaluate={"clips": 64, "batch_size": 8},
    )
