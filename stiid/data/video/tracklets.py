"""Point tracks of the Grand Central Station data (Zhou, Wang, Tang, CVPR 2012).

`trajectoriesNew.mat` holds `trks`, a 1 x N struct array with the fields x, y (pixels of the video)
and t (frame numbers), one element per tracked feature point. KLT tracks are fragments: one person
may have several, and a track ends when its point is lost.
"""

from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from stiid.data.view import View


class Tracklets:
    """All tracks of a video, sorted by their first frame.

    Args:
      points: float64 [P, 2], the (x, y) of all tracks one after the other, in pixels of the
      video.
      times: int64 [P], their frame numbers, increasing within a track.
      starts: int64 [N + 1], index of each track's first point, and P.
    """

    def __init__(self, points: np.ndarray, times: np.ndarray, starts: np.ndarray):
        self._points, self._times, self._starts = points, times, starts

    def __len__(self) -> int:
        return len(self._starts) - 1

    @classmethod
    def load(cls, path: Path) -> "Tracklets":
        """Read a MATLAB file with `trks`.

        Frame numbers are taken to start at 0. It is not documented whether the published ones start
        at 0 or 1; a person moves 1 to 3 pixels per frame.

        Raises:
          ValueError: if it is missing or damaged, has no `trks`, or a track whose fields differ
            in length, are not finite, or whose frames do not increase. The message names the
            track.
        """
        try:
            records = scipy.io.loadmat(path, squeeze_me=False).get("trks")
        except Exception as error:  # the reader raises many kinds of errors on damaged files
            raise ValueError(
                f"{path} cannot be read as a MATLAB file ({error!r}): "
                "expected version 7 or older with a struct array 'trks'"
            ) from error
        if records is None or not {"x", "y", "t"} <= set(records.dtype.names or ()):
            raise ValueError(f"{path}: expected a struct array 'trks' with the fields x, y and t")
        tracks = [_track(path, i, record) for i, record in enumerate(records.ravel())]
        tracks = sorted((track for track in tracks if len(track)), key=lambda track: track[0, 2])
        if not tracks:
            raise ValueError(f"{path}: 'trks' has no tracks")
        joined = np.concatenate(tracks)
        starts = np.cumsum([0, *map(len, tracks)])
        return cls(joined[:, :2], joined[:, 2].astype(np.int64), starts)

    def in_clip(self, first: int, frames: int, *, view: View, size: tuple[int, int]) -> np.ndarray:
        """Find the tracks that are visible in a clip, in pixels of the clip.

        Args:
          first: number of the clip's first frame in the file.
          frames: T; frame t of the clip is frame first + t * view.stride of the file.
          view: view of the clip on the file.
          size: height and width of the file.

        Returns:
          float32 [n, T, 2], (column, row); NaN where a track is unknown or outside the clip.
          Tracks known in fewer than two frames are left out.
        """
        last = first + (frames - 1) * view.stride
        frame, rest = np.divmod(self._times - first, view.stride)
        points = (self._points - view.origin(*size)) / view.scale(*size)
        inside = (points >= 0).all(1) & (points < (view.width, view.height)).all(1)
        seen = inside & (rest == 0) & (self._times >= first) & (self._times <= last)
        place = np.flatnonzero(seen)
        track = np.searchsorted(self._starts, place, side="right") - 1
        names, row, count = np.unique(track, return_inverse=True, return_counts=True)
        result = np.full((len(names), frames, 2), np.nan, np.float32)
        result[row, frame[place]] = points[place]
        return result[count > 1]


def _track(path: Path, number: int, record: Any) -> np.ndarray:
    """float64 [n, 3]: x, y, t of one element of `trks`."""
    try:
        x, y, t = (np.asarray(record[name], np.float64).ravel() for name in "xyt")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: track {number} does not hold numbers ({error})") from error
    if not len(x) == len(y) == len(t):
        raise ValueError(
            f"{path}: the fields x, y and t of track {number} have lengths {len(x)}, {len(y)} and "
            f"{len(t)}: they must agree"
        )
    track = np.stack([x, y, t], axis=1)
    if not np.isfinite(track).all():
        raise ValueError(f"{path}: track {number} has values that are not finite: remove it")
    if (t != np.round(t)).any() or (np.diff(t) <= 0).any():
        raise ValueError(f"{path}: the frames of track {number} do not increase: remove it")
    return track
