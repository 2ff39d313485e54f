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
from stiid.data.video.image import IMAGE_SUFFIXES, LARGEST, image_files, read_image
from stiid.errors import first_line, remedy

VIDEO_SUFFIXES = (
    *(".mp4", ".avi", ".gif", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".ts"),
    *(".flv", ".asf", ".ogv", ".3gp", ".3g2", ".mts", ".m2ts", ".vob", ".mxf", ".nut", ".apng"),
)
_DEFAULT_FPS = 25.0
# Containers whose time stamps identify frames exactly. In others (AVI, MPEG, GIF), frames are
# counted from the first.
_TIMED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
_NO_TIME = -(2**63)
_CURE = "replace it or move it away"

_Numbered = Iterator[tuple[int, Callable[[], np.ndarray]]]  # frame numbers and lazy pixels


def video_name(path: Path) -> str:
    """Name of a video: the file's without its suffix, or the name of a folder of images."""
    return path.name if path.is_dir() else path.stem


class _Packet(NamedTuple):
    """Properties of a packet, without its bytes."""

    decoded_at: int | None
    is_left_out: bool
    is_cut: bool


class VideoFile:
    """A video that is read frame by frame, in constant memory.

    Opening it reads the file once without decoding: a file with fewer frames than its header
    declares is refused here, not in the middle of a long job.

    Args:
      path: a video file, or a folder of images, whose frames are sorted by the numbers in their
        names.

    Attributes:
      path: as given.
      packets: number of packets of the stream, usually one per frame; but some decode to no
        frame, and two fields may make up one frame.
      fps: frames per second; 25 if the file does not say.
      height, width: size in pixels, after the rotation that the file asks for.

    Raises:
      FileNotFoundError: if there is nothing at `path`.
      ValueError: if it is not a video, or not complete. The message names the file.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        if not self.path.exists():
            raise FileNotFoundError(f"no video at {self.path}: check the path")
        self.fps = _DEFAULT_FPS
        self._images = image_files(self.path) if self.path.is_dir() else []
        self._container = ""
        if self._images:
            self.packets = len(self._images)
            self.height, self.width = read_image(self._images[0]).shape[:2]
        elif self.path.is_dir():
            raise ValueError(
                f"{self.path} holds no images {IMAGE_SUFFIXES}: name a video, which may be a "
                "folder of its images"
            )
        elif not self.path.is_file():
            raise ValueError(f"{self.path} is not a regular file: name a video file or a folder")
        else:
            self._read_packets()
            first = next(self._numbered(0), None)
            if first is None:
                raise ValueError(f"{self.path} has no frames: {_CURE}")
            self.height, self.width = first[1]().shape[:2]

    @property
    def num_frames(self) -> int:
        """Number of frames that a player shows, found by decoding all of them.

        Raises:
          ValueError: if a frame cannot be decoded.
        """
        return len(self._images) or len(self._times())

    def frames(
        self, start: int = 0, stop: int | None = None, step: int = 1
    ) -> Iterator[np.ndarray]:
        """Yield uint8 [H, W, 3] of the frames start, start + step, ... before `stop`.

        Without `stop`, read to the end of the stream.

        Raises:
          ValueError: if a frame cannot be decoded, or differs in size from the first, or there
            are fewer than `stop` frames.
        """
        if start or step < 1 or (stop is not None and stop < start):
            self._check_part(start, stop, step)
        due = start
        frames = self._numbered(start) if stop is None or due < stop else iter(())
        for number, convert in frames:
            if number < due:
                continue
            frame = convert()
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
        """Check the file for completeness by its packets, without decoding them."""
        try:
            with open_container(self.path) as container:
                streams = container.streams.video
                if not streams or streams[0].codec_context is None:
                    raise ValueError(
                        f"{self.path} has no video stream that can be decoded, or is cut off "
                        f"in its header: {_CURE}"
                    )
                stream = streams[0]
                self.fps = float(stream.average_rate or _DEFAULT_FPS)
                self._container, declared = container.format.name, stream.frames
                if stream.codec_context.width * stream.codec_context.height > LARGEST:
                    raise ValueError(
                        f"{self.path} has frames of more than {LARGEST} pixels: {_CURE}"
                    )
                packets = [
                    _Packet(packet.dts, packet.is_discard, packet.is_corrupt)
                    for packet in container.demux(stream)
                    if packet.size
                ]
        except (av.error.FFmpegError, OSError) as error:
            raise ValueError(
                f"{self.path} cannot be read as a video ({first_line(error)}): "
                + remedy(error, _CURE)
            ) from error
        whole = [packet for packet in packets if not packet.is_cut]
        held = _places(whole) if self._container == "avi" else len(whole)
        if held < declared:
            raise ValueError(
                f"{self.path} is truncated: it declares {declared} frames and holds {held}: {_CURE}"
            )
        self.packets = sum(not packet.is_left_out for packet in packets)

    def _numbered(self, start: int) -> _Numbered:
        """Frames and their consecutive numbers, from `start` or earlier on."""
        if self._images:
            return (
                (number, functools.partial(read_image, path))
                for number, path in enumerate(self._images)
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
            # Otherwise an open group of pictures: its key frame needs earlier frames. Count from 0.
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
    """Time stamp of each shown frame, int64 [T] in units of the stream, or `_NO_TIME`."""
    del size, changed  # part of the cache key: a changed file has other frames
    times = (frame.pts for frame in _decode(path))
    return np.fromiter((_NO_TIME if time is None else time for time in times), np.int64)


def _decode(path: Path, time: int | None = None) -> Iterator[av.VideoFrame]:
    """Decode frames from the last key frame at or before a time, or from the first frame."""
    with open_container(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        if time is not None:
            container.seek(time, stream=stream)
        yield from container.decode(stream)


def _known(
    times: np.ndarray, frames: Iterator[av.VideoFrame]
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Frames whose time stamp is in `times`, with their index there."""
    for frame in frames:
        place = np.searchsorted(times, _NO_TIME if frame.pts is None else frame.pts)
        if place < len(times) and times[place] == frame.pts:
            yield int(place), frame


def _places(packets: list[_Packet]) -> int:
    """Number of frames of an AVI, including dropped ones, which have a time but no packet."""
    times = [packet.decoded_at for packet in packets if packet.decoded_at is not None]
    return max(times) - min(times) + 1 if times else 0
