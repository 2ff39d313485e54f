"""Frames of a video: a file that FFmpeg decodes, or a folder of images."""

import functools
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from stiid.data.video.decoding import open_container, shown
from stiid.data.video.image import LARGEST, PICTURE_SUFFIXES, pictures, read_picture
from stiid.errors import first_line, remedy

VIDEO_SUFFIXES = (
    *(".mp4", ".avi", ".gif", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".ts"),
    *(".flv", ".asf", ".ogv", ".3gp", ".3g2", ".mts", ".m2ts", ".vob", ".mxf", ".nut", ".apng"),
)
_DEFAULT_FPS = 25.0
# Containers whose times tell exactly which frame is which. Of others (AVI, MPEG, GIF) frames are
# counted from the first one on.
_TIMED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
_NO_TIME = -(2**63)
_CURE = "replace it or move it away"

_Numbered = Iterator[tuple[int, Callable[[], np.ndarray]]]  # frames, converted when they are wanted


def video_name(path: Path) -> str:
    """What a video is called: a file without its suffix, or a folder of images."""
    return path.name if path.is_dir() else path.stem


class _Packet(NamedTuple):
    """What is to be known of a packet without its bytes."""

    decoded_at: int | None
    is_left_out: bool


class VideoFile:
    """A video that is read frame after frame, so that its length costs no memory.

    Opening reads the file once without decoding it: a file that ends before all the frames that its
    header declares is refused here, not in the middle of a long job.

    Args:
        path: A video file, or a folder of images, which are frames in the order of the numbers in
            their names.

    Attributes:
        path: As given.
        packets: How many pieces the stream has, mostly but not always one for a frame: some decode
            to no frame, and two fields may make up one.
        fps: Frames per second; 25 if the file does not say.
        height, width: In pixels, turned as the file says that it is to be shown.

    Raises:
        FileNotFoundError: If there is nothing at `path`.
        ValueError: If it is no video, or not a whole one. The message names the file.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        if not self.path.exists():
            raise FileNotFoundError(f"no video at {self.path}: check the path")
        self.fps = _DEFAULT_FPS
        self._pictures = pictures(self.path) if self.path.is_dir() else []
        self._container = ""
        if self._pictures:
            self.packets = len(self._pictures)
            self.height, self.width = read_picture(self._pictures[0]).shape[:2]
        elif self.path.is_dir():
            raise ValueError(f"{self.path} holds no images {PICTURE_SUFFIXES}: name another path")
        elif not self.path.is_file():
            raise ValueError(f"{self.path} is no regular file: name a video file or a folder")
        else:
            self._read_packets()
            first = next(self._numbered(0), None)
            if first is None:
                raise ValueError(f"{self.path} has no frames: {_CURE}")
            self.height, self.width = first[1]().shape[:2]

    @property
    def num_frames(self) -> int:
        """How many frames a player shows, found by decoding all of them.

        Raises:
            ValueError: If a frame cannot be decoded.
        """
        return len(self._pictures) or len(self._times())

    def frames(
        self, start: int = 0, stop: int | None = None, step: int = 1
    ) -> Iterator[np.ndarray]:
        """Yields uint8 [H, W, 3] of the frames start, start + step, ... before `stop`.

        Without `stop`, the end of the stream is the end of the video.

        Raises:
            ValueError: If a frame cannot be decoded, or differs in size from the first, or there
                are less than `stop` frames.
        """
        if start or step < 1 or (stop is not None and stop < start):
            self._check_part(start, stop, step)
        due = start
        frames = self._numbered(start) if stop is None or due < stop else iter(())
        for number, picture in frames:
            if number < due:
                continue
            frame = picture()
            if frame.shape != (self.height, self.width, 3):
                raise ValueError(
                    f"{self.path}: frame {number} has {frame.shape[1]}x{frame.shape[0]} pixels, "
                    f"the first has {self.width}x{self.height}: make all frames the same size"
                )
            yield frame
            due += step
            if stop is not None and due >= stop:
                return
        if stop is not None and due < stop:
            self._check_part(start, stop, step)

    def _check_part(self, start: int, stop: int | None, step: int) -> None:
        stop = self.num_frames if stop is None else stop
        if not 0 <= start <= stop <= self.num_frames or step < 1:
            raise ValueError(
                f"{self.path} has {self.num_frames} frames, asked for {start}:{stop}:{step}"
            )

    def _read_packets(self) -> None:
        """Learns from packets, without decoding them, whether the file is whole."""
        try:
            with open_container(self.path) as container:
                streams = container.streams.video
                if not streams or streams[0].codec_context is None:
                    raise ValueError(
                        f"{self.path} has no video stream that can be decoded, or is cut off "
                        f"before it says so: {_CURE}"
                    )
                stream = streams[0]
                self.fps = float(stream.average_rate or _DEFAULT_FPS)
                self._container, declared = container.format.name, stream.frames
                if stream.codec_context.width * stream.codec_context.height > LARGEST:
                    raise ValueError(f"{self.path} has frames of over {LARGEST} pixels: {_CURE}")
                packets = [
                    _Packet(packet.dts, packet.is_discard)
                    for packet in container.demux(stream)
                    if packet.size
                ]
        except (av.error.FFmpegError, OSError) as error:
            raise ValueError(
                f"{self.path} is no video that can be read ({first_line(error)}): "
                + remedy(error, _CURE)
            ) from error
        held = _places(packets) if self._container == "avi" else len(packets)
        if held < declared:
            raise ValueError(
                f"{self.path} is truncated: it declares {declared} frames and holds {held}: {_CURE}"
            )
        self.packets = sum(not packet.is_left_out for packet in packets)

    def _numbered(self, start: int) -> _Numbered:
        """Frames with their numbers in a row, from `start` or an earlier one on."""
        if self._pictures:
            return (
                (number, functools.partial(read_picture, path))
                for number, path in enumerate(self._pictures)
                if number >= start
            )
        return self._decoded(start)

    def _decoded(self, start: int) -> _Numbered:
        frames: Iterator[tuple[int, av.VideoFrame]] = enumerate(_decode(self.path))
        if start and self._container in _TIMED and (np.diff(times := self._times()) > 0).all():
            found = _known(times, _decode(self.path, int(times[start])))
            first = next(found, None)
            if first is not None and first[0] <= start:
                frames = itertools.chain([first], found)
            # What a key frame needs from before it was left out: open groups of pictures.
        due = 0
        try:
            for number, frame in frames:
                if number >= start and (frame.is_corrupt or number > max(start, due)):
                    raise ValueError(f"{self.path}: frame {max(start, due)} is damaged: {_CURE}")
                due = number + 1
                yield number, functools.partial(shown, frame)
        except av.error.FFmpegError as error:
            raise ValueError(
                f"{self.path}: frame {due} does not decode ({first_line(error)}): "
                + remedy(error, _CURE)
            ) from error

    def _times(self) -> np.ndarray:
        state = self.path.stat()
        try:
            return _shown_times(self.path, state.st_size, state.st_mtime_ns)
        except av.error.FFmpegError as error:
            raise ValueError(
                f"{self.path} does not decode to its end ({first_line(error)}): "
                + remedy(error, _CURE)
            ) from error


@functools.lru_cache(maxsize=32)
def _shown_times(path: Path, size: int, changed: int) -> np.ndarray:
    """When each frame is shown, int64 [T] in units of the stream, or `_NO_TIME`."""
    del size, changed  # part of the key: another content has other frames
    times = (frame.pts for frame in _decode(path))
    return np.fromiter((_NO_TIME if time is None else time for time in times), np.int64)


def _decode(path: Path, time: int | None = None) -> Iterator[av.VideoFrame]:
    """The frames from the key frame at or before a time on, or from the first."""
    with open_container(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        if time is not None:
            container.seek(time, stream=stream)
        yield from container.decode(stream)


def _known(
    times: np.ndarray, frames: Iterator[av.VideoFrame]
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Frames whose time is one of `times`, with its place there."""
    for frame in frames:
        place = np.searchsorted(times, _NO_TIME if frame.pts is None else frame.pts)
        if place < len(times) and times[place] == frame.pts:
            yield int(place), frame


def _places(packets: list[_Packet]) -> int:
    """Frames of an AVI with those that were dropped: they have a place in time and no packet."""
    times = [packet.decoded_at for packet in packets if packet.decoded_at is not None]
    return max(times) - min(times) + 1 if times else 0
