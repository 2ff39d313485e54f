"""The interface of all data sources."""

from typing import Any, Protocol

UNKNOWN_OBJECTS = -1


class Source(Protocol):
    """Random access to the clips of one split.

    Elements are dicts of NumPy arrays (and of plain str or int) with at least

        video: uint8 [T, H, W, C].
        masks: uint8 [T, H, W], 0 is background, 1..n_objects an object, stable over the clip.
        id: str, unique within the source.
        n_objects: int; `UNKNOWN_OBJECTS` if the source has no true masks. Then `masks` is all 0 and
            scores that need it are left out.

    Attributes:
      fingerprint: name of the content; equal if and only if the data have the same parameters.
    """

    fingerprint: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, Any]: ...
