"""TensorBoard event files, written in the thread that trains.

TensorBoard's own writer passes events to another thread through a queue. Once that thread has died
(of a full disk, or a clock that was set back), the queue blocks forever. No log may stop a
training: an error here ends the event file and is reported once.
"""

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.summary import image as image_summary
from tensorboardX.summary import text as text_summary

from stiid.errors import first_line

_LOG = logging.getLogger("stiid")
_FLUSH_SECONDS = 30.0


class Board:
    """One event file.

    Args:
      folder: of event files; created if it is missing.
      purge_step: TensorBoard discards events of an earlier run from this step on.
    """

    def __init__(self, folder: Path, *, purge_step: int) -> None:
        self._folder = folder
        self._writer: EventsWriter | None = None
        self._flushed = time.monotonic()
        with self._harmless():
            folder.mkdir(parents=True, exist_ok=True)
            # The suffix keeps apart two event files that were begun in the same second.
            self._writer = EventsWriter(str(folder / "events"), f".{purge_step}")
            start = SessionLog(status=SessionLog.START)
            self._add(Event(step=purge_step, session_log=start))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add values under their tags."""
        with self._harmless():
            summary = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
            self._add(Event(step=step, summary=Summary(value=summary)))

    def image(self, step: int, tag: str, image: np.ndarray) -> None:
        """Add a uint8 image [H, W, 3]."""
        with self._harmless():
            self._add(Event(step=step, summary=image_summary(tag, image, dataformats="HWC")))

    def text(self, step: int, tag: str, text: str) -> None:
        """Add lines of text, which are shown as they are."""
        shown = "\n".join(f"    {line}" for line in text.splitlines())  # Markdown's code
        with self._harmless():
            self._add(Event(step=step, summary=text_summary(tag, shown)))

    def close(self) -> None:
        """Write pending events and close the file."""
        with self._harmless():
            if self._writer is not None:
                self._writer.close()
        self._writer = None

    def _add(self, event: Event) -> None:
        if self._writer is None:
            return
        event.wall_time = time.time()
        self._writer.write_event(event)
        if not 0 <= time.monotonic() - self._flushed < _FLUSH_SECONDS:
            self._writer.flush()
            self._flushed = time.monotonic()

    @contextlib.contextmanager
    def _harmless(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever disks and encoders raise
            _LOG.warning(
                "the TensorBoard log in %s ends here (%s); training and the other logs go on",
                self._folder,
                first_line(error),
            )
            writer, self._writer = self._writer, None
            with contextlib.suppress(Exception):
                if writer is not None:
                    writer.close()
