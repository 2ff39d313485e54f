"""The result of a decomposition: arrays, files, and a sheet for notebooks."""

import dataclasses
import io
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stiid.data.spacing import spaced
from stiid.data.video.frames import VideoInfo, originals
from stiid.files import atomic_directory
from stiid.media import write_gif
from stiid.models.base import Decomposition, Latents
from stiid.outputs.decomposition import SlotFrame, write_decomposition
from stiid.outputs.figure import FigureRequest, write_figure
from stiid.outputs.sheets import decomposition_frames, decomposition_sheet, decomposition_strips
from stiid.outputs.trajectories import background_slot, slot_kinds

_COLUMNS = 10  # frames in a sheet
_UNSEEN = 128  # gray, shown in place of frames that the model has not seen


@dataclass(frozen=True, repr=False)
class Result:
    """A decomposed video, or a batch of them, as NumPy arrays.

    Shapes are those of one video; in a batch [B, T, H, W, C] all arrays begin with the axis B.
    T counts all frames: the observed ones, then those that were simulated.

    Attributes:
      video: uint8 [T, H, W, C], as the model saw it; simulated frames are gray.
      reconstruction: float32 [T, H, W, C] in [0, 1], the slots mixed by their masks.
      masks: float32 [T, K, H, W], probabilities over the K slots.
      means: float32 [T, K, H, W, C] in [0, 1], each slot's own image.
      kl: float32 [T, K], KL divergence of each slot's posterior from its prior, in nats.
      latents: ``z`` [T, K, D], posterior means, and ``h`` [T, K, M], the hidden state that they
        are decoded with; None for models without such latents (R-NEM, DDPAE).
      positions: float32 [T, N, 2], positions that the model itself infers (DDPAE); else None.
      num_observed: how many of the T frames the model has seen.
      info: where the frames come from.
      card: what ``save`` writes about the model.
    """

    video: np.ndarray
    reconstruction: np.ndarray
    masks: np.ndarray
    means: np.ndarray
    kl: np.ndarray
    latents: Latents | None
    positions: np.ndarray | None
    num_observed: int
    info: VideoInfo
    card: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, video: np.ndarray, found: Decomposition, info: VideoInfo, card: Mapping[str, Any]
    ) -> "Result":
        """Build a result; of a batch of one, if the video has no axis B.

        Args:
          video: uint8 [T0, H, W, C] or [B, T0, H, W, C], the observed frames.
          found: [B, T, …], including the T − T0 simulated frames.
          info: where the video comes from.
          card: see the class.
        """
        arrays = found._asdict()
        if video.ndim == 4:
            arrays = {name: _first(value) for name, value in arrays.items()}
        observed = video.shape[-4]
        gray = np.full_like(arrays["reconstruction"], _UNSEEN, np.uint8)
        shown = np.concatenate([video, gray[..., observed:, :, :, :]], axis=-4)
        return cls(video=shown, num_observed=observed, info=info, card=card, **arrays)

    @property
    def slots(self) -> np.ndarray:
        """The most probable slot of each pixel, uint8 [T, H, W]."""
        return self.masks.argmax(-3).astype(np.uint8)

    @property
    def object_counts(self) -> np.ndarray:
        """Number of slots that show an object in each frame, [T]."""
        if self.is_batch:
            return np.stack([one.object_counts for one in self])
        slots, count = self.slots, self.masks.shape[-3]
        known = {"num_slots": count, "background": background_slot(slots)}
        return np.array([slot_kinds(frame, **known).count("object") for frame in slots])

    @property
    def is_batch(self) -> bool:
        """Whether the arrays begin with an axis B."""
        return self.video.ndim == 5

    @property
    def observed(self) -> "Result":
        """The frames that the model has seen."""
        return self._frames(slice(0, self.num_observed), self.num_observed)

    @property
    def simulated(self) -> "Result":
        """The simulated frames, which follow the observed ones.

        Raises:
          ValueError: there are none.
        """
        if self.num_observed == self.kl.shape[-2]:
            raise ValueError("this result has no simulated frames: use Model.predict")
        return self._frames(slice(self.num_observed, None), 0)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the files of ``stiid decompose``: masks, animations, a sheet, trajectories.

        ``outputs.decomposition.open_decomposition`` describes them.

        Args:
          folder: replaced if it exists. For a batch, it gets a folder video_000, video_001, … for
            each video.

        Returns:
          The folder.
        """
        path = Path(folder).expanduser().resolve()
        if not self.is_batch:
            write_decomposition(
                path,
                self._slot_frames(),
                info=self.info,
                card=self.card,
                originals=originals(self.info) if self._simulated_from is None else None,
                num_observed=self.num_observed,
            )
            return path
        with atomic_directory(path) as temporary:
            for i, one in enumerate(self):
                one.save(temporary / f"video_{i:03d}")
        return path

    def sheet(self, *, clip: int = 0, true_masks: np.ndarray | None = None) -> np.ndarray:
        """Show ten frames side by side in one image: input, reconstruction, masks, and every slot.

        Args:
          clip: number of the video in a batch.
          true_masks: integers of the shape of ``slots``, shown above the masks.

        Returns:
          uint8 [H', W', 3].
        """
        parts = self._parts(clip, true_masks)
        columns = spaced(len(parts[0]), _COLUMNS)
        return decomposition_sheet(*parts, frames=columns, simulated_from=self._simulated_from)

    def figure(
        self,
        path: str | os.PathLike[str],
        *,
        clip: int = 0,
        frames: Sequence[int] = (),
        rows: Sequence[str] = (),
        scale: float = 0.0,
        true_masks: np.ndarray | None = None,
    ) -> Path:
        """Write a figure for a paper or a talk, as SVG, PDF or PNG.

        Args:
          path: of the figure; the suffix decides the format.
          clip: number of the video in a batch.
          frames: their numbers in the video; (): some, evenly spaced.
          rows: "input", "reconstruction", "masks", "truth", "slot 0", …; (): all.
          scale: points per pixel; 0: a tile of about 54 points.
          true_masks: see ``sheet``.

        Returns:
          The path.

        Raises:
          ValueError: there is no such frame or row, or the suffix is another one.
        """
        place = Path(path).expanduser().resolve()
        request = FigureRequest(place, clip, tuple(frames), tuple(rows), scale)
        strips = decomposition_strips(*self._parts(clip, true_masks))
        write_figure(request, strips, simulated_from=self._simulated_from)
        return place

    def animation(
        self, *, clip: int = 0, true_masks: np.ndarray | None = None, fps: float = 6.0
    ) -> bytes:
        """All frames as the bytes of a GIF; see ``sheet``."""
        frames = decomposition_frames(
            *self._parts(clip, true_masks), simulated_from=self._simulated_from
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "animation.gif")
            write_gif(path, frames, fps=fps)
            return path.read_bytes()

    def show(
        self, *, clip: int = 0, true_masks: np.ndarray | None = None, animate: bool = False
    ) -> None:
        """Show a sheet or an animation: in a notebook below the cell, else in an image viewer.

        Args:
          clip: see ``sheet``.
          true_masks: see ``sheet``.
          animate: show all frames as a GIF.
        """
        if animate:
            data = self.animation(clip=clip, true_masks=true_masks)
        else:
            data = _png(self.sheet(clip=clip, true_masks=true_masks))
        try:
            from IPython import display, get_ipython
        except ImportError:
            in_notebook = False
        else:
            in_notebook = get_ipython() is not None
        if in_notebook:
            display.display(display.Image(data, format="gif" if animate else "png"))
        else:
            Image.open(io.BytesIO(data)).show()

    def _repr_png_(self) -> bytes:
        return _png(self.sheet())

    def __repr__(self) -> str:
        shapes = (f"{name}{list(getattr(self, name).shape)}" for name in ("video", "masks"))
        return f"Result({', '.join(shapes)}, num_observed={self.num_observed})"

    def __iter__(self) -> Iterator["Result"]:
        """The videos of a batch one by one."""
        if not self.is_batch:
            raise TypeError("this is the result of one video: iterate over its arrays")
        return (self._map(lambda x, i=i: x[i]) for i in range(len(self.video)))

    @property
    def _simulated_from(self) -> int | None:
        return None if self.num_observed == self.kl.shape[-2] else self.num_observed

    def _frames(self, part: slice, num_observed: int) -> "Result":
        axes = (slice(None),) * self.is_batch
        chosen = self._map(lambda x: x[(*axes, part)])
        return dataclasses.replace(chosen, num_observed=num_observed)

    def _map(self, function: Any) -> "Result":
        """Apply a function to all arrays."""
        names = ("video", "reconstruction", "masks", "means", "kl")
        changes = {name: function(getattr(self, name)) for name in names}
        latents = None if self.latents is None else Latents(*map(function, self.latents))
        positions = None if self.positions is None else function(self.positions)
        return dataclasses.replace(self, **changes, latents=latents, positions=positions)

    def _parts(self, clip: int, true_masks: np.ndarray | None) -> tuple[Any, ...]:
        """Arguments of ``decomposition_sheet`` for one video."""
        arrays = (self.video, self.reconstruction, self.masks, self.means)
        if true_masks is not None:
            true_masks = np.asarray(true_masks)
        if not self.is_batch:
            return (*arrays, true_masks)
        return (*(x[clip] for x in arrays), None if true_masks is None else true_masks[clip])

    def _slot_frames(self) -> Iterator[SlotFrame]:
        arrays = (self.video, self.reconstruction, self.masks, self.means)
        for t, parts in enumerate(zip(*arrays, strict=True)):
            yield SlotFrame(t * self.info.view.stride, *parts)


def _first(value: Any) -> Any:
    """The first of a batch."""
    if isinstance(value, Latents):
        return Latents(*(x[0] for x in value))
    return None if value is None else value[0]


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()
