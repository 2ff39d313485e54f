"""Find the videos that a path names."""

import logging
from collections.abc import Iterator
from pathlib import Path

from stiid.data.video.array_file import ARRAY_SUFFIXES, array_paths, is_array, split_path
from stiid.data.video.image import IMAGE_SUFFIXES
from stiid.data.video.video_file import VIDEO_SUFFIXES, video_name
from stiid.errors import printable

_NAMED = 5  # files in a message
_LOG = logging.getLogger("stiid")


def find_videos(path: Path, *, without: Path | None = None) -> dict[str, Path]:
    """Find the videos that a path names: itself, or all below it.

    Below a folder, videos are files of `VIDEO_SUFFIXES`, folders of images, and files of arrays
    (each may hold several); images beside videos are ignored. Symbolic links are followed; hidden
    files are ignored. The log names the files that are left out.

    Args:
      path: a video file, a folder of images, or a folder of videos at any depth.
      without: a folder that is not searched, such as that of the masks.

    Returns:
      Name → path, sorted by name. A name is the path relative to `path`, without a file's suffix.

    Raises:
      FileNotFoundError: if there is nothing at `path`.
      ValueError: if it is a folder without videos, or two videos have the same name.
    """
    if is_array(path):
        return {_array_name(found, path.parent): found for found in array_paths(path)}
    if not path.exists():
        raise FileNotFoundError(f"no video at {path}: check the path")
    if not path.is_dir():
        return {video_name(path): path}
    left_out: list[str] = []
    found = sorted(_below(path, path, without, (), left_out))
    if not found:
        raise ValueError(
            f"{path} holds no videos: expected files {(*VIDEO_SUFFIXES, *ARRAY_SUFFIXES)} or "
            "folders of images"
        )
    if left_out and found != [path]:
        more = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
        _LOG.warning(
            "left out of %s, since they are no videos: %s%s",
            path,
            ", ".join(sorted(left_out)[:_NAMED]),
            more,
        )
    videos: dict[str, Path] = {}
    for video in found:
        name = video_name(path)
        if is_array(video):
            name = _array_name(video, path)
        elif video != path:
            name = video.relative_to(path).with_name(video_name(video)).as_posix()
        if name in videos:
            raise ValueError(f"{path} holds several videos with the name {name!r}: rename one")
        videos[name] = video
    return videos


def _below(
    folder: Path, top: Path, without: Path | None, above: tuple[Path, ...], left_out: list[str]
) -> Iterator[Path]:
    """Yield the videos in a folder, or the folder if it is a video; extend `left_out`."""
    place = folder.resolve()
    if place in above or place == without:  # a link that leads back up
        return
    images: list[Path] = []
    others: list[Path] = []
    found: list[Path] = []
    for entry in sorted(folder.iterdir()):
        suffix = entry.suffix.lower()
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            found += _below(entry, top, without, (*above, place), left_out)
        elif suffix in IMAGE_SUFFIXES:
            images.append(entry)
        elif suffix in VIDEO_SUFFIXES and entry.is_file():
            found.append(entry)
        elif suffix in ARRAY_SUFFIXES and entry.is_file():
            found += array_paths(entry)
        else:
            others.append(entry)
    broken = [image for image in images if not image.is_file()]
    if images and not found and not broken:
        found = [folder]
    elif images and not found:
        others.append(broken[0])  # one missing frame leaves out the video
    else:
        others += images
    left_out += [_describe(entry, top) for entry in others]
    yield from found


def _array_name(video: Path, folder: Path) -> str:
    """Name of a video in a file of arrays: the file's name, and its number if it has one."""
    file, number = split_path(video)
    name = file.relative_to(folder).with_suffix("")
    return (name if number is None else name / video.name).as_posix()


def _describe(entry: Path, top: Path) -> str:
    name = printable(entry.relative_to(top).as_posix())
    if not entry.exists():
        return f"{name} (a link to nothing)"
    return name if entry.is_file() else f"{name} (no regular file)"
