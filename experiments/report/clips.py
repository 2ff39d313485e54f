"""Show clips with a slider for frames: input, reconstruction, truth, masks, and every slot."""

from collections.abc import Sequence

import numpy as np

from experiments.report.markup import Html, join, tag
from experiments.report.media import Media
from experiments.report.page import missing
from experiments.report.paths import clip_paths, path_drawing
from stiid.evaluation.prediction import clip_parts
from stiid.evaluation.rollout import Clips
from stiid.models.base import Decomposition
from stiid.outputs.sheets import Strip, decomposition_strips

_TILE, _SMALL_TILE = 120, 96  # pixels of a tile's longer side to aim at, on screens and phones
_TEXTS = {
    "input": "the clip as the model sees it",
    "reconstruction": "what the slots together say the frame looks like",
    "truth": "true masks, in the colors of the slots that hold most of them",
    "masks": "the slot that each pixel most probably belongs to",
    "overlay": "the clip with the slots tinted and outlined, apart from the background",
}


def clip_figures(clips: Clips, result: Decomposition, *, num_observed: int, media: Media) -> Html:
    """Make a figure for every clip.

    Args:
      clips: T frames each, of which the model saw the first ``num_observed``.
      result: their decompositions.
      num_observed: see above.
      media: of the page.
    """
    return join(
        *(
            _figure(
                f"Clip {i}",
                decomposition_strips(*clip_parts(clips, result, i)),
                clip_paths(clips, result, i, num_observed=num_observed),
                num_observed,
                media,
            )
            for i in range(len(clips.video))
        )
    )


def _figure(
    name: str, strips: Sequence[Strip], paths: Sequence[Html], num_observed: int, media: Media
) -> Html:
    length, height, width, _ = strips[0].images.shape
    empty = ", ".join(strip.label for strip in strips if strip.empty)
    strips = [strip for strip in strips if not strip.empty]
    large, small = (max(1, round(tile / max(height, width))) for tile in (_TILE, _SMALL_TILE))
    addresses = media.arrays(
        [film(s.images if s.segments is None else s.magnified(large)) for s in strips]
    )
    if addresses is None:
        return missing(f"{name} is left out to keep this page small.")
    tiles = [_tile(s, address) for s, address in zip(strips, addresses, strict=True)]
    drawing = path_drawing(paths, box=(0, 0, width, height), label=f"{name}: paths of the objects")
    groups = (
        tag("div", *(t for s, t in zip(strips, tiles, strict=True) if s.color is None)),
        tag("div", *(t for s, t in zip(strips, tiles, strict=True) if s.color is not None)),
        tag("div", _tile(strips[0], addresses[0], "paths", drawing), class_="twice"),
    )
    last = length - 1
    slider = tag(
        "input",
        type="range",
        min=0,
        max=last,
        value=0,
        aria_label=f"{name}: frame",
        data_observed=num_observed,
    )
    controls = (tag("button", "Play", type="button"), slider, tag("output", f"0 / {last}"))
    labelled = any(strip.label == "truth" for strip in strips)
    return tag(
        "figure",
        tag("figcaption", tag("h3", name), _frames_text(length, num_observed), _empty_text(empty)),
        tag("div", *controls, class_="controls"),
        tag("div", *groups, class_="films"),
        "" if labelled else missing("These clips have no true masks."),
        class_="clip",
        style=f"--frames:{length};--pixels:{width};--large:{large};--small:{small}",
    )


def film(images: np.ndarray) -> np.ndarray:
    """Put frames [T, H, W, 3] side by side: [H, T * W, 3]."""
    return np.concatenate(list(images), axis=1)


def _tile(strip: Strip, address: str, label: str = "", drawing: Html | str = "") -> Html:
    """A window that shows one frame of a film."""
    label = label or strip.label
    text = _TEXTS.get(strip.label, f"{strip.label} by itself, transparent where it is not")
    color = None if strip.color is None else f"--slot:rgb{tuple(strip.color.tolist())}"
    window = tag("div", tag("img", src=address, alt=text), drawing, class_="window", style=color)
    return tag("div", window, tag("span", label), class_="tile")


def _empty_text(slots: str) -> str:
    return f" Empty in all frames: {slots}." if slots else ""


def _frames_text(length: int, num_observed: int) -> str:
    if num_observed >= length:
        return f"{length} frames, all of them inferred."
    return (
        f"{length} frames: 0–{num_observed - 1} inferred, {num_observed}–{length - 1} simulated "
        "without seeing them."
    )
