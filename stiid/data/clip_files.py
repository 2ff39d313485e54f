"""Names of the files that clips are cut from, so that users can look at them."""

from collections.abc import Mapping, Sequence

from stiid.data.source import Source

_NAMED = 5  # files in a message


def clip_files(source: Source, count: int) -> dict[str, list[int]]:
    """Find the files of the first ``count`` clips of a source, and the clips' first frames in them.

    Returns:
      File → first frames; nothing if the clips are not cut from files.
    """
    files: dict[str, list[int]] = {}
    if "file" not in source[0]:
        return files
    for clip in (source[index] for index in range(count)):
        files.setdefault(clip["file"], []).append(int(clip["first_frame"]))
    return files


def files_text(files: Mapping[str, Sequence[int]]) -> str:
    """The number of clips and the files' names; of many only the first."""
    names = list(files)[:_NAMED]
    if len(files) > _NAMED:
        names.append(f"and {len(files) - _NAMED} more")
    clips = sum(map(len, files.values()))
    return f"{clips} clip(s) of {', '.join(names)}"
