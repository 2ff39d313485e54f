"""Scores of masks that any program wrote: ``stiid score PRED TRUE``."""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence

import numpy as np

from stiid.data.video.stored_masks import read_masks
from stiid.errors import first_line, one_line
from stiid.files import write_json
from stiid.paths import local_path

_DESCRIPTION = """Score predicted masks against true ones.

PRED and TRUE are each an .npz or .npy file with integers [T, H, W] or, for several clips,
[B, T, H, W]; a folder with a PNG for every frame, whose values are ids; or a folder of such files
and folders, where clips have the same names on both sides. PRED may also be a folder that
`stiid decompose` wrote, or probabilities [T, K, H, W]. The true id 0 is the background.
"""


def main(arguments: Sequence[str] | None = None, *, prog: str = "stiid score") -> int:
    """Print scores; errors that a user can fix are printed in one line, with exit code 1."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("predicted", metavar="PRED", help="predicted masks")
    parser.add_argument("true", metavar="TRUE", help="true masks")
    parser.add_argument("--output", metavar="FILE.json", help="also write the scores of every clip")
    parsed = parser.parse_args(arguments)
    try:
        predicted, true = (
            read_masks(local_path(text, name))
            for text, name in ((parsed.predicted, "PRED"), (parsed.true, "TRUE"))
        )
        means, clips = _scores(predicted, true)
        if parsed.output is not None:
            content = {"scores": means, "clips": clips}
            write_json(local_path(parsed.output, "--output"), content)
    except (ValueError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    for name, value in means.items():
        print(f"{name:>20} {value:.6g}")
    if math.isnan(means["ari"]):
        print("no clip shows an object, so there are no scores", file=sys.stderr)
    return 0


def _scores(
    predicted: Mapping[str, np.ndarray], true: Mapping[str, np.ndarray]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Means over clips, and the scores of each clip."""
    from stiid.evaluation.scoring import clip_totals, means_and_counts  # loads JAX
    from stiid.evaluation.totals import ScoreTotals

    if missing := sorted(predicted.keys() ^ true.keys()):
        side = "TRUE" if missing[0] in predicted else "PRED"
        raise ValueError(
            f"{len(missing)} clips have masks on one side only: {side} has none for "
            f"{missing[0]!r}. Name them alike"
        )
    total, clips = ScoreTotals.empty(), {}
    for name, masks in predicted.items():
        try:
            of_clip = clip_totals(masks, true[name])
        except ValueError as error:
            where = f"clip {name}: " if name else ""
            raise ValueError(f"{where}{first_line(error)}") from error
        clips[name] = of_clip.mean()
        total = total.merge(of_clip)
    return means_and_counts(total), clips
