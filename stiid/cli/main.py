"""Command line: ``python -m stiid.main --config=configs/NAME.py --workdir=DIR [--mode=…]``."""

import logging
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import jax
from absl import app, flags
from absl import logging as absl_logging

from stiid.cli import modes, overrides
from stiid.cli.config_flag import config_name, define_config
from stiid.cli.decompose import Request
from stiid.config.experiment import Experiment
from stiid.config.files import run_folder
from stiid.data.view import ASPECTS
from stiid.errors import escape_log, first_line, one_line
from stiid.outputs.figure import FigureRequest
from stiid.paths import local_path
from stiid.progress import Formatter, waiting
from stiid.training import devices, signals
from stiid.training.interrupt import Interrupted
from stiid.training.locate import RELEASED
from stiid.training.processes import (
    find_processes,
    initialize_processes,
    joined,
    part,
    partner_ended,
)
from stiid.typed_config import parse

_CONFIG = define_config("Config file, with --config.section.field=value overrides.")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of checkpoints, logs and results; default: runs/CONFIG, or runs/MODEL."
)
_MODE = flags.DEFINE_enum("mode", "train", [*modes.MODES, "decompose", "import"], "What to do.")
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    "latest",
    "For eval, predict and decompose: 'latest' or 'best' of the workdir, the path of another "
    "workdir or of one checkpoint in it, or stiid://NAME, a released model.",
)
_INPUT = flags.DEFINE_string(
    "input",
    None,
    "For decompose: a video file, or a folder of images. For import: a PyTorch state_dict file of "
    "IODINE, PROVIDE or SqueezeNet.",
)
_CROP = flags.DEFINE_list(
    "crop",
    None,
    "For decompose: left,top,width,height of a window, or () for all; default: as in training.",
)
_STRIDE = flags.DEFINE_integer(
    "stride", None, "For decompose: use every n-th frame; default: as in training."
)
_FRAMES = flags.DEFINE_integer(
    "frames", None, "For decompose: largest number of frames, from the first on; default: all."
)
_ASPECT = flags.DEFINE_enum(
    "aspect",
    None,
    ASPECTS,
    "For decompose: for other aspect ratios, show the middle, all between black bars, or all "
    "distorted; default: as in training.",
)
_FIGURE = flags.DEFINE_string(
    "figure", None, "For predict and decompose: path of a figure to write, .svg, .pdf or .png."
)
_FIGURE_CLIP = flags.DEFINE_integer("figure_clip", 0, "Number of the predicted clip in the figure.")
_FIGURE_FRAMES = flags.DEFINE_list(
    "figure_frames", None, "Numbers of the figure's frames; default: some."
)
_FIGURE_ROWS = flags.DEFINE_list(
    "figure_rows", None, "Rows of the figure, such as input,masks,slot 0; default: all."
)
_FIGURE_SCALE = flags.DEFINE_float(
    "figure_scale", 0.0, "Points per pixel in the figure; default: tiles of 54."
)
_PROGRAMS = flags.DEFINE_string(
    "compilation_cache",
    devices.PROGRAMS,
    "Folder that caches compiled programs for later runs; '' caches none. "
    "JAX_COMPILATION_CACHE_DIR takes precedence.",
)
_TRACEBACK = flags.DEFINE_bool("traceback", False, "Show the traceback of an error as well.")
_DEVICES = flags.DEFINE_integer(
    "host_devices",
    0,
    "CPU devices to create; 0: one per core if the batch size is a multiple of the core count.",
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "host:port of process 0, for several processes."
)
_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "Processes that train together; default: as the cluster says, or 1."
)
_PROCESS = flags.DEFINE_integer("process_id", None, "Number of this process, from 0.")


def main(argv: Sequence[str]) -> None:
    """Parse, start JAX, run a mode; errors that a user can fix are printed in one line."""
    arguments, fields = overrides.split(argv[1:])
    if arguments:
        _fail(f"unexpected arguments {arguments}: options start with --")
    _speak()
    signals.begin()
    try:
        experiment: Experiment | None = None
        if _CONFIG.value is not None:
            experiment = parse(Experiment, _CONFIG.value.to_dict())
        _start_jax(experiment)
        modes.run(
            _MODE.value,
            experiment,
            workdir=_workdir(),
            checkpoint=_CHECKPOINT.value,
            config=config_name(),
            video=Request(_INPUT.value, _crop(), _STRIDE.value, _ASPECT.value, _FRAMES.value),
            figure=_figure(),
            fields=fields,
        )
        part()
    except (*modes.USER_ERRORS, jax.errors.JaxRuntimeError) as error:
        if partner_ended(error):
            _fail(
                f"another process of this run ended ({first_line(error)}): start all of them "
                "again, training resumes"
            )
        if not isinstance(error, jax.errors.JaxRuntimeError):
            _fail(str(error))
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        _fail(
            f"the devices do not have enough memory ({first_line(error)}): use "
            "--config.model.inference.remat=True, more train.stages.NAME.micro_batches, a smaller "
            "evaluate.batch_size, or fewer clips and frames"
        )
    except KeyboardInterrupt as error:
        number = signal.Signals(getattr(error, "number", signal.SIGINT))
        _fail(f"stopped by {number.name}: nothing incomplete was kept", code=128 + number)
    except Interrupted as error:
        part()  # all processes stop here, some of them sooner than others
        _fail(str(error), code=128 + error.number)


