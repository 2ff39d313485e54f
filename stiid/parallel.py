"""Data parallelism by ``pmap``: the only file that distributes work over devices and processes.

State is *replicated without a leading axis*: it enters with ``in_axes=None``, leaves with
``out_axes=None``, and is placed once with a replicated ``NamedSharding``, so that a step compiles
once. Only batches have a device axis.

Do not replace this by a default ``jax.shard_map``: its ``check_vma=True`` treats everything derived
from replicated parameters as invariant, and silently sums the *inner* posterior gradients over
devices. The test "8 devices == 1 device" would fail.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "devices"

# In jax 0.11, ``pmap`` compiles through the Shardy partitioner, which crashes (0.11.2, CPU) on the
# loop over noise samples around the loops of inference. Nothing here needs a partitioner.
if jax.__version_info__ >= (0, 11):
    jax.config.update("jax_use_shardy_partitioner", False)


def data_parallel(
    function: Callable[..., Any], *, batch_args: tuple[int, ...], num_args: int
) -> Any:
    """Map a function over devices: some arguments are batches, the others are replicated.

    The function's outputs must be equal on all devices (``all_mean``): the value of device 0 is
    returned.

    Args:
      function: has ``num_args`` positional arguments; gets its device's rows of each batch.
      batch_args: positions of the arguments that are batches [devices, rows, …].
      num_args: number of arguments.
    """
    in_axes = tuple(0 if i in batch_args else None for i in range(num_args))
    return jax.pmap(function, axis_name=AXIS, in_axes=in_axes, out_axes=None)


def data_parallel_rows(
    function: Callable[..., Any], *, batch_args: tuple[int, ...], num_args: int
) -> Any:
    """Map a function over devices as ``data_parallel`` does; its outputs have a row per video."""
    in_axes = tuple(0 if i in batch_args else None for i in range(num_args))
    return jax.pmap(function, axis_name=AXIS, in_axes=in_axes)


def all_mean(tree: Any) -> Any:
    """Mean over all devices of all processes, inside ``data_parallel``.

    XLA exchanges all leaves at once, so they need not be concatenated here.
    """
    return jax.lax.pmean(tree, AXIS)


def replicate(tree: Any) -> Any:
    """Place a tree on all local devices."""
    mesh = Mesh(np.asarray(jax.local_devices()), (AXIS,))
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def shard(batch: Any) -> Any:
    """Split the rows of a process's batch over its devices: [rows, …] → [devices, rows', …]."""
    devices = jax.local_device_count()
    return jax.tree.map(lambda x: x.reshape(devices, -1, *x.shape[1:]), batch)


def unshard(tree: Any) -> Any:
    """The inverse of ``shard``, as NumPy arrays."""
    return jax.tree.map(
        # the number of rows by name: arrays without numbers (latents of size 0) do not tell it
        lambda x: np.asarray(x).reshape(x.shape[0] * x.shape[1], *x.shape[2:]),
        tree,
    )


def over_processes(values: np.ndarray) -> np.ndarray:
    """Gather one array from each process, stacked [P, …], on every process."""
    if jax.process_count() == 1:
        return values[None]
    # Doubles are sent as pairs of 32-bit words, which JAX does not convert.
    words = multihost_utils.process_allgather(np.ascontiguousarray(values).view(np.uint32))
    return np.ascontiguousarray(words).view(values.dtype)


def texts_over_processes(text: str) -> list[str]:
    """Gather one text from each process, all of the same length, on every process."""
    values = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    return [row.tobytes().decode("utf-32-le") for row in over_processes(values)]


def global_rows(batch_size: int) -> np.ndarray:
    """Indices in the global batch of the rows that this process has (every P-th)."""
    return np.arange(jax.process_index(), batch_size, jax.process_count(), dtype=np.int32)


def check_batch_size(batch_size: int, *, name: str) -> None:
    """Refuse a global batch that devices cannot share equally."""
    devices = jax.device_count()
    if batch_size % devices:
        raise ValueError(
            f"{name} = {batch_size} must be a multiple of the number of devices "
            f"({devices}): change it, or run on fewer devices"
        )
