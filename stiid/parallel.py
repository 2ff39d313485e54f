"""Data parallelism by ``pmap``: the only file that spreads work over devices and processes.

State is *replicated without a leading axis*: it enters with ``in_axes=None``, leaves with
``out_axes=None``, and is placed once with a replicated ``NamedSharding``, so that a step compiles
once. Only batches carry a device axis.

Do not turn this into a default ``jax.shard_map``: its ``check_vma=True`` treats what derives from
replicated parameters as invariant, and sums the *inner* posterior gradients over devices without an
error. The test "8 devices == 1 device" catches it.
"""

import logging
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax._src.clusters import ClusterEnv, K8sCluster  # how else to know of a cluster beforehand?
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from stiid.cores import available_cores
from stiid.errors import first_line
from stiid.paths import local_path, refuse_url

AXIS = "devices"
_LOG = logging.getLogger("stiid")
_PATIENCE = 3.0  # seconds of waiting without a word
_JOINING = threading.Event()
# What XLA says of a process that answers no more, in lower case.
_PARTNER_ENDED = (
    *("gloo", "nccl", "connection closed", "connection reset", "coordination service"),
    *("unavailable:", "aborted:", "deadline_exceeded:", "heartbeat"),
)
PROGRAMS = "~/.cache/stiid/programs"  # compiled, of all runs


class Processes(NamedTuple):
    """The processes of a run. What is None is left to JAX, which asks the cluster."""

    num_processes: int
    process_id: int | None = None
    coordinator: str | None = None  # host:port of process 0


def find_processes(
    coordinator: str | None, num_processes: int | None, process_id: int | None
) -> Processes:
    """How many processes run together, from arguments, the environment, or the cluster.

    What an argument leaves open is taken from JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and
    JAX_PROCESS_ID, then from a cluster that JAX knows (SLURM, Open MPI, Kubernetes, TPU pods).

    Args:
      coordinator: "host:port" of process 0.
      num_processes: how many there are; 1 lets every task of a cluster run alone.
      process_id: which this one is.

    Raises:
      ValueError: what is given is not enough, or contradicts itself.
    """
    coordinator = coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")
    count = _from_environment(num_processes, "JAX_NUM_PROCESSES")
    index = _from_environment(process_id, "JAX_PROCESS_ID")
    given = {"--coordinator": coordinator, "--num_processes": count, "--process_id": index}
    missing = [name for name, value in given.items() if value is None]
    cluster = _cluster_size() if missing and count != 1 else 1
    if count == 1 or (len(missing) == len(given) and cluster == 1):
        return Processes(1)
    if missing and cluster == 1:
        raise ValueError(
            "several processes need --coordinator=HOST:PORT, --num_processes=N and --process_id=I "
            "(or JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID): "
            f"missing {' and '.join(missing)}"
        )
    count = cluster if count is None else count
    if count < 1 or not 0 <= (index or 0) < count:
        raise ValueError(
            f"--process_id must lie in 0..num_processes − 1, got {index} of {count} processes"
        )
    if coordinator is not None and not coordinator.rpartition(":")[2].isdigit():
        raise ValueError(f"--coordinator must be HOST:PORT, got {coordinator!r}")
    return Processes(count, index, coordinator)


def _from_environment(value: int | None, name: str) -> int | None:
    if value is not None or name not in os.environ:
        return value
    if not os.environ[name].isdigit():
        raise ValueError(f"{name} must be a number, got {os.environ[name]!r}")
    return int(os.environ[name])


def _cluster_size() -> int:
    """Number of tasks of the cluster that ``jax.distributed.initialize`` would find, or 1."""
    if os.environ.get("SLURM_STEP_NUM_TASKS") == "1":
        return 1  # a shell inside an allocation of several tasks
    for cluster in ClusterEnv._cluster_types:
        if cluster.opt_in_only_method:
            continue
        if cluster is K8sCluster and "JOB_COMPLETION_INDEX" not in os.environ:
            continue  # a pod by itself; asking for more would need the rights to ask
        if cluster.is_env_present():
            return cluster.get_process_count()
    return 1


def initialize_processes(processes: Processes, *, timeout: float = 300.0) -> None:
    """Join a run of several processes, before a backend starts, and say what is waited for.

    JAX waits in C++, where no signal reaches it: so it does that in a thread.

    Args:
      processes: as found.
      timeout: seconds after which to give up.

    Raises:
      ValueError: the others did not come in time.
    """
    count, address = processes.num_processes, processes.coordinator
    if count == 1:
        return
    _JOINING.set()
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM from us
    outcome: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def join() -> None:
        try:
            jax.distributed.initialize(
                address, count, processes.process_id, initialization_timeout=int(timeout) + 60
            )
        except Exception as error:
            outcome.put(error)
        else:
            outcome.put(None)

    threading.Thread(target=join, name="join", daemon=True).start()
    awaited = f"{'' if count == 2 else 'up to '}{count - 1} of {count} processes"
    where = f"at {address}" if address else "at the address that the cluster names"
    began, wait = time.monotonic(), min(_PATIENCE, timeout)
    while True:
        try:
            error = outcome.get(timeout=wait)
            break
        except queue.Empty:
            left = timeout - (time.monotonic() - began)
        if left <= 0:
            raise ValueError(
                f"{awaited} did not come to {where[3:]} within {timeout:.0f} s: start all of them, "
                "with the same --coordinator, and see to it that the port can be reached"
            )
        _LOG.info("waiting for %s %s, for %.0f s at most", awaited, where, left)
        wait = min(60.0, left)
    if error is not None:
        raise ValueError(f"the processes do not find together: {first_line(error)}") from error


