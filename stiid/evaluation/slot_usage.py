"""Diagnostics of how slots are used, which segmentation scores do not show, and remedies.

The diagnostics apply to decompositions of any model. Only ``background`` needs true masks.
"""

from collections.abc import Mapping

import numpy as np

from stiid.evaluation.rollout import Clips
from stiid.models.base import Decomposition

_LEAST_COVERAGE = 0.01  # of a frame's pixels, for a slot that is in use
_COLLAPSE_KL = 1.0  # nats per frame, all slots together
_COLLAPSE_EXPLAINED = 0.1
_ONE_COLOR = 1e-6  # variance of a clip in which there is nothing to explain
_UNDECIDED = 0.1  # of the way from equal masks at every pixel to one slot alone
_DIVIDED = 0.6  # of the background: if no slot captures more, slots divide it


def slot_use(clips: Clips, result: Decomposition, *, length: int) -> dict[str, np.ndarray]:
    """Diagnostics of the slots of each clip in its first ``length`` frames.

    Args:
      clips: the clips that were decomposed.
      result: their decomposition.
      length: number of frames, at most that of the clips.

    Returns:
      float64 [B] for each of:
        ``slots_used``: number of slots that cover at least 1 % of a frame (mean over frames).
        ``confidence``: the largest mask at a pixel (mean over pixels).
        ``explained``: fraction of the clip's variance that the reconstruction explains. 1 is
          perfect, 0 as good as one color, negative is worse; 1 also if all pixels are alike.
        ``background``: fraction of the true background captured by the slot that captures most of
          it, frame by frame; 1 without a background. Only with true masks.
        ``share_1`` … ``share_K``: coverage of the slots, as fractions of a frame's pixels.
        ``kl_1`` … ``kl_K``: KL divergence of the slots, in nats.
      The last two are sorted in every frame, the largest first, before the mean over frames is
      taken, since slots may change their objects, as IODINE's do.
    """
    masks = result.masks[:, :length]
    owner = masks.argmax(2)
    slots = range(masks.shape[2])
    shares = np.stack([(owner == k).mean(axis=(2, 3)) for k in slots], axis=-1)  # [B, T, K]
    video = clips.video[:, :length].astype(np.float64) / 255
    error = ((result.reconstruction[:, :length] - video) ** 2).mean(axis=(1, 2, 3, 4))
    variance = video.var(axis=(1, 2, 3)).mean(-1)
    use = {
        "slots_used": (shares >= _LEAST_COVERAGE).sum(-1).mean(1),
        "confidence": masks.max(2).mean(axis=(1, 2, 3)),
        "explained": np.where(variance > _ONE_COLOR, 1 - error / np.maximum(variance, 1e-9), 1.0),
    }
    if clips.masks is not None:
        background = clips.masks[:, :length] == 0
        captured = np.stack([(background & (owner == k)).sum(axis=(2, 3)) for k in slots], axis=-1)
        whole = captured.sum((1, 2))
        most = captured.max(-1).sum(1)
        use["background"] = np.where(whole > 0, most / np.maximum(whole, 1), 1.0)
    for name, values in (("share", shares), ("kl", np.asarray(result.kl[:, :length]))):
        ranked = -np.sort(-values, axis=-1).mean(1)  # [B, K]
        for rank, column in enumerate(ranked.T, 1):
            use[f"{name}_{rank}"] = column
    return {name: np.asarray(values, np.float64) for name, values in use.items()}


def summary(use: Mapping[str, float]) -> str:
    """Mean use of the slots, in one line for the log."""
    kl, shares = _ranked(use, "kl"), _ranked(use, "share")
    text = f"slots: {use['slots_used']:.1f} of {len(kl)} in use, "
    text += f"KL {' '.join(f'{x:.1f}' for x in kl)} nats, "
    text += f"coverage {' '.join(f'{100 * x:.0f}' for x in shares)} %"
    if "background" in use:
        text += f", {100 * use['background']:.0f} % of the background in one slot"
    return text


def findings(use: Mapping[str, float], *, family: str) -> list[str]:
    """Problems with the mean use of the slots, each with a remedy.

    Args:
      use: means of ``slot_use``.
      family: ``model.family`` of the config; remedies are known for "stiid" only.
    """
    if family != "stiid":
        return []
    kl, shares = _ranked(use, "kl"), _ranked(use, "share")
    found = []
    if sum(kl) < _COLLAPSE_KL:
        found.append(
            f"the posterior has collapsed: all slots together have a KL of {sum(kl):.2g} nats and "
            "contain nothing of the video. Lower objective.psi (of the stage, if it has its own), "
            "or raise objective.beta; begin with single frames (a stage of num_frames = 1), "
            "inference.gradient_skip = 0.3 and inference.init_log_var = -3"
        )
    if use["explained"] < _COLLAPSE_EXPLAINED:
        found.append(
            f"the reconstruction is no better than one color (it explains "
            f"{100 * use['explained']:.0f} % of the variance). Early in training this is normal; "
            "later, train longer on single frames, with a higher learning_rate of that stage or "
            "less noise at the start (inference.init_log_var = -3)"
        )
    even = 1 / len(shares)
    if len(shares) > 1 and use["confidence"] < even + _UNDECIDED * (1 - even):
        found.append(
            f"masks are undecided: the largest mask at a pixel is {use['confidence']:.2f} on "
            f"average, equal masks would be {even:.2f}. Early in training this is normal; later, "
            "slots mix their colors instead of dividing the image: use inference.mixture = pixel, "
            "or a smaller inference.variance"
        )
    elif len(shares) > 1 and use["slots_used"] < 1.5:
        found.append(
            f"one slot covers everything ({100 * shares[0]:.0f} % of the pixels). Lower "
            "objective.slot_entropy if it is above 0, train longer on single frames, or raise "
            "objective.beta"
        )
    elif use.get("background", 1.0) < _DIVIDED:
        found.append(
            f"no slot captures the background: the largest part in one slot is "
            f"{100 * use['background']:.0f} % of it. This lowers ARI, not F-ARI. On single frames "
            "and early in training this is normal; once objects are in different slots, a stage "
            "with objective.slot_entropy at a hundredth of objective.beta merges the background "
            "(use less if objects are faint: they would be merged into it too)"
        )
    return found


def _ranked(use: Mapping[str, float], name: str) -> list[float]:
    """Values of ``name_1``, ``name_2`` and so on."""
    values: list[float] = []
    while (key := f"{name}_{len(values) + 1}") in use:
        values.append(use[key])
    return values
