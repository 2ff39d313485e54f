"""Mutated inputs of all readers: read, or refused by one line; never a crash, a hang, a bomb."""

import os
import random
import shutil
from pathlib import Path

from experiments.benchmarks.faults.fault import Fault, refusal
from experiments.benchmarks.faults.mutations import mutated
from experiments.benchmarks.faults.samples import samples


class Inputs:
    """An input for each reader, of which copies are changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._samples = samples(folder)
        for name in self._samples:  # as they are, they are read
            self._read(name, self._samples[name].content)

    def attempt(self, chance: random.Random) -> None:
        """Change one input, and read it."""
        name = chance.choice(list(self._samples))
        sample = self._samples[name]
        content = mutated(sample.content, chance, text=sample.text)
        try:
            with refusal():
                self._read(name, content)
        except Fault as fault:
            kept = self._folder / f"fault_{name.replace(' ', '_')}_{chance.getrandbits(32):08x}"
            kept.write_bytes(content)
            raise Fault(f"{name} ({kept}): {fault}") from None

    def close(self) -> None:
        """There is nothing left to check."""

    def _read(self, name: str, content: bytes) -> None:
        sample = self._samples[name]
        path = self._folder / "mutated" / sample.name
        shutil.rmtree(self._folder / "mutated", ignore_errors=True)
        os.makedirs(path.parent)
        path.write_bytes(content)
        sample.read(path)
