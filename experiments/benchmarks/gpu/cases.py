"""Small models and inputs whose gradients must agree on all devices, and a sketch of these.

Parameters and videos come from NumPy, noise from JAX's keys: both are the same everywhere.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.gpu.step import shrink
from experiments.config_files import load_config
from stiid import parallel
from stiid.config.experiment import Experiment
from stiid.models.base import VideoModel, row_keys
from stiid.shapes import Params
from stiid.training.update import gradients
from stiid.typed_config import parse

ROWS = 2
SKETCH = 128  # numbers


class Case(NamedTuple):
    """A model and its video."""

    config: str
    shape: tuple[int, int, int]  # of an image
    frames: int
    in_bfloat16: bool = False  # whether its config knows of it


CASES = {
    "paper": Case("bouncing_balls:color", (16, 16, 3), 3, in_bfloat16=True),
    "iodine": Case("iodine:color", (16, 16, 3), 1, in_bfloat16=True),
    "rnem": Case("rnem:quick", (24, 24, 1), 2),
    "ddpae": Case("ddpae:quick", (32, 32, 1), 10),
    "savi": Case("savi:quick", (24, 24, 3), 3),
}


def build(case: Case, *, precision: str) -> VideoModel:
    """The model of a case."""
    config = load_config(case.config)
    if case.in_bfloat16:
        shrink(config)
        if precision == "bfloat16":
            config.model.precision = precision
    model: VideoModel = parse(Experiment, config.to_dict()).model.build(case.shape)
    return model


def inputs(case: Case, model: VideoModel) -> tuple[Params, np.ndarray]:
    """Parameters and a video [ROWS, T, H, W, C]."""
    rng = np.random.default_rng(0)

    def values(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        fan_in = np.prod(leaf.shape[:-1]) if len(leaf.shape) > 1 else 4.0
        return (rng.normal(size=leaf.shape) / np.sqrt(fan_in)).astype(leaf.dtype)

    params = jax.tree.map(values, jax.eval_shape(model.init, jax.random.key(0)))
    return params, rng.integers(0, 256, (ROWS, case.frames, *case.shape), np.uint8)


def compiled(model: VideoModel, params: Params, video: np.ndarray) -> Any:
    """Compile the gradients by ``pmap``, as training does."""

    def of_rows(params: Params, video: jax.Array, rows: jax.Array) -> Any:
        keys = row_keys(jax.random.key(0), rows)
        return parallel.all_mean(gradients(model, params, video, keys, parts=1))

    mapped = parallel.data_parallel(of_rows, batch_args=(1, 2), num_args=3)
    shards = parallel.shard((video, parallel.global_rows(ROWS)))
    given = (parallel.replicate(params), *shards)
    program = mapped.lower(*given).compile()
    return lambda: program(*given)


def sketch(tree: Any) -> np.ndarray:
    """Random sums of all numbers of a tree, [SKETCH].

    The norm of a difference of sketches equals that of the trees' difference within about 10 %.
    """
    numbers = np.concatenate([np.ravel(x) for x in jax.tree.leaves(jax.device_get(tree))])
    rng, total = np.random.default_rng(1), np.zeros(SKETCH)
    for block in np.array_split(numbers.astype(np.float64), -(-len(numbers) // 2**15)):
        total += rng.choice((-1.0, 1.0), (SKETCH, len(block))) @ block
    return total / np.sqrt(SKETCH)


def size(tree: Any) -> int:
    """Number of elements of a tree."""
    return sum(jnp.size(x) for x in jax.tree.leaves(tree))
