"""Comparison of masks cast from CLEVRER's annotations with the proposals, which are independent.

CLEVRER does not document camera, sizes and the meaning of `orientation`: they are tested here.
"""

import logging
from collections.abc import Sequence

import numpy as np

from stiid.data.clevrer.annotations import FRAMES, Annotation, parse_annotation
from stiid.data.clevrer.camera import HEIGHT, WIDTH
from stiid.data.clevrer.clips import KNOWN_BROKEN
from stiid.data.clevrer.files import ClevrerFiles
from stiid.data.clevrer.masks import ray_cast
from stiid.data.clevrer.proposals import Proposals, parse_proposals
from stiid.data.clevrer.source import ClevrerSpec
from stiid.data.spacing import spaced

_PER_VIDEO = 4  # frames, evenly spaced
_MIN_PIXELS = 200  # of 480x320, for an object to be compared; a sphere at the origin has 1,440
_WORST_ERROR, _WORST_IOU = 4.0, 0.8  # medians
_LOG = logging.getLogger("stiid")


def verify_clevrer(spec: ClevrerSpec, split: str, data_dir: str, clips: int) -> dict[str, float]:
    """Compare the two kinds of masks in four frames of each of some videos, at 480x320.

    Args:
      spec: the options, with the folder of the files.
      split: split of the videos.
      data_dir: not used: the files are compared, not the data prepared from them.
      clips: maximum number of videos, evenly spaced.

    Returns:
      frames_compared, objects_compared: Numbers of frames, and of objects with at least 200
        visible pixels, counted in each frame.
      not_proposed: Fraction of these objects without a proposal. The other figures are of the
        objects with one.
      centroid_error, iou: Medians over objects; distances are in pixels.
      centroid_error_90, iou_10: The 90 % quantile of the error, the 10 % quantile of the IoU.
      The result is empty if there are no proposals or no annotations.

    Raises:
      ValueError: if the masks do not agree (medians of 4 pixels or more, or an IoU of 0.8 or
        less), or no video can be compared.
    """
    del data_dir
    files = spec.files()
    both = [
        number
        for number in spec.numbers(split, files)
        if number not in KNOWN_BROKEN
        and all(files.state(kind, number) for kind in ("annotation", "proposal"))
    ]
    if not both:
        lacks = [kind for kind in ("annotation", "proposal") if not files.numbers(kind)]
        _LOG.warning(
            "masks were not compared: %s has %s",
            files.folder,
            f"no {' and no '.join(f'{kind}s' for kind in lacks)}"
            if lacks
            else "no annotations and proposals of the same videos",
        )
        return {}
    frames, objects, errors, overlaps, broken = 0, 0, [], [], []
    for place in spaced(len(both), clips):
        try:
            annotation, proposals = _read(files, both[place])
            wanted = spaced(FRAMES, _PER_VIDEO)
            compared = compare(annotation, proposals, wanted)
        except ValueError as error:
            _LOG.warning("left out a video: %s", error)
            broken.append(str(error))
            continue
        frames += len(wanted)
        objects += len(compared)
        errors += [pair[0] for pair in compared if pair]
        overlaps += [pair[1] for pair in compared if pair]
    if not errors:
        raise ValueError(
            f"no object has both kinds of masks in {frames} frames of {files.folder}"
            + (f"; the first broken video: {broken[0]}" if broken else "")
        )
    figures = {
        "frames_compared": float(frames),
        "objects_compared": float(objects),
        "not_proposed": 1 - len(errors) / objects,
        "centroid_error": float(np.median(errors)),
        "centroid_error_90": float(np.quantile(errors, 0.9)),
        "iou": float(np.median(overlaps)),
        "iou_10": float(np.quantile(overlaps, 0.1)),
    }
    if figures["centroid_error"] >= _WORST_ERROR or figures["iou"] <= _WORST_IOU:
        told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        raise ValueError(
            f"masks from annotations and proposals do not agree ({told}): expected a median "
            f"centroid_error below {_WORST_ERROR} pixels and a median iou above {_WORST_IOU}. Do "
            "not use these masks: these files have another camera, other sizes or orientations"
        )
    return figures


def _read(files: ClevrerFiles, number: int) -> tuple[Annotation, Proposals]:
    name, found = files.name("annotation", number), files.name("proposal", number)
    annotation = parse_annotation(files.read("annotation", number), name)
    return annotation, parse_proposals(files.read("proposal", number), found)


def compare(
    annotation: Annotation, proposals: Proposals, wanted: Sequence[int]
) -> list[tuple[float, float] | None]:
    """Distance of centroids, and IoU, of each object in each wanted frame with enough pixels.

    None stands for an object without a proposal. Raises ValueError if a mask is malformed.
    """
    cast = ray_cast(
        [shape for _, _, shape in annotation.names],
        annotation.locations[wanted],
        annotation.orientations[wanted],
        rows=np.arange(HEIGHT) + 0.5,
        columns=np.arange(WIDTH) + 0.5,
    )
    pairs: list[tuple[float, float] | None] = []
    for frame, ours in zip(wanted, cast, strict=True):
        theirs = proposals.ids(frame, annotation.names)
        for i in range(1, len(annotation.names) + 1):
            one, other = ours == i, theirs == i
            if one.sum() < _MIN_PIXELS:
                continue
            if not other.any():
                pairs.append(None)
                continue
            distance = np.subtract(*(np.argwhere(mask).mean(0) for mask in (one, other)))
            iou = (one & other).sum() / (one | other).sum()
            pairs.append((float(np.linalg.norm(distance)), float(iou)))
    return pairs
