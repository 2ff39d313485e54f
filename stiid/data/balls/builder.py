"""Bouncing balls as a tfds data set, which is generated on first use."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from stiid.data.balls.bouncing_balls import BallsSpec, clips
from stiid.data.generated import GeneratedBuilder, open_generated
from stiid.data.source import Source
from stiid.data.stored import tensor


class BouncingBalls(GeneratedBuilder):
    """`clips` as a tfds data set."""

    VERB = "Generating"

    def _info(self) -> tfds.core.DatasetInfo:
        spec = self.builder_config.spec
        image = (spec.frames, spec.resolution, spec.resolution)
        motion = (spec.frames, spec.max_balls, 2)

        return tfds.core.DatasetInfo(
            builder=self,
            description="Discs that bounce elastically off each other and the walls of a box.",
            features=tfds.features.FeaturesDict(
                {
                    "video": tensor((*image, spec.channels), np.uint8),
                    "masks": tensor(image, np.uint8),
                    "id": tfds.features.Text(),
                    "n_objects": tfds.features.Scalar(np.int32),
                    "positions": tensor(motion, np.float32),
                    "velocities": tensor(motion, np.float32),
                    "radii": tensor(motion[1:2], np.float32),
                    "colors": tensor((spec.max_balls, spec.channels), np.uint8),
                }
            ),
            disable_shuffling=True,
        )

    def _clips(self, split: str, start: int, stop: int) -> Iterator[dict[str, Any]]:
        return clips(self.builder_config.spec, split, start=start, stop=stop)


def open_balls(spec: BallsSpec, split: str, data_dir: str) -> Source:
    """Open a split, which is simulated on first use; raises as `open_generated`."""
    return open_generated(BouncingBalls, spec, split, data_dir)
