"""Advice on training on a video, from an `inspection.Inspection`, or reasons not to.

The limits come from the data that our models were trained on (balls of 5 pixels and more that move
by one or two pixels a frame over a plain background), and from a few clips; they are rough.
"""

from typing import Any, NamedTuple

from stiid.data.video.inspection import PLAIN, Inspection

_SIZES = (24, 32, 48, 64)  # of the longer side
_DIAMETER = 5.0  # pixels of an object at least, at the model's resolution
_STEP = 1.5  # pixels that an object should move from frame to frame, likewise
_STILL = 0.003  # of the width: less motion than this is none
_CHANGING = 0.5
_MOST_OBJECTS = 12
_CUTS = 0.02  # of the frames
_WORTH_A_CROP = 0.75  # of the area
_CLIPS = 8  # at least, from one video


class Advice(NamedTuple):
    """Advice on a video.

    Attributes:
      refusals: reasons why the model does not suit the video; empty if it does.
      notes: further remarks.
      options: options of `own_video`.
      num_slots: K.
    """

    refusals: list[str]
    notes: list[str]
    options: dict[str, Any]
    num_slots: int


def advise(found: Inspection) -> Advice:
    """Derive advice from the numbers of a video."""
    _, _, across, down = found.window
    crop = across * down < _WORTH_A_CROP * found.width * found.height
    if not crop:
        across, down = found.width, found.height
    longer = max(across, down)
    needed = _DIAMETER * longer / max(found.diameter, 1e-9)
    size = next((size for size in _SIZES if size >= needed), _SIZES[-1])
    step = found.motion * size / longer
    stride = max(1, round(_STEP / step)) if step > 0 else 1
    frames = 20
    while stride > 1 and found.frames < _CLIPS * frames * stride:
        stride -= 1
    if found.frames < _CLIPS * frames * stride:
        frames = 10
    height, width = (max(8, 4 * round(size * side / longer / 4)) for side in (down, across))
    options: dict[str, Any] = {
        "height": height,
        "width": width,
        "stride": stride,
        "frames": frames,
    }
    if crop:
        options["crop"] = found.window
    return Advice(
        _refusals(found, needed), _notes(found, frames * stride), options, found.objects + 2
    )


def _refusals(found: Inspection, needed: float) -> list[str]:
    reasons = []
    if found.background_edges > PLAIN:
        reasons.append(
            f"the background is not plain: {100 * found.background_edges:.0f} % of its pixels lie "
            "on edges"
        )
    if found.camera_motion > _STILL * found.width:
        reasons.append(f"the camera moves, by {found.camera_motion:.1f} pixels a frame")
    if not found.objects:
        reasons.append("nothing stands out from the background for most of the time")
    elif found.motion < _STILL / 2 * found.width and found.motion < 0.2:
        reasons.append(f"hardly anything moves: {found.motion:.2f} pixels a frame")
    if found.changing > _CHANGING:
        reasons.append(f"{100 * found.changing:.0f} % of the image is not background")
    if found.cuts > _CUTS * found.frames:
        reasons.append(f"it has {found.cuts} cuts in {found.frames} frames")
    if found.objects > _MOST_OBJECTS:
        reasons.append(f"it shows some {found.objects} things at a time, or one in pieces")
    elif found.objects and needed > 1.5 * _SIZES[-1]:
        reasons.append(
            f"its objects are too small: {found.diameter:.0f} of {found.width} pixels: crop closer"
        )
    return reasons


def _notes(found: Inspection, span: int) -> list[str]:
    notes = []
    if found.frames < _CLIPS * span:
        notes.append(
            f"{found.frames} frames are {found.frames // span} clips: give more such videos to "
            "train on, in one folder"
        )
    if 0 < found.cuts <= _CUTS * found.frames:
        notes.append(f"it has {found.cuts} cuts, at which objects lose their slots")
    return notes
