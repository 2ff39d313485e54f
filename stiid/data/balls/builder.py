"""Bouncing balls as a tfds data set, which is generated on first use."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from stiid.data.balls.bouncing_balls import BallsSpec, clips
from stiid.data.generated import GeneratedBuilder, open_generated
from stiid.data.source import Source
from stiid.data.stored import clip_info, tensor


class BouncingBalls(GeneratedBuilder):
    """`clips` as a tfds data set."""

    VERB = "Generating"

    def _info(self) -> tfds.core.DatasetInfo:
        spec = self.builder_config.spec
        motion = (spec.frames, spec.max_balls, 2)
        return clip_info(
            self,
            "Discs that bounce elastically off each other and the walls of a box.",
            view=spec.view,
            frames=spec.frames,
            positions=tensor(motion, np.float32),
            velocities=tensor(motion, np.float32),
            radii=tensor(motion[1:2], np.float32),
            colors=tensor((spec.max_balls, spec.channels), np.uint8),
        )

    def _clips(self, split: str, start: int, stop: int) -> Iterator[dict[str, Any]]:
        return clips(self.builder_config.spec, split, start=start, stop=stop)


def open_balls(spec: BallsSpec, split: str, data_dir: str) -> Source:
    """Open a split, which is simulated on first use; raises as `open_generated`."""
    return open_generated(BouncingBalls, spec, split, data_dir)
