"""Files of a streamed decomposition, written frame by frame in constant memory."""

import csv
import dataclasses
import itertools
import shutil
import tempfile
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from PIL import Image

from stiid.data.spacing import spaced
from stiid.data.video.frames import VideoInfo
from stiid.files import atomic_directory, write_json
from stiid.media import open_mp4, write_png
from stiid.outputs.palette import PALETTE, colorize
from stiid.outputs.sheets import decomposition_frames, decomposition_sheet
from stiid.outputs.trails import TrailedOverlays
from stiid.outputs.trajectories import SlotPlace, background_slot, slot_kinds, slot_places
from stiid.progress import waiting

_EXPLAINED = 0.7  # least share of a video's variance that a suitable model explains
_SIDE = 384  # target size of the longer side of masks.mp4 and overlay.mp4, in pixels
_ONE_COLOR = 1e-6  # variance of a video of one color
_COLUMNS = 10  # frames in the sheet
_DECIDING = 50  # first frames of a video, which decide about its background


class Written(NamedTuple):
    """Summary of the files written for a video."""

    frames: int
    explained: float  # share of the pixels' variance that the reconstruction explains
    background: int  # slot of the background

    @property
    def note(self) -> str:
        """One line that says how well the model fits the video."""
        text = f"the slots explain {max(0.0, 100 * self.explained):.0f} % of this video's variance"
        if self.explained >= _EXPLAINED:
            return text
        return (
            f"{text}: the model was not trained on such videos, or not for long enough, and its "
            "masks mean little. Train on such videos with configs/own_video.py"
        )


class SlotFrame(NamedTuple):
    """A decomposed frame."""

    number: int  # in the input
    image: np.ndarray  # uint8 [H, W, C], as the model saw it
    reconstruction: np.ndarray  # [H, W, C] in [0, 1]
    masks: np.ndarray  # [K, H, W] probabilities
    means: np.ndarray  # [K, H, W, C] in [0, 1]


def write_decomposition(
    folder: Path,
    frames: Iterable[SlotFrame],
    *,
    info: VideoInfo,
    card: Mapping[str, Any],
    originals: Iterator[np.ndarray] | None = None,
    num_observed: int | None = None,
) -> Written:
    """Write the files of ``open_decomposition`` and info.json, all of them or none.

    The first frames decide which slot is the background: so many of them are taken before the first
    one is written.

    Args:
      folder: replaced if it exists.
      frames: decomposed frames of one video; may be computed lazily.
      info: where the frames come from.
      card: further entries of info.json; read after the last frame.
      originals: the same frames as in their file, for the overlay.
      num_observed: only the first frames count for what is explained; None: all.

    Returns:
      The number of frames, the share of their variance that is explained, and the background.
    """
    count, slots, fit = 0, 0, _Fit()
    background, frames = _background(iter(frames))
    shown = [*info.origin, info.view.width * info.scale[0], info.view.height * info.scale[1]]
    with atomic_directory(folder) as temporary, ExitStack() as finishing:
        with open_decomposition(
            temporary,
            fps=info.fps / info.view.stride,
            origin=np.array(info.origin),
            scale=np.array(info.scale),
            background=background,
        ) as append:
            for frame in frames:
                original = None if originals is None else next(originals)
                append(frame, original)
                if num_observed is None or count < num_observed:
                    fit.append(frame)
                count, slots = count + 1, len(frame.masks)
                if original is not None:
                    shown = [0.0, 0.0, float(original.shape[1]), float(original.shape[0])]
            finishing.enter_context(waiting("Writing the last files"))
        content = {
            "input": None if info.path is None else str(info.path),
            "frames": count,
            "ended_by": None,
            "fps": info.fps,
            "view": dataclasses.asdict(info.view),
            "slots": slots,
            "background": background,
            "explained": None if num_observed == 0 else round(fit.explained, 4),
            "shown": shown,  # area of overlay.mp4 in the input: left, top, width, height
        }
        write_json(temporary / "info.json", {**content, **card})
    return Written(count, fit.explained, background)


