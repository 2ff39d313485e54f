"""The rendered substitute for CLEVRER as a tfds data set."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from stiid.data.generated import GeneratedBuilder, open_generated
from stiid.data.solids.clips import RenderedSpec, clips
from stiid.data.source import Source
from stiid.data.stored import clip_info, tensor
from stiid.data.workers import available_cores


class Rendered(GeneratedBuilder):
    """`clips.clips` as a tfds data set, rendered on all cores that the process may use."""

    VERB = "Rendering"

    def _info(self) -> tfds.core.DatasetInfo:
        spec = self.builder_config.spec
        objects = spec.max_objects
        return clip_info(
            self,
            "Spheres, cubes and cylinders that move and collide on a floor.",
            view=spec.view,
            frames=spec.frames,
            positions=tensor((spec.frames, objects, 2), np.float32),
            visible=tensor((spec.frames, objects), np.uint8),
            locations=tensor((spec.frames, objects, 3), np.float32),
            velocities=tensor((spec.frames, objects, 3), np.float32),
            shapes=tensor((objects,), np.uint8),
            materials=tensor((objects,), np.uint8),
            colors=tensor((objects,), np.uint8),
        )

    def _clips(self, split: str, start: int, stop: int) -> Iterator[dict[str, Any]]:
        spec = self.builder_config.spec
        return clips(spec, split, start=start, stop=stop, processes=available_cores())


def open_rendered(spec: RenderedSpec, split: str, data_dir: str) -> Source:
    """Open a split, which is rendered on first use; raises as `open_generated`."""
    return open_generated(Rendered, spec, split, data_dir)
