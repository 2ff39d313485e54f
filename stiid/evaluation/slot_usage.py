"""How slots are used, and advice when they are not: what the scores of a segmentation do not tell.

All of it is of decompositions, whatever model made them, and needs no labels but ``background``.
"""

from collections.abc import Mapping

import numpy as np

from stiid.evaluation.rollout import Clips
from stiid.models.base import Decomposition

_LEAST_SHARE = 0.01  # of a frame's pixels that a slot in use holds
_COLLAPSE_KL = 1.0  # nats per frame, all slots together
_COLLAPSE_EXPLAINED = 0.1
_ONE_COLOR = 1e-6  # variance of a clip in which there is nothing to explain
_UNDECIDED = 0.1  # of the way from equal shares of every pixel to one slot alone
_NOBODY = 0.6  # of the background


def slot_use(clips: Clips, result: Decomposition, *, length: int) -> dict[str, np.ndarray]:
    """What the slots of each clip are used for in its first ``length`` frames.

    Args:
      clips: what was decomposed.
      result: how.
      length: frames, at most those of the clips.

    Returns:
      float64 [B] for each of: ``slots_used``, slots that hold at least 1 % of a frame's pixels
      (mean over frames); ``confidence``, the largest mask of a pixel (mean); ``explained``, the
      share of the clip's variance over pixels that the reconstruction explains (1 at best, and
      where all pixels are alike; 0: as good as one color, < 0: worse); ``background``, the share of
      the true background that in each frame the slot with most of it holds, 1 if there is none
      (only with true masks); ``share_1`` … ``share_K`` and ``kl_1`` … ``kl_K``, the slots' shares
      of a frame's pixels and their KL divergence in nats, each frame's largest first (means over
      frames: slots may change their roles, as IODINE's do).
    """
    masks = result.masks[:, :length]
    owner = masks.argmax(2)
    slots = range(masks.shape[2])
    shares = np.stack([(owner == k).mean(axis=(2, 3)) for k in slots], axis=-1)  # [B, T, K]
    video = clips.video[:, :length].astype(np.float64) / 255
    error = ((result.reconstruction[:, :length] - video) ** 2).mean(axis=(1, 2, 3, 4))
    variance = video.var(axis=(1, 2, 3)).mean(-1)
    use = {
        "slots_used": (shares >= _LEAST_SHARE).sum(-1).mean(1),
        "confidence": masks.max(2).mean(axis=(1, 2, 3)),
        "explained": np.where(variance > _ONE_COLOR, 1 - error / np.maximum(variance, 1e-9), 1.0),
    }
    if clips.masks is not None:
        ground = clips.masks[:, :length] == 0
        held = np.stack([(ground & (owner == k)).sum(axis=(2, 3)) for k in slots], axis=-1)
        whole = held.sum((1, 2))
        most = held.max(-1).sum(1)
        use["background"] = np.where(whole > 0, most / np.maximum(whole, 1), 1.0)
    for name, values in (("share", shares), ("kl", np.asarray(result.kl[:, :length]))):
        ranked = -np.sort(-values, axis=-1).mean(1)  # [B, K]
        for rank, column in enumerate(ranked.T, 1):
            use[f"{name}_{rank}"] = column
    return {name: np.asarray(values, np.float64) for name, values in use.items()}


def summary(use: Mapping[str, float]) -> str:
    """Mean use of the slots as a line of a log."""
    kl, shares = _ranked(use, "kl"), _ranked(use, "share")
    text = f"slots: {use['slots_used']:.1f} of {len(kl)} in use, "
    text += f"KL {' '.join(f'{x:.1f}' for x in kl)} nats, "
    text += f"shares {' '.join(f'{100 * x:.0f}' for x in shares)} %"
    if "background" in use:
        text += f", {100 * use['background']:.0f} % of the background in one"
    return text


def findings(use: Mapping[str, float], *, family: str) -> list[str]:
    """What is wrong with the mean use of the slots, and what cures it.

    Args:
      use: means of ``slot_use``.
      family: ``model.family`` of the config; only of "stiid" is a cure known.
    """
    if family != "stiid":
        return []
    kl, shares = _ranked(use, "kl"), _ranked(use, "share")
    found = []
    if sum(kl) < _COLLAPSE_KL:
        found.append(
            f"the posterior has collapsed: all slots together have a KL of {sum(kl):.2g} nats, so "
            "that nothing of the video is in them. Lower objective.psi (of the stage, if it has "
            "its own), or raise objective.beta; "
            "begin with stills (a stage of num_frames = 1), inference.gradient_skip = 0.3 and "
            "inference.init_log_var = -3"
        )
    if use["explained"] < _COLLAPSE_EXPLAINED:
        found.append(
            f"the reconstruction is no better than one color (it explains "
            f"{100 * use['explained']:.0f} % of the variance). Early in training that passes; else "
            "train longer on stills, with a higher learning_rate of that stage or a quiet start "
            "(inference.init_log_var = -3)"
        )
    even = 1 / len(shares)
    if len(shares) > 1 and use["confidence"] < even + _UNDECIDED * (1 - even):
        found.append(
            f"masks are undecided: the largest of a pixel is {use['confidence']:.2f} on average, "
            f"equal shares would be {even:.2f}. Early in training that passes; else slots mix "
            "their colors instead of sharing the image: use inference.mixture = pixel, or a "
            "smaller inference.variance"
        )
    elif len(shares) > 1 and use["slots_used"] < 1.5:
        found.append(
            f"one slot holds everything ({100 * shares[0]:.0f} % of the pixels). Lower "
            "objective.slot_entropy if there is any, train longer on stills, or raise "
            "objective.beta"
        )
    elif use.get("background", 1.0) < _NOBODY:
        found.append(
            f"the background belongs to nobody: no slot holds more than "
            f"{100 * use['background']:.0f} % of it. F-ARI does not mind, ARI does: once objects "
            "are told apart, objective.slot_entropy of about 0.01 β leaves it to one slot (less "
            "where objects stand out little: they would share it too)"
        )
    return found


def _ranked(use: Mapping[str, float], name: str) -> list[float]:
    """The values of ``name_1``, ``name_2``, …"""
    values: list[float] = []
    while (key := f"{name}_{len(values) + 1}") in use:
        values.append(use[key])
    return values
