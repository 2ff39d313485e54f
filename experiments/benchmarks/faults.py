"""Damage inputs and stop processes again and again; print how many of each kind were survived.

    python -m experiments.benchmarks.faults --minutes=10 --seed=0

Kinds: single flipped bits in the files of a checkpoint (found, or of no consequence), mutated
pickles of saved models (read, or refused), and processes that get one or two signals at random
moments (they end within seconds, with a line and without a traceback). The seed decides all of
them; the exit code is 1 unless all were survived. Killed and resumed training is
``kill_and_resume``'s.
"""

import argparse
import collections
import io
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from stiid.interop.torch_pickle import read_pickle
from stiid.training.released import Release, write_release
from stiid.training.state import TrainState

_SLEEPER = (
    "import sys, time\n"
    "from stiid.training import signals\n"
    "signals.obey(); signals.begin()\n"
    "try:\n    print('ready', flush=True); time.sleep(60)\n"
    "except signals.Terminated as error:\n"
    "    time.sleep(float(sys.argv[1])); signals.leave(128 + error.number)\n"
)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    chance = random.Random(options.seed)
    kinds = {"flipped bits": flipped_bit, "mutated pickles": pickled, "signals": signalled}
    tried: collections.Counter[str] = collections.Counter()
    survived: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        deadline = time.monotonic() + 60 * options.minutes
        while time.monotonic() < deadline or len(tried) < len(kinds):
            kind = list(kinds)[sum(tried.values()) % len(kinds)]
            tried[kind] += 1
            survived[kind] += _survives(kinds[kind], chance, Path(folder))
    for kind in kinds:
        print(f"{kind:>16} {tried[kind]:>6} tried {survived[kind]:>6} survived")
    return 0 if survived == tried else 1


def _survives(try_one: Callable, chance: random.Random, folder: Path) -> bool:
    began = time.monotonic()
    passed = bool(try_one(chance, folder))
    return passed and time.monotonic() - began < 60


def flipped_bit(chance: random.Random, folder: Path) -> bool:
    """Whether a model with a flipped bit is refused, or is the one that was written."""
    params = {"kernel": np.arange(64, dtype=np.float32) / 7}
    write_release(folder / "model", step=1, params=params, config={"seed": 0})
    path = chance.choice(sorted((folder / "model").iterdir()))
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    template = TrainState(step=None, params=params, opt_state=None, key=None, skipped=None)
    try:
        state = Release(folder / "model").state(1, template)
    except ValueError as error:
        return "\n" not in str(error)
    return np.array_equal(state.params["kernel"], params["kernel"])


def pickled(chance: random.Random, folder: Path) -> bool:
    """Whether changed bytes of a pickle are read, or refused by a line of bounded length."""
    content = bytearray(pickle.dumps({"a": [1, 2.0, ("b", None)] * 9}, protocol=2))
    for _ in range(chance.randint(1, 8)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    try:
        read_pickle(io.BytesIO(content))
    except ValueError as error:
        return len(str(error)) < 1000
    return True


def signalled(chance: random.Random, folder: Path) -> bool:
    """Whether one signal, or two, end a process in time and with the code of one of them."""
    numbers = chance.choices([signal.SIGTERM, signal.SIGINT], k=chance.randint(1, 2))
    command = [sys.executable, "-c", _SLEEPER, str(30 if len(numbers) == 2 else 0)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for number in numbers:
            process.send_signal(number)
            time.sleep(chance.uniform(0.2, 0.5))
        try:
            _, errors = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            return False
    return process.returncode in [128 + number for number in numbers] and "Traceback" not in errors


if __name__ == "__main__":
    sys.exit(main())
