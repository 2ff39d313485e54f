"""Start JAX: choose its devices, and the folder of compiled programs."""

import logging
import math
import os
from collections.abc import Sequence

import jax

from stiid.data.workers import available_cores
from stiid.errors import first_line
from stiid.paths import local_path, refuse_url
from stiid.training.processes import Processes

_LOG = logging.getLogger("stiid")
PROGRAMS = "~/.cache/stiid/programs"  # compiled programs of all runs


def start_backend() -> str:
    """Start JAX, and describe its devices.

    Raises:
      ValueError: there is no device of the requested kind.
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

    If the folder cannot be written, programs are compiled anew in each process.
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

    XLA:CPU runs a convolution on one thread, so one device uses one core; data parallelism over
    host devices uses all cores. This has no effect on GPU and TPU, nor if the user has set
    JAX_NUM_CPU_DEVICES or --xla_force_host_platform_device_count.

    Args:
      count: see above.
      batch_sizes: of all global batches to come; empty if they are not known.
      processes: those that share the batches.
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
    """Largest number of devices per process, one core each, that divides every batch.

    Without batch sizes: the largest power of two.
    """
    if not batch_sizes:
        return 1 << (cores.bit_length() - 1)
    common = math.gcd(*batch_sizes)
    fitting = (d for d in range(cores, 0, -1) if common % (d * num_processes) == 0)
    return next(fitting, 1)  # 1: no number fits, which ``check_batch_size`` explains
