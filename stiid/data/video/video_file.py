"""Frames of a video: a file that FFmpeg decodes, or a folder of pictures."""

import itertools
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from stiid.data.video.image import PICTURE_SUFFIXES, pictures, read_picture
from stiid.errors import first_line, remedy

VIDEO_SUFFIXES = (".mp4", ".avi", ".gif", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
_DEFAULT_FPS = 25.0
# Containers whose times tell exactly which frame is which. Of others (AVI, MPEG, GIF) frames are
# counted from the first one on.
_TIMED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")


def video_name(path: Path) -> str:
    """What a video is called: a file without its suffix, or a folder of pictures."""
    return path.name if path.is_dir() else path.stem


class _Packet(NamedTuple):
    """What is to be known of a packet without its bytes."""

    time: int | None  # at which it is shown
    decoded_at: int | None
    is_left_out: bool


class VideoFile:
    """A video that is read frame after frame, so that its length costs no memory.

    Opening reads the file once without decoding it: a file that ends before all the frames that its
    header declares is refused here, not in the middle of a long job.

    Args:
        path: A video file, or a folder of pictures, which are frames in the order of the numbers in
            their names.

    Attributes:
        path: As given.
        num_frames: How many frames there are.
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
        self._times: dict[int, int] | None = None  # presentation time → number of the frame
        if self._pictures:
            self.num_frames = len(self._pictures)
            self.height, self.width = read_picture(self._pictures[0]).shape[:2]
        elif self.path.is_dir():
            raise ValueError(f"{self.path} holds no pictures {PICTURE_SUFFIXES}: name another path")
        else:
            self._index()

    def frames(
        self, start: int = 0, stop: int | None = None, step: int = 1
    ) -> Iterator[np.ndarray]:
        """Yields uint8 [H, W, 3] of the frames start, start + step, ... before `stop`.

        Raises:
            ValueError: If a frame cannot be decoded, or differs in size from the first.
        """
        stop = self.num_frames if stop is None else stop
        if not 0 <= start <= stop <= self.num_frames or step < 1:
            raise ValueError(
                f"{self.path} has {self.num_frames} frames, asked for {start}:{stop}:{step}"
            )
        wanted = range(start, stop, step)
        decoded = self._decode(wanted) if not self._pictures else self._read(wanted)
        for number, frame in zip(wanted, decoded, strict=True):
            if frame.shape != (self.height, self.width, 3):
                raise ValueError(
                    f"{self.path}: frame {number} has {frame.shape[1]}x{frame.shape[0]} pixels, "
                    f"the first has {self.width}x{self.height}: make all frames the same size"
                )
            yield frame

    def _read(self, wanted: range) -> Iterator[np.ndarray]:
        return (read_picture(self._pictures[number]) for number in wanted)

    def _index(self) -> None:
        """Finds the number and times of the frames by reading packets, without decoding them."""
        try:
            with av.open(str(self.path), metadata_errors="replace") as container:
                if not container.streams.video:
                    raise ValueError(f"{self.path} has no video stream")
                stream = container.streams.video[0]
                if stream.codec_context is None:  # the file ends before it says how it is coded
                    raise ValueError(
                        f"{self.path} has no decodable video: replace it or move it away"
                    )
                self.fps = float(stream.average_rate or Fraction(_DEFAULT_FPS))
                packets = [
                    _Packet(packet.pts, packet.dts, packet.is_discard)
                    for packet in container.demux(stream)
                    if packet.size
                ]
                declared, kind = stream.frames, container.format.name
        except (av.error.FFmpegError, OSError) as error:
            raise ValueError(
                f"{self.path} is no video that can be read ({first_line(error)}): "
                + remedy(error, "replace it or move it away")
            ) from error
        held = _places(packets) if kind == "avi" else len(packets)
        if held < declared:
            raise ValueError(
                f"{self.path} is truncated: it declares {declared} frames and holds {held}: "
                "replace it or move it away"
            )
        shown = [packet.time for packet in packets if not packet.is_left_out]
        self.num_frames = len(shown)
        if not shown:
            raise ValueError(f"{self.path} has no frames: replace it or move it away")
        times = sorted(time for time in shown if time is not None)
        if kind in _TIMED and len(set(times)) == len(shown):
            self._times = {time: number for number, time in enumerate(times)}
        self.height, self.width = next(self._decode(range(1))).shape[:2]

    def _decode(self, wanted: range) -> Iterator[np.ndarray]:
        remaining = iter(wanted)
        target = next(remaining, None)
        if target is None:
            return
        try:
            for number, frame in self._numbered_from(wanted.start):
                if frame.is_corrupt and number >= wanted.start:
                    raise ValueError(
                        f"{self.path}: frame {number} is damaged: replace the file or move it away"
                    )
                if number == target:
                    picture = frame.to_ndarray(format="rgb24")
                    yield np.ascontiguousarray(np.rot90(picture, frame.rotation // 90))
                    target = next(remaining, None)
                    if target is None:
                        return
        except av.error.FFmpegError as error:
            raise ValueError(
                f"{self.path}: cannot decode frame {target} ({first_line(error)}): "
                + remedy(error, "replace the file or move it away")
            ) from error
        raise ValueError(
            f"{self.path}: frame {target} of {self.num_frames} does not decode: "
            "replace the file or move it away"
        )

    def _numbered_from(self, start: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames with their numbers, from ``start`` or an earlier one on."""
        if self._times and start:
            frames = self._numbered(sorted(self._times)[start])
            first = next(frames, None)
            if first is not None and first[0] <= start:
                return itertools.chain([first], frames)
            # What a key frame needs from before it was left out: open groups of pictures.
        return self._numbered(None)

    def _numbered(self, time: int | None) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames with their numbers, from the key frame at or before a time on, or from the first.

        Those that are not to be shown are left out.
        """
        with av.open(str(self.path), metadata_errors="replace") as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            if time is not None:
                container.seek(time, stream=stream)
            for count, frame in enumerate(container.decode(stream)):
                if self._times is None:
                    yield count, frame
                elif frame.pts in self._times:
                    yield self._times[frame.pts], frame


def _places(packets: list[_Packet]) -> int:
    """Frames of an AVI with those that were dropped: they have a place in time and no packet."""
    times = [packet.decoded_at for packet in packets if packet.decoded_at is not None]
    return max(times) - min(times) + 1 if times else 0
