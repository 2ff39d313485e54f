"""Refuse sizes that cannot fit into this machine's memory, before anything is allocated."""

import os
from typing import Any

import jax

from stiid.config.experiment import Experiment
from stiid.data import registry

_FLOAT = 4  # bytes


def check_memory(experiment: Experiment) -> None:
    """Refuse frames and batches whose smallest memory need exceeds this machine's memory.

    The smallest need is a batch of clips, and the images and masks of all slots for one frame.

    Raises:
      ValueError: they do not fit; the message names the sizes.
    """
    view = registry.view(experiment.data.name, **experiment.data.options)
    pixels = view.height * view.width
    slots = experiment.model.num_slots
    decoded = slots * pixels * (view.channels + 1) * _FLOAT
    batches = {
        f"train.stages.{name}": stage.batch_size * stage.num_frames
        for name, stage in experiment.train.stages.items()
    }
    batches["evaluate"] = experiment.evaluate.batch_size * max(experiment.evaluate.lengths)
    for where, frames in batches.items():
        clips = frames * pixels * view.channels // jax.process_count()
        _check(
            clips + decoded,
            f"{where}: {frames} frames of {view.height}x{view.width} pixels and {slots} slots",
        )


def check_state(shapes: Any) -> None:
    """Refuse a state that is larger than this machine's memory.

    Args:
      shapes: of its arrays.
    """
    leaves = [leaf for leaf in jax.tree.leaves(shapes) if hasattr(leaf.dtype, "itemsize")]
    count = sum(leaf.size for leaf in leaves)
    _check(
        sum(leaf.size * leaf.dtype.itemsize for leaf in leaves),
        f"config.model: parameters and optimizer state, {count} numbers,",
    )


def _check(needed: int, what: str) -> None:
    there = physical_memory()
    if there is not None and needed > there:
        raise ValueError(
            f"{what} take at least {needed / 2**30:.1f} GiB, and this machine has "
            f"{there / 2**30:.1f} GiB: choose smaller sizes"
        )


def physical_memory() -> int | None:
    """Bytes of memory of this machine; None if the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None
