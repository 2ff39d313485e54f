"""Mapping between the pixels of a video file and the pixels of a source."""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

RESIZES = ("area", "cubic")
ASPECTS = ("stretch", "crop", "letterbox")


@dataclass(frozen=True, kw_only=True)
class View:
    """Conversion of a file's frames to frames of a source: every stride-th, cropped and resized.

    Id masks take the id at the pixel's center.

    Attributes:
      height, width: size of the result.
      channels: 3 (RGB) or 1 (luma after ITU-R 601-2).
      crop: (left, top, width, height) of the window in pixels of the file; () is all of it.
      stride: frames of the file per frame of the source.
      aspect: how a window of another aspect ratio than the result is fitted: "stretch" shows
        all of it, distorted; "crop" its middle; "letterbox" all of it between black bars.
      resize: "area": mean over the area that a pixel covers (Pillow's BOX); "cubic": cubic
        splines of the image after a Gaussian blur against aliasing (the authors' code).

    Raises:
      ValueError: if a value is out of range.
    """

    height: int
    width: int
    channels: int
    crop: tuple[int, ...] = ()
    stride: int = 1
    aspect: str = "stretch"
    resize: str = "area"

    def __post_init__(self):
        if self.resize not in RESIZES:
            raise ValueError(f"resize must be one of {RESIZES}, got {self.resize!r}")
        if self.aspect not in ASPECTS:
            raise ValueError(f"aspect must be one of {ASPECTS}, got {self.aspect!r}")
        if min(self.height, self.width, self.stride) < 1:
            raise ValueError(
                "height, width (or resolution) and stride must be at least 1, "
                f"got {self.height}, {self.width} and {self.stride}"
            )
        if self.channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, got {self.channels}")
        if self.crop and (len(self.crop) != 4 or min(self.crop) < 0 or min(self.crop[2:]) < 1):
            raise ValueError(f"crop must be () or (left, top, width, height), got {self.crop}")

    def window(self, height: int, width: int) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of the shown area of a file of this size.

        A letterbox extends beyond the file on two sides.

        Raises:
          ValueError: if the crop extends beyond the file.
        """
        left, top, across, down = self.crop or (0, 0, width, height)
        if left + across > width or top + down > height:
            raise ValueError(
                f"crop (left, top, width, height) = {self.crop} does not fit images of "
                f"{width}x{height}: make it smaller, or () for the whole image"
            )
        if self.aspect != "stretch":
            fits = min if self.aspect == "crop" else max
            wider = fits(across, round(down * self.width / self.height))
            taller = fits(down, round(across * self.height / self.width))
            left, top = left + (across - wider) // 2, top + (down - taller) // 2
            across, down = wider, taller
        return left, top, left + across, top + down

    def note(self, height: int, width: int) -> str | None:
        """Message on how a file of this size is fitted; None if nothing is lost or distorted."""
        _, _, across, down = self.crop or (0, 0, width, height)
        left, top, right, bottom = self.window(height, width)
        shown = f"{right - left}x{bottom - top} of {across}x{down} pixels"
        if self.aspect == "crop" and (across, down) != (right - left, bottom - top):
            return f"the middle is shown, {shown} (aspect=letterbox shows all, between black bars)"
        if self.aspect == "letterbox" and (across, down) != (right - left, bottom - top):
            return f"black bars are added to {across}x{down} pixels (aspect=crop shows the middle)"
        stretch = (across / self.width) / (down / self.height)
        if self.aspect == "stretch" and not 0.9 < stretch < 1.1:
            ratio = max(stretch, 1 / stretch)
            return f"{across}x{down} pixels are squeezed {ratio:.1f}:1, as in training"
        return None

    def frame(self, pixels: np.ndarray) -> np.ndarray:
        """Convert uint8 [H, W, 3] of the file to uint8 [height, width, channels]."""
        pixels, window = _padded(pixels, self.window(*pixels.shape[:2]))
        image = Image.fromarray(pixels)
        if self.channels == 1:
            image = image.convert("L")
        if self.resize == "cubic":
            resized = _cubic(np.asarray(image.crop(window)), self.height, self.width)
        else:
            size = (self.width, self.height)
            resized = np.asarray(image.resize(size, Image.Resampling.BOX, box=window))
        return resized.reshape(self.height, self.width, self.channels)

    def ids(self, ids: np.ndarray) -> np.ndarray:
        """Convert ids [H, W] of the file to ids [height, width] of the same dtype."""
        rows, columns = self.places(*ids.shape)
        inside = [(p >= 0) & (p < size) for p, size in zip((rows, columns), ids.shape, strict=True)]
        found = ids[np.where(inside[0], rows, 0)[:, None], np.where(inside[1], columns, 0)]
        return np.where(inside[0][:, None] & inside[1], found, 0).astype(ids.dtype)

    def places(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """(rows [height], columns [width]) of a file of this size at which masks are looked up.

        In the bars of a letterbox, they lie outside the file.
        """
        left, top, right, bottom = self.window(height, width)
        rows = top + ((np.arange(self.height) + 0.5) * (bottom - top) / self.height).astype(int)
        columns = left + ((np.arange(self.width) + 0.5) * (right - left) / self.width).astype(int)
        return rows, columns

    def scale(self, height: int, width: int) -> np.ndarray:
        """Pixels of the file per pixel of the source, float64 (x, y), for a file of this size."""
        left, top, right, bottom = self.window(height, width)
        return np.array([(right - left) / self.width, (bottom - top) / self.height])

    def origin(self, height: int, width: int) -> np.ndarray:
        """Upper left corner of the window in a file of this size, float64 (x, y)."""
        return np.array(self.window(height, width)[:2], np.float64)


def _padded(
    image: np.ndarray, window: tuple[int, int, int, int]
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Pad an image with black so that it contains the window; return it and the moved window."""
    left, top, right, bottom = window
    height, width = image.shape[:2]
    above, below = max(0, -top), max(0, bottom - height)
    before, after = max(0, -left), max(0, right - width)
    if above or below or before or after:
        image = np.pad(image, [(above, below), (before, after), (0, 0)])
    return image, (left + before, top + above, right + before, bottom + above)


def _cubic(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 [H, W[, C]] to uint8 [height, width[, C]] like scikit-image with order 3.

    For s pixels of the file per pixel of the result, the standard deviation of the blur is
    (s - 1) / 2 pixels. Beyond the border, the image is mirrored about the centers of its outermost
    pixels.
    """
    scales = (image.shape[0] / height, image.shape[1] / width, *(1,) * (image.ndim - 2))
    pixels = image.astype(np.float64)
    sigmas = [max(0.0, (scale - 1) / 2) for scale in scales]
    blurred = ndimage.gaussian_filter(pixels, sigmas, mode="mirror")
    zooms = [1 / scale for scale in scales]
    resized = ndimage.zoom(blurred, zooms, order=3, mode="mirror", grid_mode=True)
    return np.rint(resized.clip(pixels.min(), pixels.max())).astype(np.uint8)
