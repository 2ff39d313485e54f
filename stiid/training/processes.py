"""Find out how many processes a run has, and connect them."""

import logging
import os
import time
from typing import NamedTuple

import jax
from jax._src.clusters import ClusterEnv, K8sCluster  # no public way to ask beforehand

from stiid.errors import first_line
from stiid.training.partners import Partners

_LOG = logging.getLogger("stiid")
_PATIENCE = 3.0  # seconds of waiting before the log says so
_DAY = 24 * 3600
_PARTNERS: list[Partners] = []  # of this process, if it is one of several
# Words of XLA's errors when a process no longer responds, in lower case.
_PARTNER_ENDED = (
    *("gloo", "nccl", "connection closed", "connection reset", "coordination service"),
    *("unavailable:", "aborted:", "deadline_exceeded:", "heartbeat"),
)


class Processes(NamedTuple):
    """The processes of a run. JAX asks the cluster for values that are None."""

    num_processes: int
    process_id: int | None = None
    coordinator: str | None = None  # host:port of process 0


def find_processes(
    coordinator: str | None, num_processes: int | None, process_id: int | None
) -> Processes:
    """Find out how many processes run together, from arguments, the environment, or the cluster.

    A missing argument is taken from JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES or JAX_PROCESS_ID,
    then from a cluster that JAX knows (SLURM, Open MPI, Kubernetes, TPU pods).

    Args:
      coordinator: "host:port" of process 0.
      num_processes: how many there are; 1 lets every task of a cluster run alone.
      process_id: number of this process, from 0.

    Raises:
      ValueError: the values are incomplete, or contradict each other.
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
            continue  # a single pod; asking the cluster would need permissions
        if cluster.is_env_present():
            return cluster.get_process_count()
    return 1


def initialize_processes(processes: Processes, *, timeout: float = 300.0) -> None:
    """Join a run of several processes, before a backend starts; the log says whom it waits for.

    Args:
      processes: from ``find_processes``.
      timeout: seconds after which to give up.

    Raises:
      ValueError: the other processes did not join in time, or do not fit.
    """
    if processes.num_processes == 1:
        return
    count, index, address = _completed(processes, timeout)
    partners = Partners(index, count, address)
    _PARTNERS.append(partners)
    partners.start()
    began, wait = time.monotonic(), min(_PATIENCE, timeout)
    while not partners.wait(wait):
        left = timeout - (time.monotonic() - began)
        if left <= 0:
            partners.stop()
            raise ValueError(
                f"{partners.awaited()} did not connect to {address} within {timeout:.0f} s: start "
                "all of them with the same --coordinator, and check that the port can be reached"
            )
        _LOG.info("waiting for %s at %s, for %.0f s at most", partners.awaited(), address, left)
        wait = min(60.0, left)
    jax.config.update("jax_enable_preemption_service", False)  # it would take over SIGTERM
    os.putenv("no_grpc_proxy", partners.coordinator.partition(":")[0])  # for gRPC in C++ alone
    try:
        jax.distributed.initialize(
            partners.coordinator,
            count,
            index,
            coordinator_bind_address=partners.coordinator,
            initialization_timeout=int(timeout) + 60,
            heartbeat_timeout_seconds=_DAY,  # partners know sooner, and say so without a crash
        )
    except Exception as error:
        raise ValueError(f"the processes cannot connect: {first_line(error)}") from error


def _completed(processes: Processes, timeout: float) -> tuple[int, int, str]:
    """Number, index and coordinator, where need be as JAX learns them from the cluster."""
    count, index, address = processes
    if index is None or address is None:
        address, _, index, _ = ClusterEnv.auto_detect_unset_distributed_params(
            address, count, index, None, None, int(timeout)
        )
    if index is None or address is None:
        raise ValueError(
            "the cluster does not say where process 0 is: set --coordinator=HOST:PORT and "
            "--process_id=I"
        )
    return count, index, address


def joined() -> bool:
    """Whether this process is one of several, or is joining them."""
    return bool(_PARTNERS)


def part() -> None:
    """Tell the other processes of the run, if there are any, that this one ends as agreed."""
    for partners in _PARTNERS:
        partners.part()


def partner_ended(error: BaseException) -> bool:
    """Whether an error means that another process of the run ended; JAX raises several types."""
    text = str(error).lower()
    return joined() and any(words in text for words in _PARTNER_ENDED)
