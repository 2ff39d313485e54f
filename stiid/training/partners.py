"""Watch the other processes of a run, and end this one if another no longer responds.

When a process ends, its connections close, and the others notice. A process that is stopped
(SIGSTOP, a suspended machine, a cut network) keeps its connections open, and the others would wait
for half an hour. So each process increments a counter in the store of JAX's coordinator, and reads
the counters of the others.
"""

import sys
import threading
import time
from typing import Any, NoReturn

from jax._src import distributed  # no public way to the store

from stiid.training import signals

_FOLDER = "stiid/alive"
_EVERY = 4.0  # seconds between counts
_PATIENCE = 10  # counts that a process may miss in a row


class _Counts:
    """Counters of all processes, and for how many of our counts each one has been silent."""

    def __init__(self, client: Any, own: int) -> None:
        self._client, self._own = client, own
        self._heard: dict[str, str] = {}
        self._silent: dict[str, int] = {}
        self.count = 0

    def exchange(self) -> int | None:
        """Increment our counter; return a process that has been silent for too long, or None."""
        self._client.key_value_set(f"{_FOLDER}/{self._own}", f"{self.count}", allow_overwrite=True)
        for key, value in self._client.key_value_dir_get(_FOLDER):
            name = key.rpartition("/")[2]
            same = self._heard.get(name) == value and int(name) != self._own
            self._silent[name] = self._silent.get(name, 0) + 1 if same else 0
            self._heard[name] = value
        self.count += 1
        lost = [int(name) for name, counts in self._silent.items() if counts >= _PATIENCE]
        return min(lost, default=None)


def watch() -> None:
    """Start watching, in threads. Call this once the process has joined the others."""
    joined = distributed.global_state
    counts = _Counts(joined.client, joined.process_id)
    ended = threading.Event()

    def exchange() -> None:
        try:
            while (lost := counts.exchange()) is None:
                time.sleep(_EVERY)
            _leave(lost)
        except Exception:  # the coordinator or this process is ending: connections report that
            ended.set()

    def coordinator() -> None:
        """Detect a stopped coordinator: it answers nothing, so our own counter stops.

        Checks are counted, not seconds: this process may have been stopped as well.
        """
        before = missed = 0
        while not ended.wait(_EVERY):
            missed, before = (missed + 1 if counts.count == before else 0), counts.count
            if missed >= _PATIENCE:
                _leave(0)

    for target in (exchange, coordinator):
        threading.Thread(target=target, name="partners", daemon=True).start()


def _leave(lost: int) -> NoReturn:
    print(
        f"error: process {lost} of this run has not responded for {_EVERY * _PATIENCE:.0f} s: end "
        "it if it is stopped, check that its machine can be reached, and start all of them again: "
        "training resumes",
        file=sys.stderr,
    )
    signals.leave(1)
