"""CLEVRER's derender proposals: masks found by a detector, without identities over time.

Objects are identified by their color, material and shape, which are unique in a video.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from stiid.data.clevrer import json_fields
from stiid.data.clevrer.annotations import FRAMES, Name
from stiid.data.clevrer.camera import HEIGHT, WIDTH

MIN_SCORE = 0.5  # of a proposal that is used


@dataclasses.dataclass(frozen=True)
class _Proposal:
    name: Name
    score: float
    counts: str


@dataclasses.dataclass(frozen=True)
class Proposals:
    """Proposals in each of the 128 frames of a video."""

    what: str
    frames: tuple[tuple[_Proposal, ...], ...]

    def ids(self, frame: int, names: Sequence[Name]) -> np.ndarray:
        """Compute masks of a frame: uint8 [320, 480], 0 is background, n + 1 the object names[n].

        Proposals with other names or a low score are ignored. Of two proposals with the same name
        the one with the higher score is used. Where two objects overlap, the pixels go to the one
        with the higher score.

        Raises:
          ValueError: if a mask is malformed.
        """
        ids = np.zeros((HEIGHT, WIDTH), np.uint8)
        best = {p.name: p for p in sorted(self.frames[frame], key=lambda p: p.score)}
        for proposal in sorted(best.values(), key=lambda p: p.score):
            if proposal.name in names and proposal.score >= MIN_SCORE:
                try:
                    mask = decode_rle(proposal.counts, HEIGHT, WIDTH)
                except ValueError as error:
                    raise ValueError(f"{self.what}, frame {frame}: {error}") from error
                ids[mask] = names.index(proposal.name) + 1
        return ids


def parse_proposals(text: bytes, what: str) -> Proposals:
    """Parse a file of proposals; masks are decoded when they are used.

    Args:
      text: content of the file.
      what: its name, for messages.

    Raises:
      ValueError: if a key is missing, a value has the wrong type, masks are not 480x320, or there
        are not 128 consecutive frames.
    """
    frames = json_fields.field(json_fields.load(text, what), "frames", list, what)
    if len(frames) != FRAMES:
        raise ValueError(f"{what} has {len(frames)} frames, expected {FRAMES}")
    found: list[tuple[_Proposal, ...]] = []
    first = 0
    for place, frame in enumerate(frames):
        where = f"{what}, frame {place}"
        number = json_fields.field(frame, "frame_index", int, where)
        if place == 0:
            first = number
        if number != first + place:
            raise ValueError(f"{where}: frame_index is {number}, frames must be numbered in order")
        objects = json_fields.field(frame, "objects", list, where)
        found.append(tuple(_proposal(item, where) for item in objects))
    return Proposals(what, tuple(found))


def _proposal(item: Any, where: str) -> _Proposal:
    color, material, shape = (
        json_fields.field(item, key, str, where) for key in ("color", "material", "shape")
    )
    mask = json_fields.field(item, "mask", dict, where)
    size = json_fields.field(mask, "size", list, where)
    if size != [HEIGHT, WIDTH]:
        raise ValueError(f"{where}: a mask has the size {size}, expected {[HEIGHT, WIDTH]}")
    counts = json_fields.field(mask, "counts", str, where)
    score = item.get("score", 1.0)
    if not json_fields.is_number(score):
        raise ValueError(f"{where}: score is {score!r}, expected a finite number")
    return _Proposal((color, material, shape), float(score), counts)


def decode_rle(counts: str, height: int, width: int) -> np.ndarray:
    """Decode COCO's compressed run lengths.

    Runs of 0 and 1 alternate, beginning with 0, column by column. Each character encodes five bits
    of a number, the lowest first, offset by 48. Bit 32 is set if the number continues in the next
    character; bit 16 of its last character is the sign. From the fourth number on, numbers are
    differences to the last but one.

    Args:
      counts: the text.
      height: rows of the mask.
      width: columns of the mask.

    Returns:
      bool [height, width].

    Raises:
      ValueError: if the text is malformed, or the runs do not fill the mask exactly.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"malformed mask: {character!r} does not occur in run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            if shift > 30:
                raise ValueError("malformed mask: a run length of more than 30 bits")
            continue
        if bits & 16:
            value -= 1 << shift
        if len(runs) > 2:
            value += runs[-2]
        if not 0 <= value <= height * width:
            raise ValueError(f"malformed mask: a run of {value} pixels")
        runs.append(value)
        value = shift = 0
    if shift:
        raise ValueError("malformed mask: it ends within a number")
    if sum(runs) != height * width:
        raise ValueError(
            f"malformed mask: its runs are {sum(runs)} pixels long, expected {height * width}"
        )
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T
