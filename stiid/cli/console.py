"""The command ``stiid``: one subcommand per mode of ``python -m stiid.main``, and a few more."""

import argparse
import difflib
import importlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from stiid import __version__
from stiid.cli import streams
from stiid.errors import one_line
from stiid.progress import waiting
from stiid.training import signals
from stiid.training.locate import find_model, released_names

_PREFIX = "--config."
_EXAMPLES = """examples:
  stiid decompose stiid://sample           decompose a clip in the package
  stiid data inspect VIDEO                 say whether and how to train on your own video
  stiid train own_video:fast --workdir=runs/mine --config.data.options.path=VIDEO_OR_FOLDER
  stiid decompose VIDEO --model=runs/mine  decompose your own video with your own model
  stiid train quickstart                   train on simulated balls, in runs/quickstart
  stiid eval masks_small_color             score a released model
  stiid COMMAND --help                     show the arguments of a command

released models: {models}
"""
_MODEL = "a released model (small_color), the folder of a run, or one of its checkpoints"
_CONFIG = "a config file (configs/quickstart.py), or the name of one (bouncing_balls:small_color)"
_FORWARDED = {
    "score": "stiid.cli.score",
    "data": "stiid.cli.data",
    "report": "experiments.report.__main__",
}
# Flags that set a field of the config: command → flag → field and help.
_SLOTS = {
    "num_slots": ("evaluate.num_slots", "number of slots K; default: as stored"),
    "restarts": (
        "evaluate.restarts",
        "number of noise samples; the one with the lowest negative ELBO is kept",
    ),
}
_SPLIT = {"split": ("evaluate.split", "of the data: train, validation, test; default: as stored")}
_FIELDS = {
    "eval": {
        **_SLOTS,
        **_SPLIT,
        "clips": ("evaluate.clips", "number of clips to score; 0: all"),
        "frames": ("evaluate.lengths", "frames of each clip to score"),
    },
    "predict": {
        **_SLOTS,
        **_SPLIT,
        "clips": ("predict.clips", "number of clips to predict"),
        "observed": ("predict.num_observed", "frames to infer"),
        "frames": ("predict.num_simulated", "frames to simulate after them"),
    },
    "decompose": _SLOTS,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; errors that a user can fix are printed in one line, with exit code 1."""
    if argv is None:  # called as a program
        streams.open_standard_streams()
        signals.obey()
    arguments = list(sys.argv[1:] if argv is None else argv)
    sys.path.insert(0, os.getcwd())  # as ``python -m`` does: config files import each other
    if arguments[:1] and arguments[0] in _FORWARDED:
        return _forward(arguments[0], arguments[1:])
    fields = [text for text in arguments if text.startswith(_PREFIX)]
    arguments = [text for text in arguments if not text.startswith(_PREFIX)]
    parser, commands = _parser()
    if not arguments:
        parser.print_help(sys.stderr)
        return 2
    parsed, unknown = parser.parse_known_args(arguments)
    if wrong := _unknown(commands[parsed.command], unknown, fields):
        print(f"error: {one_line(wrong)}", file=sys.stderr)
        return 2
    try:
        if parsed.command == "config":
            _print_config(parsed.name, fields)
            return 0
        flags = [*_flags(parsed), *fields]
    except (ValueError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    with waiting("Loading JAX"):
        from stiid.cli.main import cli

    cli(["stiid", *flags])
    return 0


def _unknown(
    command: argparse.ArgumentParser, unknown: Sequence[str], fields: Sequence[str]
) -> str | None:
    """Say what is wrong with arguments that a command does not know, if there are any."""
    for field in fields:
        if "=" not in field:
            return f"{field}: write its value after =, as in {field}=VALUE"
    if not unknown:
        return None
    name = unknown[0].partition("=")[0]
    known = re.findall(r"--\w+", command.format_help())
    close = difflib.get_close_matches(name, known, n=1)
    advice = f"did you mean {close[0]}?" if close else f"`{command.prog} --help` shows all"
    kind = "option" if name.startswith("-") else "argument"
    return f"{command.prog} has no {kind} {name}: {advice}"


def _parser() -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """The parser of all commands, and that of each."""
    parser = argparse.ArgumentParser(
        prog="stiid",
        description="Decompose videos into objects, without labels.",
        epilog=_EXAMPLES.format(models=", ".join(released_names())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"stiid {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("train", "train a model, or resume; writes scores to WORKDIR/eval/metrics.json"),
        ("eval", "score a model on held-out clips: ARI, F-ARI, mIoU, MSE"),
        (
            "predict",
            "infer frames of held-out clips, then simulate the next ones (not with IODINE)",
        ),
        ("decompose", "decompose a video: masks, an image of every slot, trajectories"),
        ("import", "make a checkpoint from a PyTorch state_dict (IODINE, PROVIDE, SqueezeNet)"),
        ("config", "print all fields of a config file, or of a model"),
    ):
        command = commands.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=_epilog(name)
        )
        if name in ("train", "import"):
            command.add_argument("config", metavar="CONFIG", help=_CONFIG)
        elif name == "config":
            command.add_argument("name", metavar="NAME", help=f"{_CONFIG}; or {_MODEL}")
            continue
        elif name != "decompose":
            command.add_argument("model", metavar="MODEL", help=_MODEL)
        if name == "decompose":
            command.add_argument(
                "input",
                metavar="VIDEO",
                help="a video file, a folder of images, an array (.npy, .npz; clips.npz/3: one of "
                "several), or stiid://sample",
            )
            command.add_argument(
                "--model", default="masks_small_color", help=f"{_MODEL}; default: %(default)s"
            )
            command.add_argument("--crop", help="left,top,width,height of a window; () for all")
            command.add_argument("--stride", help="use every n-th frame")
            command.add_argument(
                "--frames",
                type=int,
                metavar="N",
                help="use only the first N of these; default: all",
            )
            command.add_argument(
                "--aspect",
                choices=("crop", "letterbox", "stretch"),
                help="for other aspect ratios: show the middle, all between black bars, or all "
                "distorted; default: as in training",
            )
        if name == "import":
            command.add_argument("input", metavar="FILE", help="the saved state_dict")
        where = "runs/CONFIG" if name in ("train", "import") else "the run, or runs/MODEL"
        command.add_argument("--workdir", help=f"folder of results; default: {where}")
        if name in _FIELDS:
            command.add_argument(
                "--checkpoint", choices=("latest", "best"), help="of a run; default: latest"
            )
            for flag, (_, text) in _FIELDS[name].items():
                kind, metavar = (str, "SPLIT") if flag in _SPLIT else (int, "N")
                command.add_argument(f"--{flag}", type=kind, metavar=metavar, help=text)
        if name in ("predict", "decompose"):
            _add_figure_flags(command)
        _add_machine_flags(command, several=name == "train")
    for name, text in (
        ("score", "score masks that any program wrote, against true ones"),
        ("data", "list, prepare, check and preview data sets"),
        ("report", "write an HTML page about a run"),
    ):
        commands.add_parser(name, help=text, add_help=False)
    return parser, commands.choices


def _epilog(name: str) -> str:
    if name == "config":
        return f"{_PREFIX}SECTION.FIELD=VALUE changes a field."
    return (
        f"{_PREFIX}SECTION.FIELD=VALUE changes any field of the config; `stiid config` prints them."
    )


def _add_figure_flags(command: argparse.ArgumentParser) -> None:
    """Add the figure flags of ``python -m stiid.main``."""
    group = command.add_argument_group("figure")
    group.add_argument("--figure", metavar="FILE", help="write a figure: .svg, .pdf or .png")
    if command.prog.endswith("predict"):
        group.add_argument("--figure_clip", metavar="N", help="number of the clip; default: 0")
    group.add_argument("--figure_frames", metavar="N,N,…", help="frames to show; default: some")
    group.add_argument("--figure_rows", metavar="ROW,ROW,…", help="such as input,masks,slot 0")
    group.add_argument("--figure_scale", metavar="X", help="points per pixel; default: tiles of 54")


def _add_machine_flags(command: argparse.ArgumentParser, *, several: bool) -> None:
    """Add the machine flags of ``python -m stiid.main``."""
    group = command.add_argument_group("machine")
    group.add_argument("--host_devices", metavar="N", help="CPU devices; default: one per core")
    group.add_argument(
        "--compilation_cache", metavar="DIR", help="of compiled programs; '': no cache"
    )
    group.add_argument("--traceback", action="store_true", help="show the traceback of an error")
    if several:
        group.add_argument("--coordinator", metavar="HOST:PORT", help="address of process 0")
        group.add_argument("--num_processes", metavar="N", help="number of processes")
        group.add_argument("--process_id", metavar="I", help="number of this process, from 0")


def _flags(parsed: argparse.Namespace) -> list[str]:
    """Translate the arguments into flags of ``python -m stiid.main``."""
    given = {name: value for name, value in vars(parsed).items() if value not in (None, False)}
    mode = given.pop("command")
    flags = {"mode": mode}
    if "config" in given:
        given["config"], default = _config_file(given["config"])
    else:
        default, checkpoint = find_model(given.pop("model"))
        if mode == "decompose":  # a wrong path is told before JAX is loaded
            from stiid.data.video.frames import open_video

            open_video(given["input"])
        if checkpoint != "latest" and "checkpoint" in given:
            raise ValueError(
                f"--checkpoint needs the folder of a run, got {checkpoint}: leave it out"
            )
        if checkpoint == "latest" and "workdir" in given:  # results go elsewhere
            checkpoint = str(default / "checkpoints" / given.pop("checkpoint", checkpoint))
        flags["checkpoint"] = checkpoint
    flags["workdir"] = str(default)
    fields = {name: given.pop(name) for name in _FIELDS.get(mode, {}) if name in given}
    texts = [f"--{name}={value}" for name, value in (flags | given).items() if value is not True]
    texts += [f"--{name}" for name, value in given.items() if value is True]
    return texts + [f"{_PREFIX}{_FIELDS[mode][name][0]}={value}" for name, value in fields.items()]


def _config_file(text: str) -> tuple[str, Path]:
    """The value of ``--config`` for a config file and its variant, and the workdir of its runs.

    Raises:
      FileNotFoundError: there is no such file.
    """
    from stiid.config.files import find, run_folder

    name, colon, variant = text.partition(":")
    file = f"{find(name)}{colon}{variant}"
    return file, run_folder(file)


def _print_config(name: str, fields: Sequence[str]) -> None:
    """Print all fields, including those that a file leaves out."""
    from stiid.cli.overrides import changed, replaced
    from stiid.config.experiment import Experiment
    from stiid.config.resolve import load_complete, resolved
    from stiid.training.restore import stored_experiment
    from stiid.typed_config import parse

    try:
        file, _ = _config_file(name)
    except FileNotFoundError:
        experiment = changed(stored_experiment(*find_model(name)), fields)
    else:  # replace first: defaults of missing fields depend on other fields
        experiment = parse(Experiment, replaced(load_complete(file), fields))
    print(resolved(experiment))


def _forward(command: str, arguments: Sequence[str]) -> int:
    """Run a command that has its own parser."""
    try:
        module = importlib.import_module(_FORWARDED[command])
    except ModuleNotFoundError as error:
        if error.name is None or not _FORWARDED[command].startswith(error.name):
            raise
        print(
            f"error: `stiid {command}` is not in the package: run it in a checkout",
            file=sys.stderr,
        )
        return 1
    return int(module.main(arguments, prog=f"stiid {command}"))
