"""Trails on overlays: lines through the places at which objects were in the last frames."""

import itertools
import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from stiid.outputs.overlay import overlay, overlay_on_original
from stiid.outputs.palette import PALETTE
from stiid.outputs.trajectories import SlotPlace

_FRAMES = 12  # in a trail
_LINE, _RIM = 3, 5  # widths in pixels
_RIM_COLOR = (255, 255, 255)


class Trails:
    """Draws each slot's last centroids as a line in the slot's color, frame after frame.

    Args:
      hidden: slot without a trail: the background.
    """

    def __init__(self, hidden: int):
        self._hidden = hidden
        self._last: deque[list[tuple[float, float]]] = deque(maxlen=_FRAMES)

    def draw(
        self, image: np.ndarray, places: Sequence[SlotPlace], *, corner: np.ndarray, factor: float
    ) -> np.ndarray:
        """Draw the trails that end in this frame.

        Args:
          image: overlay of the frame, uint8 [H, W, 3].
          places: of all slots in it, in pixels of the input.
          corner: (x, y) of the image's corner in the input.
          factor: pixels of the image per pixel of the input.

        Returns:
          uint8 [H, W, 3].
        """
        left, top = corner.tolist()
        self._last.append([((p.x - left) * factor, (p.y - top) * factor) for p in places])
        drawn = Image.fromarray(image)
        draw = ImageDraw.Draw(drawn)
        for slot in range(len(places)):
            if slot == self._hidden:
                continue
            color = tuple(PALETTE[slot % len(PALETTE)].tolist())
            steps = list(itertools.pairwise(points[slot] for points in self._last))
            for width, fill in ((_RIM, _RIM_COLOR), (_LINE, color)):
                for step in steps:
                    if not any(math.isnan(value) for point in step for value in point):
                        draw.line(step, fill=fill, width=width)
        return np.array(drawn)


class TrailedOverlays:
    """Draws the overlays of a video's frames, one after the other, with trails.

    Args:
      origin: (x, y) of the corner of the model's input, in pixels of the video.
      scale: (x, y) pixels of the video per pixel of the model's input.
      hidden: slot that is not drawn: the background.
      side: target size of the longer side, in pixels.
    """

    def __init__(self, *, origin: np.ndarray, scale: np.ndarray, hidden: int, side: int):
        self._origin, self._scale, self._hidden, self._side = origin, scale, hidden, side
        self._trails = Trails(hidden)

    def draw(
        self,
        image: np.ndarray,
        original: np.ndarray | None,
        slots: np.ndarray,
        places: Sequence[SlotPlace],
    ) -> np.ndarray:
        """Draw the next frame.

        Args:
          image: the model's input, uint8 [h, w, C].
          original: the frame as in its file, uint8 [H, W, 3], to draw on; None: on ``image``.
          slots: integers [h, w], the slot of each pixel of the model's input.
          places: of all slots, in pixels of the video.

        Returns:
          uint8 [H', W', 3].
        """
        if original is None:
            times = max(1, round(self._side / max(slots.shape)))
            shown = overlay(image, slots, scale=times, hidden=self._hidden)
            factor = times / float(self._scale[0])
            return self._trails.draw(shown, places, corner=self._origin, factor=factor)
        shown = overlay_on_original(
            original,
            slots,
            hidden=self._hidden,
            origin=self._origin,
            scale=self._scale,
            side=self._side,
        )
        factor = shown.shape[1] / original.shape[1]
        return self._trails.draw(shown, places, corner=np.zeros(2), factor=factor)
