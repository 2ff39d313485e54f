"""Decomposition of any video by a trained model: ``--mode=decompose --input=VIDEO``."""

import dataclasses
import itertools
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm.auto import tqdm

from stiid.config.experiment import Evaluate
from stiid.data.video.video_file import VideoFile, video_name
from stiid.data.view import View
from stiid.errors import first_line
from stiid.files import atomic_directory, write_json
from stiid.models.base import StreamingModel, row_keys
from stiid.outputs.decomposition import SlotFrame, open_decomposition
from stiid.paths import local_path
from stiid.shapes import Params

_LOG = logging.getLogger("stiid")


class Request(NamedTuple):
    """A video, and how the model looks at it."""

    path: str | None  # a video file or a folder of pictures
    crop: tuple[int, ...] | None = None  # see ``data.view.View``; None: as in training
    stride: int | None = None  # None: as in training

    def open(self, trained: View) -> tuple[VideoFile, View]:
        """The video, and how its frames become frames for the model.

        Raises:
          OSError, ValueError: the video is missing or damaged, or the crop does not fit it.
        """
        if self.path is None:
            raise ValueError("--input is missing: name a video file or a folder of pictures")
        video = VideoFile(local_path(self.path, "--input"))
        view = dataclasses.replace(
            trained,
            crop=trained.crop if self.crop is None else self.crop,
            stride=trained.stride if self.stride is None else self.stride,
        )
        view.window(video.height, video.width)
        return video, view


def target(workdir: Path, video: VideoFile) -> Path:
    """The folder for the decomposition of a video: named like it.

    Raises:
      ValueError: it holds that of another input.
    """
    path = video.path
    folder = workdir / "decompose" / video_name(path)
    card = folder / "info.json"
    if card.exists():
        try:
            other = json.loads(card.read_text(encoding="utf-8"))["input"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{card} is damaged ({first_line(error)}): move {folder} away"
            ) from error
        if other != str(path):
            raise ValueError(
                f"{folder} holds the decomposition of {other}, not of {path}: move it away, or use "
                "another --workdir"
            )
    return folder


def decompose_video(
    folder: Path,
    video: VideoFile,
    view: View,
    *,
    settings: Evaluate,
    system: StreamingModel,
    params: Params,
    card: dict[str, Any],
) -> int:
    """Decomposes a video frame after frame and writes ``decomposition_files``' files.

    If a frame cannot be read, the video ends before it: the log and ``info.json`` say why. An older
    decomposition is not replaced by such a part of one.

    Args:
      folder: of the files; replaced when all of them are complete.
      video: of any length.
      view: how a frame of the file becomes a frame for the model.
      settings: slots, noise, restarts and seed; the noise is that of a source's first clip.
      system: the model with its test-time inference.
      params: of the model.
      card: what ``info.json`` says beside the video and the view.

    Returns:
      The number of frames.

    Raises:
      ValueError: a frame cannot be read, and it is the first or an older decomposition is there.
    """
    faults: list[str] = []
    readable = _until_a_fault(video.frames(step=view.stride), faults)
    frames, inputs = itertools.tee(map(view.frame, readable))
    count = 0
    results = system.stream(
        params,
        inputs,
        row_keys(jax.random.key(settings.seed), jnp.zeros(1, jnp.int32))[0],
        settings.decoding,
    )
    with atomic_directory(folder) as temporary:
        with open_decomposition(
            temporary,
            fps=video.fps / view.stride,
            origin=view.origin(),
            scale=view.scale(video.height, video.width),
        ) as append:
            progress = tqdm(results, unit="frame", total=-(-video.packets // view.stride))
            for frame, result in zip(frames, progress, strict=True):
                parts = (result.reconstruction, result.masks, result.means)
                arrays = (np.asarray(part)[0, 0] for part in parts)
                append(SlotFrame(count * view.stride, frame, *arrays))
                count += 1
            if faults and (not count or folder.exists()):
                raise ValueError(faults[0])
        write_json(
            temporary / "info.json",
            {
                "input": str(video.path),
                "frames": count,
                "ended_by": faults[0] if faults else None,
                "fps": video.fps,
                "view": dataclasses.asdict(view),
                "slots": settings.num_slots,
                **card,
            },
        )
    if faults:
        _LOG.warning("%s. The %d frames before it are decomposed", faults[0], count)
    return count


def _until_a_fault(frames: Iterator[np.ndarray], faults: list[str]) -> Iterator[np.ndarray]:
    """The frames before the first that cannot be read, if there is one; its error is noted."""
    try:
        yield from frames
    except ValueError as error:
        faults.append(str(error))
