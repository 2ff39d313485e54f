"""Updates of a training stage on noise instead of data, timed one by one."""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.config_files import load_config
from stiid import parallel
from stiid.config.curriculum import Stage
from stiid.config.experiment import Experiment
from stiid.models.base import VideoModel
from stiid.training import devices
from stiid.training.processes import Processes
from stiid.training.state import TrainState
from stiid.training.update import init_state, learning_rates, make_update
from stiid.typed_config import parse


def use_devices(count: int) -> None:
    """Set the number of host devices, before JAX starts."""
    devices.configure_host_devices(count, batch_sizes=(), processes=Processes(1))


def named_config(name: str) -> ConfigDict:
    """The config of a file in configs/ by its name, such as "iodine:quick"."""
    file, colon, variant = name.partition(":")
    return load_config(f"configs/{file}.py{colon}{variant}")


def experiment_of(config: Any, **stage: Any) -> Experiment:
    """A config's experiment, with its first stage changed and alone."""
    experiment: Experiment = parse(Experiment, config.to_dict())
    name = experiment.train.order[0]
    changed: Stage = dataclasses.replace(experiment.train.stages[name], **stage)
    train = dataclasses.replace(experiment.train, stages={name: changed})
    return dataclasses.replace(experiment, train=train).at_stage(name)


def state_of_noise(experiment: Experiment, system: VideoModel) -> TrainState:
    """A state with parameters from NumPy, since compiling their initialization takes long."""
    shapes = jax.eval_shape(lambda: init_state(experiment, system))
    rng = np.random.default_rng(0)
    return TrainState(
        step=np.int32(0),
        params=jax.tree.map(
            lambda leaf: (0.05 * rng.normal(size=leaf.shape)).astype(leaf.dtype), shapes.params
        ),
        opt_state=jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes.opt_state),
        key=jax.random.key(experiment.seed),
        skipped=np.int32(0),
    )


def timed_updates(experiment: Experiment, image_shape: tuple[int, int, int]) -> Iterator[float]:
    """Yield the seconds of updates, endlessly; the first one compiles."""
    (stage,) = experiment.train.stages.values()
    system = experiment.model.build(image_shape)
    update = make_update(experiment, system)
    state = parallel.replicate(state_of_noise(experiment, system))
    shape = (stage.batch_size, stage.num_frames, *image_shape)
    video = parallel.shard(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    rows = parallel.shard(parallel.global_rows(stage.batch_size))
    rate = learning_rates(experiment)[0]
    while True:
        begin = time.perf_counter()
        state, metrics = update(state, video, rows, rate)
        jax.block_until_ready((state, metrics))
        yield time.perf_counter() - begin
