"""Run all measurements of speed and memory, one after the other, on an idle machine.

    python -m experiments.benchmarks.run --output=runs/benchmarks [--only training_step …] \\
        [--peer CHECKOUT --peer_python PYTHON]

Each is a separate command, whose output goes to ``OUTPUT/NAME.txt`` and, if it has figures, to
``OUTPUT/NAME.json``. A failure is reported, and the others continue. ``--peer``: see
``training_step``.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

WITH_JSON = (
    "training_step",
    "grid_cost",
    "memory",
    "compile_time",
    "scaling",
    "families",
    "micro_batches",
    "idle_share",
    "streaming",
)
TEXT_ONLY = ("conv_in_scan", "read_speed", "prepare_speed", "render_speed", "gpu_model")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = (*WITH_JSON, *TEXT_ONLY)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--peer_python", default=sys.executable)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in options.only:
        command = [sys.executable, "-m", f"experiments.benchmarks.{name}"]
        if name in WITH_JSON:
            command.append(f"--output={options.output / name}.json")
        if name == "training_step" and options.peer:
            command += [f"--peer={options.peer}", f"--peer_python={options.peer_python}"]
        print(f"{name} …", flush=True)
        begin = time.monotonic()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        (options.output / f"{name}.txt").write_text(done.stdout)
        print(done.stdout + f"({time.monotonic() - begin:.0f} s)\n", flush=True)
        if done.returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