def joined() -> bool:
    """Whether this process is, or wants to become, one of several."""
    return _JOINING.is_set()


def partner_ended(error: BaseException) -> bool:
    """Whether an error means that another process of the run ended; JAX has several kinds."""
    text = str(error).lower()
    return joined() and any(words in text for words in _PARTNER_ENDED)


def start_backend() -> str:
    """Start JAX, and describe its devices.

    Raises:
      ValueError: there is none of the kind that is wanted.
    """
    try:
        return f"JAX {jax.__version__} on {jax.devices()}"
    except (RuntimeError, AssertionError) as error:
        wanted = os.environ.get("JAX_PLATFORMS", "")
        reason = first_line(error) if str(error) else "no such devices"
        advice = f"JAX_PLATFORMS={wanted} asks for them: unset it, or install JAX for them"
        raise ValueError(
            f"JAX does not start: {reason}{f'. {advice}' if wanted else ''}"
        ) from error


def enable_compilation_cache(folder: str) -> None:
    """Let JAX keep compiled programs in a folder, unless the environment has chosen one.

    A user without a home folder that can be written compiles anew each time.
    """
    if not folder or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    refuse_url(folder, "--compilation_cache")
    try:
        path = local_path(folder, "--compilation_cache")
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError(f"{path} cannot be written")
    except (ValueError, OSError) as error:
        _LOG.info("compiled programs are not kept: %s", first_line(error))
        return
    jax.config.update("jax_compilation_cache_dir", str(path))


def configure_host_devices(count: int, *, batch_sizes: Sequence[int], processes: Processes) -> None:
    """Give JAX ``count`` CPU devices, or (0) as many as there are cores, before a backend starts.

    XLA:CPU runs a convolution on one thread, so that one device uses one core: data parallelism
    over host devices is what uses them all. Has no effect on GPU and TPU, nor where the user has
    set JAX_NUM_CPU_DEVICES or --xla_force_host_platform_device_count.

    Args:
      count: see above.
      batch_sizes: of all global batches to come; none if they are not known.
      processes: that share the batches.
    """
    if count < 0:
        raise ValueError(f"--host_devices must not be negative, got {count}: 0 uses all cores")
    forced = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not forced and "JAX_NUM_CPU_DEVICES" not in os.environ:
        count = count or host_device_count(
            available_cores(), batch_sizes, num_processes=processes.num_processes
        )
        jax.config.update("jax_num_cpu_devices", count)


def host_device_count(cores: int, batch_sizes: Sequence[int], *, num_processes: int) -> int:
    """The most devices per process, one core each, that share every batch equally.

    Without any batch size, the largest power of two.
    """
    if not batch_sizes:
        return 1 << (cores.bit_length() - 1)
    common = math.gcd(*batch_sizes)
    fitting = (d for d in range(cores, 0, -1) if common % (d * num_processes) == 0)
    return next(fitting, 1)  # 1: no number fits, which ``check_batch_size`` explains


def data_parallel(
    function: Callable[..., Any], *, batch_args: tuple[int, ...], num_args: int
) -> Any:
    """Map a function over devices: some arguments are batches, all else is replicated.

    The function must make its outputs equal on all devices (``all_mean``): the value
    of device 0 is taken.

    Args:
      function: of ``num_args`` positional arguments; sees its device's rows of each batch.
      batch_args: positions of the arguments that are batches [devices, rows, …].
      num_args: number of arguments.
    """
    in_axes = tuple(0 if i in batch_args else None for i in range(num_args))
    return jax.pmap(function, axis_name=AXIS, in_axes=in_axes, out_axes=None)


def data_parallel_rows(
    function: Callable[..., Any], *, batch_args: tuple[int, ...], num_args: int
) -> Any:
    """Like ``data_parallel``, for a function whose outputs have a row per video."""
    in_axes = tuple(0 if i in batch_args else None for i in range(num_args))
    return jax.pmap(function, axis_name=AXIS, in_axes=in_axes)


def all_mean(tree: Any) -> Any:
    """Mean over all devices of all processes, inside ``data_parallel``.

    XLA makes one exchange of all leaves: no need to join them here.
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
    return jax.tree.map(lambda x: np.asarray(x).reshape(-1, *x.shape[2:]), tree)


def over_processes(values: np.ndarray) -> np.ndarray:
    """One array of each process, stacked [P, …], on every process."""
    if jax.process_count() == 1:
        return values[None]
    # Doubles travel as pairs of 32-bit words, which JAX leaves alone.
    words = multihost_utils.process_allgather(np.ascontiguousarray(values).view(np.uint32))
    return np.ascontiguousarray(words).view(values.dtype)


def texts_over_processes(text: str) -> list[str]:
    """A text of each process, all of the same length, on every process."""
    values = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    return [row.tobytes().decode("utf-32-le") for row in over_processes(values)]


def global_rows(batch_size: int) -> np.ndarray:
    """Numbers, in the global batch, of the rows that this process holds (every P-th)."""
    return np.arange(jax.process_index(), batch_size, jax.process_count(), dtype=np.int32)


def check_batch_size(batch_size: int, *, name: str) -> None:
    """Refuse a global batch that devices cannot share equally."""
    devices = jax.device_count()
    if batch_size % devices:
        raise ValueError(
            f"{name} = {batch_size} must be a multiple of the number of devices "
            f"({devices}): change it, or run on fewer devices"
        )
