"""R-NEM's files that tests make and open."""

import h5py
import numpy as np

from stiid.data import registry
from stiid.data.balls.bouncing_balls import BallsSpec
from stiid.data.balls.r_nem import RNemSpec

SPEC = BallsSpec(frames=12, train=5, validation=2, test=0)


def source(path, split="train", **options):
    given = {"path": str(path), "frames": 12}
    return registry.load("r_nem", split, data_dir="", **{**given, **options})


def by_hand(path, *, images=(6, 3, 4, 4, 1), balls=2, **changes):
    """A file of one split, `training`, of zeros; a dataset is replaced or, by None, left out."""
    motion = (*images[:2], balls, 2)
    content = {
        "features": np.zeros(images, np.bool_),
        "groups": np.zeros(images, np.float32),
        "positions": np.zeros(motion, np.float32),
        "velocities": np.zeros(motion, np.float32),
    }
    with h5py.File(path, "w") as file:
        group = file.create_group("training")
        for name, value in {**content, **changes}.items():
            if value is not None:
                group[name] = value
    return RNemSpec(path=str(path), frames=images[0], resolution=4)
