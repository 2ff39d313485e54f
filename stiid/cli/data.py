"""Data sets from the command line: ``stiid data``, or ``python -m stiid.data``."""

import argparse
import ast
import dataclasses
import logging
import os
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from stiid.data import registry
from stiid.data.balls.r_nem_writer import SETS, write_r_nem
from stiid.data.solids.writer import ClevrerLayout, write_clevrer
from stiid.data.verify import verify_elements
from stiid.data.video.advice import advise
from stiid.data.video.frames import SAMPLE, open_video
from stiid.data.video.inspection import inspect_video
from stiid.data.workers import available_cores
from stiid.errors import escape_log, one_line, printable
from stiid.outputs.preview import write_preview
from stiid.paths import local_path

_DATA_DIR = "~/.cache/stiid"


def main(arguments: Sequence[str] | None = None, *, prog: str = "python -m stiid.data") -> int:
    """Run a command; errors that a user can fix are printed in one line, with exit code 1."""
    parser = _parser(prog)
    parsed = parser.parse_args(arguments)
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    logging.getLogger("stiid").setLevel(logging.INFO)
    logging.getLogger("stiid").addFilter(escape_log)
    try:
        parsed.run(parsed)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    except BrokenProcessPool:
        print(
            "error: a worker process died, possibly out of memory: start the command again",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("error: stopped by SIGINT: nothing incomplete was kept", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description="List, prepare, check and preview data sets."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("list", help="list all sources and their options").set_defaults(run=_list)
    for name, run, text in (
        ("prepare", _prepare, "generate a data set, or cut it from videos, if it is not there yet"),
        ("verify", _verify, "check some clips, and print statistics"),
        ("preview", _preview, "write a contact sheet and an animation with masks"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("name", metavar="NAME", help="name of a source, see 'list'")
        command.add_argument(
            "options", metavar="option=value", nargs="*", help="options of the source, see 'list'"
        )
        command.add_argument("--data_dir", default=_DATA_DIR, help="default: %(default)s")
        command.add_argument("--split", default="train", help="default: %(default)s")
        command.set_defaults(run=run)
        if run is not _prepare:
            command.add_argument("--clips", type=int, default=4 if run is _preview else 32)
        if run is _preview:
            command.add_argument("--output", default="preview", help="folder; default: %(default)s")
    command = commands.add_parser("inspect", help="say whether and how to train on a video")
    command.add_argument(
        "video", metavar="VIDEO", help="a video file, a folder of images, or an array"
    )
    command.set_defaults(run=_inspect)
    command = commands.add_parser("simulate", help="write balls in the layout of R-NEM's h5 files")
    command.add_argument("set", choices=sorted(SETS))
    command.add_argument("path", metavar="FILE.h5")
    for split, count in SETS["balls4mass64"].counts.items():
        command.add_argument(f"--{split}", type=int, default=count, help="default: %(default)s")
    command.add_argument("--seed", type=int, default=0)
    command.set_defaults(run=_simulate)
    command = commands.add_parser(
        "render", help="render a substitute for CLEVRER, in CLEVRER's layout"
    )
    command.add_argument("folder", metavar="FOLDER")
    defaults = " ".join(
        f"{field.name}={_text(field.default)}" for field in dataclasses.fields(ClevrerLayout)
    )
    command.add_argument("options", metavar="option=value", nargs="*", help=f"defaults: {defaults}")
    command.add_argument(
        "--processes",
        type=int,
        default=available_cores(),
        help="number of processes; default: %(default)s, one per core",
    )
    command.set_defaults(run=_render)
    return parser


def _list(parsed: argparse.Namespace) -> None:
    del parsed
    for name, entry in registry.ENTRIES.items():
        print(f"{name}: {entry.summary}")
        fields = dataclasses.fields(entry.spec)
        print("    " + " ".join(f"{field.name}={_text(field.default)}" for field in fields))


def _prepare(parsed: argparse.Namespace) -> None:
    source = _open(parsed)
    print(f"{parsed.name}: {len(source)} clips in {parsed.split}: {source.fingerprint}")


def _verify(parsed: argparse.Namespace) -> None:
    source = _open(parsed)
    _print(verify_elements(source, clips=parsed.clips))
    verify = registry.ENTRIES[parsed.name].verify
    if verify is not None:
        spec = registry.make_spec(parsed.name, **_options(parsed))
        _print(verify(spec, parsed.split, _data_dir(parsed), parsed.clips))
    print(f"{parsed.name}: the clips are correct")


def _preview(parsed: argparse.Namespace) -> None:
    for path in write_preview(
        local_path(parsed.output, "--output"), _open(parsed), clips=parsed.clips
    ):
        print(f"wrote {printable(str(path))}")


def _inspect(parsed: argparse.Namespace) -> None:
    video = open_video(parsed.video)
    found = inspect_video(video)
    advice = advise(found)
    for name, value in found._asdict().items():
        print(f"{name:>20} {f'{value:.3g}' if isinstance(value, float) else value}")
    for reason in advice.refusals:
        print(f"not for this model: {reason}")
    for note in advice.notes:
        print(f"note: {note}")
    if advice.refusals:
        return
    path = video.path if parsed.video == SAMPLE else parsed.video
    options = {"path": path, **advice.options}
    flags = [f"--config.data.options.{name}={value}" for name, value in options.items()]
    flags.append(f"--config.model.num_slots={advice.num_slots}")
    print("to try:\n    stiid train own_video:fast " + printable(shlex.join(flags)))


def _simulate(parsed: argparse.Namespace) -> None:
    counts = {split: getattr(parsed, split) for split in SETS[parsed.set].counts}
    spec = dataclasses.replace(SETS[parsed.set], **counts, seed=parsed.seed)
    write_r_nem(local_path(parsed.path, "PATH"), spec, curtain="curtain" in parsed.set)
    print(f"wrote {printable(parsed.path)}")


def _render(parsed: argparse.Namespace) -> None:
    layout = ClevrerLayout(**_options(parsed))
    write_clevrer(local_path(parsed.folder, "FOLDER"), layout, processes=parsed.processes)
    print(f"wrote {printable(parsed.folder)}")


def _open(parsed: argparse.Namespace) -> Any:
    if getattr(parsed, "clips", 1) < 1:
        raise ValueError(f"--clips must be at least 1, got {parsed.clips}")
    return registry.load(parsed.name, parsed.split, data_dir=_data_dir(parsed), **_options(parsed))


def _data_dir(parsed: argparse.Namespace) -> str:
    return str(local_path(parsed.data_dir, "--data_dir"))


def _options(parsed: argparse.Namespace) -> dict[str, Any]:
    options = {}
    for text in parsed.options:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"expected option=value, got {text!r}")
        try:
            options[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):  # text, such as a path
            options[name] = value
    return options


def _text(value: Any) -> str:
    return repr(value).replace(" ", "")


def _print(figures: Mapping[str, float]) -> None:
    for name, value in figures.items():
        print(f"{name:>20} {value:.6g}")
