"""Frames of a video: a file that FFmpeg decodes, or a folder of pictures."""

import os
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

VIDEO_SUFFIXES = (".mp4", ".avi", ".gif", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
_DEFAULT_FPS = 25.0


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
        height, width: In pixels.

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
            self.height, self.width = _read_picture(self._pictures[0]).shape[:2]
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
        return (_read_picture(self._pictures[number]) for number in wanted)

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
                self.height, self.width = stream.height, stream.width
                self.fps = float(stream.average_rate or Fraction(_DEFAULT_FPS))
                packets = [
                    (packet.pts, packet.is_discard)
                    for packet in container.demux(stream)
                    if packet.size
                ]
                declared = stream.frames
        except (av.error.FFmpegError, OSError) as error:
            raise ValueError(
                f"{self.path} is no video that can be read ({_reason(error)}): "
                "replace it or move it away"
            ) from error
        if len(packets) < declared:
            raise ValueError(
                f"{self.path} is truncated: it declares {declared} frames and holds "
                f"{len(packets)}: replace it or move it away"
            )
        shown = [time for time, discarded in packets if not discarded]
        self.num_frames = len(shown)
        if not shown:
            raise ValueError(f"{self.path} has no frames: replace it or move it away")
        times = sorted(time for time in shown if time is not None)
        if len(set(times)) == len(shown):
            self._times = {time: number for number, time in enumerate(times)}

    def _decode(self, wanted: range) -> Iterator[np.ndarray]:
        number, remaining = -1, iter(wanted)
        target = next(remaining, None)
        if target is None:
            return
        try:
            with av.open(str(self.path), metadata_errors="replace") as container:
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"
                if self._times and wanted.start:
                    # To the key frame at or before the first wanted frame.
                    container.seek(sorted(self._times)[wanted.start], stream=stream)
                for frame in container.decode(stream):
                    if self._times is None or frame.pts is None:
                        number += 1
                    elif frame.pts in self._times:
                        number = self._times[frame.pts]
                    else:
                        continue
                    if frame.is_corrupt:
                        raise ValueError(
                            f"{self.path}: frame {number} is damaged: replace the file or move it "
                            "away"
                        )
                    if number == target:
                        yield frame.to_ndarray(format="rgb24")
                        target = next(remaining, None)
                        if target is None:
                            return
        except av.error.FFmpegError as error:
            raise ValueError(
                f"{self.path}: cannot decode frame {target} ({_reason(error)}): "
                "replace the file or move it away"
            ) from error
        raise ValueError(
            f"{self.path}: frame {target} of {self.num_frames} does not decode: "
            "replace the file or move it away"
        )


def pictures(folder: Path) -> list[Path]:
    """The pictures in a folder, in the order of the numbers in their names."""
    return sorted(
        (path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES),
        key=lambda path: [int(s) if s.isdigit() else s for s in re.split(r"(\d+)", path.stem)],
    )


def _read_picture(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged files
        raise ValueError(f"{path} is no picture that can be read ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]
