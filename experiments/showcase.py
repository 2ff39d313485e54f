"""Make the README's animation: input, reconstruction, colored overlay and slots of a model.

    python -m experiments.showcase masks_small_color [--input=VIDEO] [--output=FILE.gif]

Run it again when the released model changes.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import stiid
from stiid.data.video.frames import SAMPLE
from stiid.media import write_gif
from stiid.outputs.sheets import decomposition_strips

_SIDE = 112  # pixels of a tile's longer side
_GAP, _LABEL_HEIGHT, _BORDER = 6, 20, 3
_FPS = 10
_INK = (40, 40, 44)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a released model, the folder of a run, or a checkpoint")
    parser.add_argument("--input", default=SAMPLE, help="a video (%(default)s)")
    parser.add_argument("--output", type=Path, help="(experiments/results/MODEL.gif)")
    options = parser.parse_args(argv)
    output = options.output or Path("experiments/results", f"{Path(options.model).name}.gif")
    result = stiid.load(options.model).decompose(options.input)
    write_gif(
        output,
        animation(result.video, result.reconstruction, result.masks, result.means),
        fps=_FPS,
    )
    print(f"wrote {output} ({output.stat().st_size / 1e3:.0f} kB)")


def animation(
    video: np.ndarray, reconstruction: np.ndarray, masks: np.ndarray, means: np.ndarray
) -> np.ndarray:
    """One row of labeled tiles for every frame.

    Args:
      video: uint8 [T, H, W, C].
      reconstruction: [T, H, W, C] in [0, 1].
      masks: [T, K, H, W] probabilities.
      means: [T, K, H, W, C] in [0, 1].

    Returns:
      uint8 [T, H', W', 3].
    """
    strips = decomposition_strips(video, reconstruction, masks, means)
    strips = [strip for strip in strips if strip.label != "masks"]
    scale = max(1, round(_SIDE / max(video.shape[1:3])))
    framed = [_framed(strip.magnified(scale), strip.color) for strip in strips]
    row = np.concatenate(framed, axis=2)
    label = _labels([strip.label for strip in strips], framed[0].shape[2], row.shape[2])
    return np.concatenate([np.repeat(label[None], len(row), axis=0), row], axis=1)


def _framed(tile: np.ndarray, color: np.ndarray | None) -> np.ndarray:
    """A tile [T, h, w, 3] with a border in its slot's color, and a white gap around it."""
    widths = [(0, 0), (_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0)]
    framed = np.pad(tile, widths, constant_values=255)
    if color is not None:
        inside = np.zeros(framed.shape[1:3], bool)
        inside[_BORDER:-_BORDER, _BORDER:-_BORDER] = True
        framed = np.where(inside[None, ..., None], framed, color)
    gap = _GAP // 2
    return np.pad(framed, [(0, 0), (gap, gap), (gap, gap), (0, 0)], constant_values=255)


def _labels(names: Sequence[str], pitch: int, width: int) -> np.ndarray:
    """Names above the centers of tiles that are `pitch` pixels wide: uint8 [h, width, 3]."""
    image = Image.new("RGB", (width, _LABEL_HEIGHT), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=13)
    for i, name in enumerate(names):
        center = (i * pitch + pitch // 2, _LABEL_HEIGHT // 2)
        draw.text(center, name, fill=_INK, font=font, anchor="mm")
    return np.asarray(image)


if __name__ == "__main__":
    main()
