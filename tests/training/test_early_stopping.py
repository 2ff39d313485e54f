"""Oracle of the loss on held-out clips: a system whose loss is worked by hand."""

from typing import NamedTuple

import jax
import numpy as np
import pytest
import tiny

from stiid.training.early_stopping import validation_loss


class Loss(NamedTuple):
    """Only what is read."""

    total: jax.Array


class Brightness:
    """The loss of a clip is a parameter times its mean value, and the number of its frames."""

    def loss(self, params, video, keys):
        mean = video.astype(np.float32).mean(axis=(1, 2, 3, 4))
        return Loss(params["scale"] * mean + video.shape[1])


class Clips:
    """Clip i shows the value i² in its first two frames, and 200 afterwards."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        video = np.full((4, 2, 2, 1), 200, np.uint8)
        video[:2] = index**2
        return {"video": video, "masks": video[..., 0], "n_objects": 1, "id": str(index)}


@pytest.mark.parametrize(
    ("count", "limit", "expected"),
    [
        (8, 0, (0 + 1 + 4 + 9 + 16 + 25 + 36 + 49) / 8),
        (11, 0, (140 + 64 + 81 + 100) / 11),  # a batch of 8, and 3 clips with 5 repeated rows
        (11, 3, (0 + 1 + 4) / 3),
    ],
)
def test_it_is_the_mean_over_the_clips(tmp_path, count, limit, expected):
    settings = tiny.experiment(tmp_path, evaluate__clips=limit).evaluate
    loss = validation_loss(settings, Brightness(), Clips(count), num_frames=2)
    assert loss({"scale": np.float32(3.0)}) == pytest.approx(3.0 * expected + 2.0)
    assert loss({"scale": np.float32(0.5)}) == pytest.approx(0.5 * expected + 2.0)
