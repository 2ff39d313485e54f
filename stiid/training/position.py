"""Position of a run in its stages, as its checkpoints store it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stiid.config.experiment import Experiment
from stiid.typed_config import parse


@dataclass
class Position:
    """Position of a run; with the state and the data iterator, all that resuming needs."""

    stage: int
    step_in_stage: int
    skips: int  # consecutive updates that were not finite
    watch: Mapping[str, Any]
    processes: int  # that train together; each has its own place in the data


def position_of(progress: Mapping[str, Any], *, where: Path) -> Position:
    """Parse the position that a checkpoint stores.

    Args:
      progress: as stored; the fingerprint of the data in it is ignored.
      where: folder of the checkpoint, for messages.
    """
    fields = {name: value for name, value in progress.items() if name != "data"}
    try:
        position: Position = parse(Position, fields, where="progress")
    except ValueError as error:
        raise ValueError(f"the latest checkpoint in {where} is damaged ({error})") from error
    return position


def check_position(position: Position, experiment: Experiment, *, where: Path) -> None:
    """Refuse a position that no run of these stages can reach."""
    names = experiment.train.order
    steps = [*(experiment.train.stages[name].steps for name in names), 0]
    stage, step = position.stage, position.step_in_stage
    if not (0 <= stage <= len(names) and 0 <= step <= steps[stage] and position.skips >= 0):
        raise ValueError(
            f"the latest checkpoint in {where} is at step {step} of stage {stage}, but the config "
            f"has {len(names)} stages of {steps[:-1]} steps: move the folder of that checkpoint "
            "away, or use the config that it was trained with"
        )
