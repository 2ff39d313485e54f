"""Numbers about the content of a video, from which `advice` says whether and how to train on it.

Objects are connected regions that differ from the background, which is the median over time. This
is not a segmentation: objects that never move count as background, and objects that touch count as
one.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from stiid.data.spacing import spaced
from stiid.data.video.array_file import ArrayFile
from stiid.data.video.video_file import VideoFile

_LOOKED_AT = 300  # frames
_SIDE = 128  # pixels of the longer side that frames are shrunk to
_FOR_BACKGROUND = 50  # frames whose median is the background
_DIFFERENCE = 0.1  # of a pixel from the background, in [0, 1]: it is part of an object
_SMALLEST = 5e-4  # fraction of the frame; smaller regions are noise
PLAIN = 0.08  # fraction of the pixels that lie on edges: an image with fewer is plain
_CUT = 0.5  # fraction of pixels that change at once
_EXPLAINED = 0.7  # a shift of the whole frame must lower the difference to this fraction


class Inspection(NamedTuple):
    """Numbers of a video; lengths in pixels of the file, brightness in [0, 1].

    Attributes:
      width, height: size of a frame.
      frames: number of inspected frames, from the first one on.
      complete: whether these are all frames.
      fps: frames per second.
      background_spread: standard deviation of the background over its pixels.
      background_edges: fraction of the background's pixels at which it changes sharply.
      camera_motion: median shift of the whole image from frame to frame.
      cuts: number of frames in which most pixels change at once.
      changing: mean fraction of pixels that differ from the background.
      objects: median over frames of the number of regions.
      diameter: median over regions of the diameter of a disc of the same area; 0 without regions.
      motion: median shift of regions from frame to frame; 0 without regions.
      window: (left, top, width, height) of the smallest window that holds nearly all regions.
    """

    width: int
    height: int
    frames: int
    complete: bool
    fps: float
    background_spread: float
    background_edges: float
    camera_motion: float
    cuts: int
    changing: float
    objects: int
    diameter: float
    motion: float
    window: tuple[int, int, int, int]


def inspect_video(video: VideoFile | ArrayFile) -> Inspection:
    """Inspect the first frames of a video.

    Raises:
      ValueError: if it has fewer than two frames, or is damaged.
    """
    shrink = max(1.0, max(video.width, video.height) / _SIDE)
    size = (max(1, round(video.width / shrink)), max(1, round(video.height / shrink)))
    read = itertools.islice(video.frames(), _LOOKED_AT + 1)
    frames = [
        np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BOX)) for frame in read
    ]
    complete = len(frames) <= _LOOKED_AT
    if len(frames) < 2:
        raise ValueError(f"{video.path} has {len(frames)} frames: a video needs at least two")
    looked_at = np.stack(frames[:_LOOKED_AT])
    background = np.median(looked_at[spaced(len(looked_at), _FOR_BACKGROUND)], axis=0) / 255.0
    regions = [_regions(frame / 255.0, background) for frame in looked_at]
    areas = np.array([area for found in regions for area in found.areas])
    differs = np.mean([found.mask for found in regions], axis=0)
    changes = [
        float((np.abs(after.astype(int) - before).max(-1) > 255 * _DIFFERENCE).mean())
        for before, after in itertools.pairwise(looked_at)
    ]
    steps = [_steps(before.centers, after.centers) for before, after in itertools.pairwise(regions)]
    shifts = np.concatenate([np.zeros(0), *steps])
    return Inspection(
        width=video.width,
        height=video.height,
        frames=len(looked_at),
        complete=complete,
        fps=float(video.fps),
        background_spread=float(background.std((0, 1)).max()),
        background_edges=float((_gradient(background) > _DIFFERENCE).mean()),
        camera_motion=_camera_motion(looked_at) * shrink,
        cuts=sum(change > _CUT for change in changes),
        changing=float(differs.mean()),
        objects=round(np.median([len(found.areas) for found in regions])),
        diameter=float(2 * np.sqrt(np.median(areas) / np.pi)) * shrink if len(areas) else 0.0,
        motion=float(np.median(shifts)) * shrink if len(shifts) else 0.0,
        window=_window(differs, shrink, video.width, video.height),
    )


class _Regions(NamedTuple):
    mask: np.ndarray  # bool [h, w]
    areas: np.ndarray  # [n] pixels
    centers: np.ndarray  # [n, 2] row, column


def _regions(frame: np.ndarray, background: np.ndarray) -> _Regions:
    labels, count = ndimage.label(np.abs(frame - background).max(-1) > _DIFFERENCE)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    kept = np.flatnonzero(areas >= max(2, _SMALLEST * labels.size)) + 1
    mask = np.isin(labels, kept)
    centers = np.array(ndimage.center_of_mass(mask, labels, kept), np.float64).reshape(-1, 2)
    return _Regions(mask, areas[kept - 1], centers)


def _steps(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Distances between the centers of regions that belong together in two frames."""
    distances = cdist(before, after)
    rows, columns = linear_sum_assignment(distances)
    return distances[rows, columns]


def _gradient(image: np.ndarray) -> np.ndarray:
    """Largest difference of each pixel from its neighbors to the right and below, over channels."""
    down = np.abs(np.diff(image, axis=0, append=image[-1:])).max(-1)
    right = np.abs(np.diff(image, axis=1, append=image[:, -1:])).max(-1)
    return np.maximum(down, right)


def _camera_motion(frames: np.ndarray) -> float:
    """Median shift from frame to frame, in pixels.

    The shift is the peak of the phase correlation. It counts as 0 unless it explains most of the
    change, and the images have enough edges to tell a moving camera from objects that move.
    """
    places = np.array(spaced(len(frames) - 1, _FOR_BACKGROUND))
    edges = [(_gradient(frames[place] / 255.0) > _DIFFERENCE).mean() for place in places]
    if np.median(edges) < PLAIN:
        return 0.0
    shifts = []
    for one, two in zip(frames[places].mean(-1), frames[places + 1].mean(-1), strict=True):
        product = np.fft.rfft2(one - one.mean()) * np.conj(np.fft.rfft2(two - two.mean()))
        peaks = np.fft.irfft2(product / np.maximum(np.abs(product), 1e-9), s=one.shape)
        place = np.unravel_index(peaks.argmax(), peaks.shape)
        back = np.roll(two, place, (0, 1))
        explained = np.abs(one - back).mean() < _EXPLAINED * np.abs(one - two).mean()
        wrapped = [min(p, n - p) for p, n in zip(place, one.shape, strict=True)]
        shifts.append(math.hypot(*wrapped) if explained else 0.0)
    return float(np.median(shifts))


def _window(
    differs: np.ndarray, shrink: float, width: int, height: int
) -> tuple[int, int, int, int]:
    """The window, with a margin of one pixel of the shrunk frames; all, if nothing moves."""
    sides = []
    for axis, full in ((0, width), (1, height)):
        share = np.cumsum(differs.sum(axis))
        if not share[-1]:
            sides.append((0, full))
            continue
        first, last = np.searchsorted(share / share[-1], (0.005, 0.995))
        start = max(0, math.floor((first - 1) * shrink))
        sides.append((start, min(full, math.ceil((last + 2) * shrink)) - start))
    (left, across), (top, down) = sides
    return left, top, across, down
