"""(e) Frames per second of trained and full-size models: one stream, and many clips at once.

    python -m experiments.benchmarks.gpu.streams [--output=FILE.json] [--seconds=N] [--tiny]

Batch 1 uses ``stream`` frame by frame, and copies each result to the host, as ``--mode=decompose``
does. Larger batches use ``decompose`` on clips of 20 frames. The models are a released one (32×32,
six refinements per frame) and the paper's at 64×64 with initial parameters, which cost the same.
"""

import itertools
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.benchmarks.gpu.results import Rows
from experiments.benchmarks.gpu.step import parse, shrink, start_jax
from experiments.config_files import load_config
from stiid.config.experiment import Experiment
from stiid.models.base import Decoding, StreamingModel, VideoModel, row_keys
from stiid.shapes import Params
from stiid.training.restore import restore_model
from stiid.typed_config import parse as parse_config

NEXT, FRAMES, CLIP = 10, 200, 20  # frames that compile, frames of a stream, frames of a clip


def released() -> tuple[VideoModel, Params, Decoding, int]:
    """A released model, its parameters, its decoding, and its image size."""
    with tempfile.TemporaryDirectory() as folder:
        experiment, state, model = restore_model(None, Path(folder), "stiid://small_color")
    size = experiment.data.options["resolution"]
    return model, jax.device_get(state.params), experiment.evaluate.decoding, size


def full_size(tiny: bool) -> tuple[VideoModel, Params, Decoding, int]:
    """The same for the paper's model, untrained."""
    config, size = load_config("bouncing_balls:color"), 16 if tiny else 64
    if tiny:
        shrink(config)
    experiment: Experiment = parse_config(Experiment, config.to_dict())
    model = experiment.model.build((size, size, 3))
    params = jax.device_get(jax.jit(model.init)(jax.random.key(0)))
    return model, params, Decoding(num_slots=experiment.model.num_slots), size


def streamed(model: Any, params: Params, decoding: Decoding, size: int, *, frames: int) -> float:
    """Frames a second of one video."""
    assert isinstance(model, StreamingModel)
    video = np.random.default_rng(0).integers(0, 256, (NEXT, size, size, 3), np.uint8)
    endless = itertools.islice(itertools.cycle(video), NEXT + frames)
    begin = 0.0
    stream = model.stream(jax.device_put(params), endless, jax.random.key(0), decoding)
    for number, _ in enumerate(stream, 1):
        if number == NEXT:
            begin = time.perf_counter()
    return frames / (time.perf_counter() - begin)


def in_batches(
    model: VideoModel, params: Params, decoding: Decoding, size: int, *, batch: int
) -> float:
    """Frames a second of many clips."""
    shape = (batch, CLIP, size, size, 3)
    video = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    keys = row_keys(jax.random.key(0), np.arange(batch, dtype=np.int32))
    decompose = jax.jit(model.decompose, static_argnames=("decoding",))
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        jax.block_until_ready(decompose(params, video, keys, decoding=decoding))
        times.append(time.perf_counter() - begin)
    return batch * CLIP / min(times)


def main() -> None:
    step = parse(__doc__)
    start_jax("tf32")
    rows = Rows(step.output)
    models = {"bouncing_balls:color": full_size(step.tiny)}
    if not step.tiny:
        models = {"stiid://small_color": released(), **models}
    for name, found in models.items():
        rate = streamed(*found, frames=3 if step.tiny else FRAMES)
        rows.add(model=name, batch=1, frames_per_s=rate)
    for name, found in () if step.tiny else models.items():
        rows.add(model=name, batch=64, frames_per_s=in_batches(*found, batch=64))


if __name__ == "__main__":
    main()