@contextmanager
def open_decomposition(
    folder: Path, *, fps: float, origin: np.ndarray, scale: np.ndarray, background: int
) -> Iterator[Callable[[SlotFrame, np.ndarray | None], None]]:
    """Yield a function that adds a frame to all files in a folder.

    Its arguments are the decomposed frame and the same frame as in its file, or None.

    ================ ===============================================================================
    masks.npz        slots uint8 [T, H, W], the most probable slot; probabilities uint8
                     [T, K, H, W], times 255; frames int64 [T], their numbers in the input
    masks/           a palette PNG for every frame: a pixel's value is its slot, as in DAVIS
    masks.mp4        the same as a video
    overlay.mp4      the input, in its own pixels and aspect ratio, with all slots but the
                     background's shown in color, and lines through their last centroids
    slots.mp4        input, reconstruction, masks, and every slot's own image, side by side
    sheet.png        the same for some evenly spaced frames
    trajectories.csv a row for every frame and slot: see ``trajectories.SlotPlace`` and, for its
                     last column, ``trajectories.slot_kinds``
    ================ ===============================================================================

    Args:
      folder: must exist and be empty.
      fps: of the videos.
      origin: (x, y) of the images' corner in the input.
      scale: (x, y) pixels of the input per pixel of the images.
      background: slot of the background, in all frames.
    """
    (folder / "masks").mkdir()
    samples = Samples()
    overlays = TrailedOverlays(origin=origin, scale=scale, hidden=background, side=_SIDE)
    with (
        _open_arrays(folder / "masks.npz") as append_arrays,
        open_mp4(folder / "masks.mp4", fps=fps) as append_masks,
        open_mp4(folder / "overlay.mp4", fps=fps) as append_overlay,
        open_mp4(folder / "slots.mp4", fps=fps) as append_slots,
        (folder / "trajectories.csv").open("w", newline="", encoding="utf-8") as file,
    ):
        table = csv.writer(file)
        table.writerow(["frame", "slot", *SlotPlace._fields, "kind"])

        def append(frame: SlotFrame, original: np.ndarray | None) -> None:
            slots = frame.masks.argmax(0).astype(np.uint8)
            times = max(1, round(_SIDE / max(slots.shape)))
            append_arrays(
                {
                    "slots": slots,
                    "probabilities": np.rint(255 * frame.masks).astype(np.uint8),
                    "frames": np.int64(frame.number),
                }
            )
            _write_palette_png(folder / "masks" / f"{frame.number:06d}.png", slots)
            append_masks(colorize(slots).repeat(times, 0).repeat(times, 1))
            parts = (part[None] for part in frame[1:])
            known: dict[str, Any] = {"numbers": [frame.number], "background": background}
            append_slots(decomposition_frames(*parts, **known)[0])
            kinds = slot_kinds(slots, num_slots=len(frame.masks), background=background)
            places = slot_places(slots, num_slots=len(frame.masks), origin=origin, scale=scale)
            append_overlay(overlays.draw(frame.image, original, slots, places))
            for slot, place in enumerate(places):
                values = ("" if np.isnan(value) else f"{value:.6g}" for value in place)
                table.writerow([frame.number, slot, *values, kinds[slot]])
            samples.append(frame)

        yield append
    write_png(folder / "sheet.png", samples.sheet(background))


def _background(frames: Iterator[SlotFrame]) -> tuple[int, Iterator[SlotFrame]]:
    """Choose the background's slot by the first frames, and give all frames back."""
    first = deque(itertools.islice(frames, _DECIDING))
    slots = np.stack([frame.masks.argmax(0) for frame in first])
    held = (first.popleft() for _ in range(len(first)))  # each is released when it is written
    return background_slot(slots), itertools.chain(held, frames)


def _write_palette_png(path: Path, slots: np.ndarray) -> None:
    image = Image.fromarray(slots)
    # 256 entries: with fewer, Pillow writes a file without room for higher slot numbers.
    image.putpalette(np.resize(PALETTE, (256, 3)).tobytes())
    image.save(path)


@contextmanager
def _open_arrays(path: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield a function that appends to the arrays of an NPZ file along their first axis.

    An array's header holds the number of frames, which is known only at the end: until then the
    arrays are kept, uncompressed, in temporary files.
    """
    parts: dict[str, tuple[IO[bytes], Any]] = {}
    count = 0

    with ExitStack() as stack:

        def append(entries: dict[str, Any]) -> None:
            nonlocal count
            for name, entry in entries.items():
                if name not in parts:
                    file = stack.enter_context(tempfile.TemporaryFile(dir=path.parent))
                    parts[name] = (file, entry)
                parts[name][0].write(entry.tobytes())
            count += 1

        yield append
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, (part, entry) in parts.items():
                header = {
                    "descr": np.lib.format.dtype_to_descr(entry.dtype),
                    "fortran_order": False,
                    "shape": (count, *entry.shape),
                }
                part.seek(0)
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array_header_1_0(file, header)
                    shutil.copyfileobj(part, file)


class _Fit:
    """Share of a video's variance over its pixels that the reconstruction explains."""

    def __init__(self) -> None:
        self._count, self._error = 0, 0.0
        self._sums = np.zeros((2, 1))  # of the values and of their squares, by channel

    def append(self, frame: SlotFrame) -> None:
        image = frame.image.astype(np.float64).reshape(-1, frame.image.shape[-1]) / 255
        reconstruction = frame.reconstruction.reshape(image.shape)
        self._count += len(image)
        self._sums = self._sums + np.stack([image.sum(0), (image**2).sum(0)])
        self._error += float(((image - reconstruction) ** 2).sum())

    @property
    def explained(self) -> float:
        """1 is best, also if all pixels are equal; 0: as good as one color; < 0: worse."""
        means, squares = self._sums / max(self._count, 1)
        variance = float((squares - means**2).sum()) * self._count
        return 1.0 if variance <= _ONE_COLOR * self._count else 1 - self._error / variance


class Samples:
    """A few frames spread evenly over a video whose length is not known in advance."""

    def __init__(self) -> None:
        self._frames: list[SlotFrame] = []
        self._count, self._spacing = 0, 1

    def append(self, frame: SlotFrame) -> None:
        """Keep a frame if it is one of the samples."""
        if self._count % self._spacing == 0:
            self._frames.append(frame)
        self._count += 1
        if len(self._frames) > 2 * _COLUMNS:
            self._frames, self._spacing = self._frames[::2], 2 * self._spacing

    def frames(self, count: int) -> list[SlotFrame]:
        """At most ``count`` of the samples, in order."""
        return [self._frames[place] for place in spaced(len(self._frames), count)]

    def sheet(self, background: int) -> np.ndarray:
        """The samples as a sheet, uint8 [H', W', 3]."""
        frames = self.frames(_COLUMNS)
        known: dict[str, Any] = {"numbers": [frame.number for frame in frames]}
        known["background"] = background
        return decomposition_sheet(*stacked(frames), frames=range(len(frames)), **known)


def stacked(frames: Sequence[SlotFrame]) -> tuple[np.ndarray, ...]:
    """Images, reconstructions, masks and means of some frames, [T, …] each."""
    return tuple(np.stack(part) for part in zip(*(frame[1:] for frame in frames), strict=True))
