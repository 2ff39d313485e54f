"""Effect of flaws on scores: score the true masks with one flaw at a time.

    python -m experiments.flawed_masks --config=configs/bouncing_balls.py:small_binary \
        --output=experiments/results/flawed_masks.json

F-ARI ignores the background; ARI depends mostly on it. Prints mean ARI and F-ARI of the first
``--frames`` frames of test clips, and writes them with the fingerprint of the data.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.config_files import load_config
from stiid.data import registry
from stiid.evaluation.metrics import clip_scores, contingency
from stiid.files import write_json


def object_in_background(masks: np.ndarray) -> np.ndarray:
    """The first object shares the background's slot."""
    return np.where(masks == 1, 0, masks)


def two_objects(masks: np.ndarray) -> np.ndarray:
    """The first two objects share a slot."""
    return np.where(masks == 1, 2, masks)


def wider(masks: np.ndarray) -> np.ndarray:
    """Objects also take neighboring background pixels, including diagonal ones."""
    height, width = masks.shape[-2:]
    padded = np.pad(masks, [(0, 0)] * (masks.ndim - 2) + [(1, 1), (1, 1)])
    beside = [padded[..., y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.where(masks > 0, masks, np.max(beside, axis=0))


def divided_background(masks: np.ndarray) -> np.ndarray:
    """The lower half of the background has its own slot."""
    lower = np.arange(masks.shape[-2])[:, None] >= masks.shape[-2] // 2
    return np.where((masks == 0) & lower, masks.max() + 1, masks)


FLAWS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "an object in the background's slot": object_in_background,
    "two objects in a slot": two_objects,
    "objects a pixel wider": wider,
    "background in halves": divided_background,
}


def scores(masks: np.ndarray, flaw: Callable[[np.ndarray], np.ndarray]) -> dict[str, float]:
    """Mean scores of flawed masks.

    Args:
      masks: true ids [B, T, H, W], 0 the background.
      flaw: of ``FLAWS``.
    """
    slots = flaw(masks).astype(np.int32)
    tables = contingency(masks, slots, num_ids=int(masks.max()) + 1, num_slots=int(slots.max()) + 1)
    frames = masks.shape[1]
    found = clip_scores(np.asarray(tables), np.zeros(masks.shape[:2]), length=frames)
    return {name: round(float(np.nanmean(found[name])), 4) for name in ("ari", "f_ari")}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--frames", type=int, default=10)
    options = parser.parse_args(argv)
    data = load_config(options.config).data
    source = registry.load(
        data.name, "test", data_dir=str(Path(data.data_dir).expanduser()), **data.options
    )
    clips = range(min(options.clips, len(source)))
    elements = [source[i] for i in clips]
    if min(element["n_objects"] for element in elements) < 0:
        parser.error(f"{options.config}: its clips have no true masks, which are to be flawed")
    masks = np.stack([element["masks"][: options.frames] for element in elements])
    rows = {name: scores(masks, flaw) for name, flaw in FLAWS.items()}
    write_json(
        options.output,
        {"data": source.fingerprint, "clips": len(clips), "frames": masks.shape[1], "scores": rows},
    )
    for name, found in rows.items():
        print(f"{name}: ARI {found['ari']:.2f}, F-ARI {found['f_ari']:.2f}")


if __name__ == "__main__":
    main()
