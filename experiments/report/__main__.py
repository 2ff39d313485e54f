"""Write an HTML page about a run or about a folder of results: one file that opens from disk.

    python -m experiments.report runs/quickstart                  # runs/quickstart/report.html
    python -m experiments.report experiments/results --output=results.html

For a run's workdir, it shows the scores, curves, images and animations that exist, and decomposes a
few held-out clips with the latest checkpoint. For a folder of results, it shows all JSON files as
tables and curves.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import logging as absl_logging

from experiments.report import results, workdir
from experiments.report.page import page
from stiid.cli import modes
from stiid.files import atomic_path
from stiid.progress import Formatter
from stiid.training import devices
from stiid.training.processes import Processes


def main(argv: Sequence[str] | None = None, *, prog: str = "python -m experiments.report") -> int:
    parser = argparse.ArgumentParser(
        prog=prog,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--output", type=Path, help="default: report.html in DIR")
    parser.add_argument(
        "--clips", type=int, default=4, help="number of clips to decompose; 0: none"
    )
    options = parser.parse_args(argv)
    absl_logging.set_verbosity(absl_logging.ERROR)
    devices.enable_compilation_cache(devices.PROGRAMS)
    sizes = modes.batch_sizes("predict", None, str(options.folder), "latest")
    devices.configure_host_devices(0, batch_sizes=sizes, processes=Processes(1))
    logger, handler = logging.getLogger("stiid"), logging.StreamHandler()
    handler.setFormatter(Formatter())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        path = write_report(options.folder, options.output, clips=options.clips)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        logger.removeHandler(handler)
    print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


def write_report(folder: Path, output: Path | None = None, *, clips: int) -> Path:
    """Write the page, whole or not at all.

    Args:
      folder: a workdir, or a folder of results.
      output: by default ``report.html`` in the folder.
      clips: number of a run's clips to decompose.

    Raises:
      ValueError: the folder is neither.
    """
    folder = folder.expanduser().resolve()
    if clips < 0:
        raise ValueError(f"--clips must not be negative, got {clips}")
    if workdir.is_workdir(folder):
        subtitle, sections = workdir.subtitle(folder), workdir.sections(folder, clips=clips)
    elif results.is_results(folder):
        subtitle, sections = "Results of stiid", results.sections(folder)
    else:
        raise ValueError(
            f"{folder} is neither the workdir of a run (it has none of "
            f"{', '.join(workdir.TRACES)}) nor a folder of results (*.json)"
        )
    path = output or folder / "report.html"
    with atomic_path(path) as temporary:
        temporary.write_text(page(folder.name, subtitle, sections), encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(main())
