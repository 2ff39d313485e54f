"""Open videos of all kinds."""

from pathlib import Path

from stiid.data.video.array_file import ArrayFile, is_array
from stiid.data.video.video_file import VideoFile


def open_file(path: Path) -> VideoFile | ArrayFile:
    """Open a video file, a folder of images, or a file of arrays.

    Raises:
      OSError, ValueError: if it is missing or damaged.
    """
    return ArrayFile(path) if is_array(path) else VideoFile(path)
