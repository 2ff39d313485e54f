"""Decomposition of any video by a trained model: ``--mode=decompose --input=VIDEO``."""

import contextlib
import json
import logging
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from stiid.data.video.frames import Footage
from stiid.data.video.video_file import video_name
from stiid.errors import first_line
from stiid.outputs.decomposition import SlotFrame, write_decomposition
from stiid.training.trained_model import Model

_LOG = logging.getLogger("stiid")


class Request(NamedTuple):
    """A video, and how the model looks at it."""

    path: str | None  # a video file or a folder of images
    crop: tuple[int, ...] | None = None  # see ``data.view.View``; None: as in training
    stride: int | None = None  # None: as in training

    def open(self, model: Model) -> Footage:
        """The video as frames for a model.

        Raises:
          OSError, ValueError: the video is missing or damaged, or the crop does not fit it.
        """
        if self.path is None:
            raise ValueError("--input is missing: name a video file or a folder of images")
        return model.open(self.path, crop=self.crop, stride=self.stride)


def decompose_video(model: Model, video: Footage, workdir: Path) -> tuple[int, Path]:
    """Decompose a video frame after frame, in constant memory.

    If a frame cannot be read, the video ends before it: the log and ``info.json`` say why. An older
    decomposition is not replaced by such a part of one.

    Args:
      model: that works frame after frame.
      video: of any length.
      workdir: the files go to its folder ``decompose/NAME``, see ``write_decomposition``.

    Returns:
      The number of frames, and the folder.

    Raises:
      ValueError: the folder holds the decomposition of another video or by another model; or a
        frame cannot be read, and it is the first or an older decomposition is there.
    """
    folder = target(workdir, video.info.path, model.card["checkpoint"])
    faults: list[str] = []
    card = dict(model.card)
    readable = video._replace(frames=_until_a_fault(video.frames, faults))

    def results() -> Generator[SlotFrame, None, None]:
        count = 0
        for frame in tqdm(model.stream(readable), total=video.total, unit="frame"):
            yield frame
            count += 1
        if faults and (not count or folder.exists()):
            raise ValueError(faults[0])
        card["ended_by"] = faults[0] if faults else None

    _LOG.info("Compiling, then decomposing %s", video.info.path)
    with contextlib.closing(results()) as frames:  # an error ends the progress bar's line first
        count = write_decomposition(folder, frames, info=video.info, card=card)
    if faults:
        _LOG.warning("%s. The %d frames before it are decomposed", faults[0], count)
    return count, folder


def target(workdir: Path, video: Path | None, checkpoint: str) -> Path:
    """The folder for the decomposition of a video: named like it.

    Raises:
      ValueError: it holds that of another input, or by another model.
    """
    if video is None:
        raise ValueError("only the decomposition of a file has a name: use Result.save")
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
    """The frames before the first that cannot be read, if there is one; its error is noted."""
    try:
        yield from frames
    except ValueError as error:
        faults.append(str(error))