def _start_jax(experiment: Experiment | None) -> None:
    """Choose devices and processes: JAX must know them before its backend starts."""
    devices.enable_compilation_cache(_PROGRAMS.value)
    processes = find_processes(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)
    devices.configure_host_devices(
        _DEVICES.value,
        batch_sizes=modes.batch_sizes(_MODE.value, experiment, _workdir(), _CHECKPOINT.value),
        processes=processes,
    )
    initialize_processes(processes)
    with waiting("Starting JAX"):
        found = devices.start_backend()
    logging.getLogger("stiid").info(found)


def _workdir() -> str | None:
    """The folder of results; by default it is named after the config or the released model."""
    if _WORKDIR.value is not None:
        return _WORKDIR.value
    if _CHECKPOINT.value.startswith(RELEASED):
        return str(Path("runs", _CHECKPOINT.value.removeprefix(RELEASED)))
    name = config_name()
    return None if name is None else str(run_folder(name))


def _figure() -> FigureRequest | None:
    if _FIGURE.value is None:
        return None
    frames = _FIGURE_FRAMES.value or []
    if not all(number.isdigit() for number in frames):
        raise ValueError(f"--figure_frames must be frame numbers, got {','.join(frames)}")
    return FigureRequest(
        local_path(_FIGURE.value, "--figure"),
        _FIGURE_CLIP.value,
        tuple(int(number) for number in frames),
        tuple(_FIGURE_ROWS.value or ()),
        _FIGURE_SCALE.value,
    )


def _crop() -> tuple[int, ...] | None:
    if _CROP.value is None:
        return None
    if _CROP.value in ([], ["()"]):
        return ()
    if not all(number.isdigit() for number in _CROP.value):
        raise ValueError(
            f"--crop must be left,top,width,height in pixels, or (), got {','.join(_CROP.value)}"
        )
    return tuple(int(number) for number in _CROP.value)


def _fail(message: str, *, code: int = 1) -> NoReturn:
    """Exit with an error of one line, after its traceback if that is requested."""
    parsed = flags.FLAGS.is_parsed()
    if sys.exc_info()[0] and (_TRACEBACK.value if parsed else "--traceback" in sys.argv):
        traceback.print_exc()
    print(f"error: {one_line(message)}", file=sys.stderr)
    if code > 128 or joined():  # do not wait for threads that compute or wait for others
        signals.leave(code)
    sys.exit(code)


def _speak() -> None:
    """Send our log to standard error; libraries' errors are reported once, by us."""
    absl_logging.set_verbosity(absl_logging.FATAL)
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter())
    logger = logging.getLogger("stiid")
    logger.setLevel(logging.INFO)
    logger.addFilter(escape_log)
    logger.propagate = False
    logger.addHandler(handler)


def cli(argv: list[str] | None = None) -> None:
    """Entry point; errors in flags and config names are printed in one line too."""
    try:
        app.run(main, argv=argv, flags_parser=_parse_flags)
    except Exception:
        if not joined():
            raise
        traceback.print_exc()
        signals.leave(1)  # JAX would wait for the others, and they for this process


def _parse_flags(argv: Sequence[str]) -> list[str]:
    """Set the flags; return the remaining arguments, which change fields of a stored config."""
    fields: list[str] = []
    if not any(text.split("=")[0] in ("--config", "-config") for text in argv):
        argv, fields = overrides.split(argv)
    try:
        return [*flags.FLAGS(argv), *fields]
    except (KeyError, AttributeError) as error:  # no such field, if an override names it
        cause = error.args[0]
        text = cause.args[0] if isinstance(cause, KeyError) else cause  # str would quote it
        reason = " ".join(str(text).split()).replace(" Did you", ": did you")
        name = reason.split("'")[1] if "'" in reason else ""
        options = [option.partition("=")[0] for option in argv if option.startswith("--config.")]
        wrong = [option for option in options if name in option.split(".")]
        if not wrong:
            _fail(str(error) or repr(error))
        _fail(
            f"{wrong[0]}: there is no field {reason.rstrip('?')}. New overrides of a stage or of "
            "evaluate.model must be written into the config file"
        )
    except Exception as error:  # a config file is code and may raise anything; the user can fix it
        _fail(str(error) or repr(error))
