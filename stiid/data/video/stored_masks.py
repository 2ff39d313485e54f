"""Read masks of clips from files of other programs: arrays, and folders of PNG images."""

from pathlib import Path

import numpy as np

from stiid.data.video.array_file import ARRAY_SUFFIXES, array_name, readable
from stiid.data.video.image import image_files
from stiid.data.video.mask_folder import MaskFolder

# Of the array in an .npz that has several: as `decompose` writes it, as `own_video` reads it, and
# as in Kubric.
_NAMES = ("slots", "masks", "segmentations")
_OURS = "masks.npz"  # in the folder of a decomposition


def read_masks(path: Path) -> dict[str, np.ndarray]:
    """Read the masks of the clips at a path.

    Args:
      path: one clip: an .npy or .npz file with an array [T, H, W], a folder with a PNG for every
          frame (see `mask_folder.MaskFolder`), or a folder that `stiid decompose` wrote. Several:
          an array [B, T, H, W], or a folder of such files and folders. Integers may have a last
          axis of length 1. Predictions may also be probabilities, floats [T, K, H, W] or
          [B, T, K, H, W].

    Returns:
      Name → masks of each clip: the name of its file without the suffix, or of its folder, below
      `path`; several clips of one file are numbered. A single clip is called "".

    Raises:
      FileNotFoundError: if there is nothing at the path.
      ValueError: if there are no masks, or they cannot be read. The message names the file.
    """
    if not path.exists():
        raise FileNotFoundError(f"no masks at {path}: name a file, or a folder of PNG images")
    if not path.is_dir():
        return _of_file(path)
    if (path / _OURS).is_file():
        return _of_file(path / _OURS)
    if count := len([file for file in image_files(path) if file.suffix.lower() == ".png"]):
        return {"": np.stack(list(MaskFolder(path, count).frames(0, count, 1)))}
    clips: dict[str, np.ndarray] = {}
    for part in sorted(path.iterdir()):
        if part.name.startswith("."):
            continue
        if part.is_dir():
            name, found = part.name, read_masks(part)
        elif part.suffix.lower() in ARRAY_SUFFIXES:
            name, found = part.stem, _of_file(part)
        else:
            continue
        for below, clip in found.items():
            full = "/".join(filter(None, (name, below)))
            if full in clips:
                raise ValueError(f"{path} holds two clips named {full!r}: rename one of them")
            clips[full] = clip
    if not clips:
        raise ValueError(
            f"{path} holds no masks: expected PNG images, .npy or .npz files, or folders of these"
        )
    return clips


def _of_file(path: Path) -> dict[str, np.ndarray]:
    """The clips in a file of arrays; several are numbered."""
    masks = _read(path)
    rank = 4 if np.issubdtype(masks.dtype, np.floating) else 3
    if rank == 3 and masks.ndim > 3 and masks.shape[-1] == 1:
        masks = masks[..., 0]
    if masks.ndim != rank + 1:
        return {"": masks}
    return {str(number): clip for number, clip in enumerate(masks)}


def _read(path: Path) -> np.ndarray:
    with readable(path), path.open("rb") as stream:
        loaded = np.load(stream)
        if isinstance(loaded, np.ndarray):
            return loaded
        return loaded[array_name(loaded.files, loaded.files, _NAMES, of="masks")]
