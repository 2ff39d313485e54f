"""Decomposition of any video by a trained model: ``--mode=decompose --input=VIDEO``."""

import contextlib
import itertools
import json
import logging
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stiid.data.video.frames import Footage, open_video, originals
from stiid.data.video.video_file import video_name
from stiid.errors import first_line
from stiid.outputs.decomposition import Samples, SlotFrame, Written, stacked, write_decomposition
from stiid.outputs.figure import FigureRequest, write_figure
from stiid.outputs.sheets import decomposition_strips
from stiid.progress import counted
from stiid.training.trained_model import Model

_LOG = logging.getLogger("stiid")


class Request(NamedTuple):
    """A video, and the part of it that the model sees."""

    path: str | None  # a video file or a folder of images
    crop: tuple[int, ...] | None = None  # see ``data.view.View``; None: as in training
    stride: int | None = None  # None: as in training
    aspect: str | None = None  # None: as in training
    frames: int | None = None  # largest number of frames, from the first on; None: all

    def check(self) -> None:
        """Find mistakes that need no model to be found.

        Raises:
          OSError, ValueError: no video is named, or it is missing or damaged.
        """
        if self.path is None:
            raise ValueError("--input is missing: name a video file or a folder of images")
        if self.frames is not None and self.frames < 1:
            raise ValueError(f"--frames must be at least 1, got {self.frames}")
        open_video(self.path)

    def open(self, model: Model) -> Footage:
        """Open the video, after ``check``, as frames for a model.

        Raises:
          OSError, ValueError: it has changed since then, or the crop does not fit.
        """
        assert self.path is not None
        video = model.open(self.path, crop=self.crop, stride=self.stride, aspect=self.aspect)
        if self.frames is None:
            return video
        total = self.frames if video.total is None else min(self.frames, video.total)
        return video._replace(frames=itertools.islice(video.frames, self.frames), total=total)


def decompose_video(
    model: Model, video: Footage, workdir: Path, figure: FigureRequest | None = None
) -> tuple[Written, Path]:
    """Decompose a video frame by frame, in constant memory.

    If a frame cannot be read, the decomposition ends before it; the log and ``info.json`` say why.
    Such a partial decomposition does not replace an older one.

    Args:
      model: one that works frame by frame.
      video: of any length.
      workdir: the files go to its folder ``decompose/NAME``, see ``write_decomposition``.
      figure: a figure of some frames, to be written as well.

    Returns:
      What was written, and the folder.

    Raises:
      ValueError: the folder holds the decomposition of another video or by another model; or a
        frame cannot be read, and it is the first one or an older decomposition exists.
    """
    folder = target(workdir, video.info.path, model.card["checkpoint"])
    faults: list[str] = []
    card, samples, chosen = dict(model.card), Samples(), list[SlotFrame]()
    readable = video._replace(frames=_until_a_fault(video.frames, faults))

    def results() -> Generator[SlotFrame, None, None]:
        count = 0
        frames = counted(model.stream(readable), "Decomposing", total=video.total, unit="frames")
        for frame in frames:
            if figure is None or not figure.frames:
                samples.append(frame)
            elif frame.number in figure.frames:
                chosen.append(frame)
            yield frame
            count += 1
        if faults and (not count or folder.exists()):
            raise ValueError(faults[0])
        card["ended_by"] = faults[0] if faults else None

    with contextlib.closing(results()) as frames:  # an error ends the progress bar's line first
        written = write_decomposition(
            folder, frames, info=video.info, card=card, originals=originals(video.info)
        )
    if figure is not None:
        shown = chosen or samples.frames(10)
        numbers = [frame.number for frame in shown]
        strips = decomposition_strips(*stacked(shown), background=written.background)
        write_figure(figure, strips, numbers=numbers)
    if faults:
        _LOG.warning("%s. The %d frames before it are decomposed", faults[0], written.frames)
    return written, folder


def target(workdir: Path, video: Path | None, checkpoint: str) -> Path:
    """The folder for the decomposition of a video, named after the video.

    Raises:
      ValueError: it holds a decomposition of another input or by another model.
    """
    if video is None:
        raise ValueError("only files have a folder for their decomposition: use Result.save")
    folder = workdir / "decompose" / video_name(video)
    path = folder / "info.json"
    if path.exists():
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
            found = {"input": card["input"], "checkpoint": card.get("checkpoint", checkpoint)}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(
                f"{path} is damaged ({first_line(error)}): move {folder} away"
            ) from error
        for name, ours in (("input", str(video)), ("checkpoint", checkpoint)):
            if found[name] != ours:
                what = "of the video" if name == "input" else "by the model"
                raise ValueError(
                    f"{folder} holds the decomposition {what} {found[name]}, not {ours}: move it "
                    "away, or use another --workdir"
                )
    return folder


def _until_a_fault(frames: Iterator[np.ndarray], faults: list[str]) -> Iterator[np.ndarray]:
    """Yield frames up to the first that cannot be read; add its error to ``faults``."""
    try:
        yield from frames
    except ValueError as error:
        faults.append(str(error))
