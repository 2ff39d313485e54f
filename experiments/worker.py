"""Run a measurement as a program, with the flags of ``python -m stiid.main``."""

import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags
from absl import logging as absl_logging

from stiid.cli.config_flag import define_config
from stiid.config.experiment import Experiment
from stiid.data.source import Source
from stiid.files import write_json
from stiid.models.base import VideoModel
from stiid.shapes import Params
from stiid.training import devices
from stiid.training.processes import Processes
from stiid.training.restore import restore
from stiid.typed_config import parse, to_dict

Measure = Callable[[Experiment, VideoModel, Source, Params, Path], dict[str, Any]]


def run_worker(measure: Measure, *, writes: str) -> None:
    """Restore a checkpoint, measure, and write the result.

    Args:
      measure: (experiment, system, source, params, workdir) → content of the file.
      writes: name of the JSON file in the workdir; it also gets step, data and config.
    """
    config = define_config("Config of what is measured.")
    workdir = flags.DEFINE_string("workdir", None, "Folder of what is written.", required=True)
    checkpoint = flags.DEFINE_string("checkpoint", None, "Workdir of the training.", required=True)

    flags.mark_flag_as_required("config")

    def main(argv: Sequence[str]) -> None:
        absl_logging.set_verbosity(absl_logging.ERROR)
        try:
            experiment = parse(Experiment, config.value.to_dict())
            _start_jax(experiment)
            path = Path(workdir.value)
            experiment, state, source, system = restore(experiment, path, checkpoint.value)
            content = measure(experiment, system, source, state.params, path)
            origin = {"step": int(state.step), "data": source.fingerprint}
            write_json(path / writes, {**content, **origin, "config": to_dict(experiment)})
        except Exception as error:
            traceback.print_exc()
            print(f"error: {' '.join(f'{type(error).__name__}: {error}'.split())}", file=sys.stderr)
            sys.exit(1)

    app.run(main)


def _start_jax(experiment: Experiment) -> None:
    """Choose devices, and cache compiled programs, as the command line does."""
    devices.enable_compilation_cache(devices.PROGRAMS)
    devices.configure_host_devices(
        0, batch_sizes=[experiment.evaluate.batch_size], processes=Processes(1)
    )
