"""Data sources by name. Each is imported on use, so balls do not load MuJoCo."""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from stiid.data.source import Source
from stiid.data.view import View


@dataclasses.dataclass(frozen=True)
class Entry:
    """A data source.

    Attributes:
      summary: one line for `stiid data list`.
      spec_at: "module:name" below `stiid.data` of a dataclass whose fields are the options. Its
        property `view` says how a frame of a video file becomes a frame of the source.
      open_at: likewise, of a function (spec, split, data_dir) → the split, prepared on first use.
      verify_at: likewise, of a function (spec, split, data_dir, clips) → figures. It compares
      some
        clips with independent knowledge, and raises ValueError if the data are wrong. None if
        there is no such check.
    """

    summary: str
    spec_at: str
    open_at: str
    verify_at: str | None = None

    @property
    def spec(self) -> type:
        """The dataclass of options."""
        return _find(self.spec_at)

    @property
    def open(self) -> Callable[[Any, str, str], Source]:
        """The function that opens a split."""
        return _find(self.open_at)

    @property
    def verify(self) -> Callable[[Any, str, str, int], Mapping[str, float]] | None:
        """The function that checks clips, if there is one."""
        return None if self.verify_at is None else _find(self.verify_at)


def _find(place: str) -> Any:
    module, name = place.split(":")
    return getattr(importlib.import_module(f"stiid.data.{module}"), name)


ENTRIES = {
    "bouncing_balls": Entry(
        "balls that bounce in a box, simulated on first use",
        "balls.bouncing_balls:BallsSpec",
        "balls.builder:open_balls",
    ),
    "r_nem": Entry(
        "Bouncing Balls from R-NEM's own h5 files, read in place",
        "balls.r_nem:RNemSpec",
        "balls.r_nem:open_r_nem",
        "verify:verify_r_nem",
    ),
    "clevrer": Entry(
        "CLEVRER from the official archives, true masks by ray casting or from the proposals",
        "clevrer.source:ClevrerSpec",
        "clevrer.source:open_clevrer",
        "clevrer.verify:verify_clevrer",
    ),
    "rendered": Entry(
        "a substitute for CLEVRER: colored solids on a floor, rendered on first use",
        "solids.clips:RenderedSpec",
        "solids.rendered:open_rendered",
    ),
    "movi": Entry(
        "MOVi-A to MOVi-E from the published TFRecord files, without TensorFlow",
        "movi.source:MoviSpec",
        "movi.source:open_movi",
    ),
    "grand_central": Entry(
        "Grand Central Station, cut from its video",
        "video.grand_central:GrandCentralSpec",
        "video.grand_central:open_grand_central",
    ),
    "moving_digits": Entry(
        "handwritten digits that bounce in a box (Moving MNIST), made when a clip is requested",
        "digits.moving_digits:MovingDigitsSpec",
        "digits.moving_digits:open_moving_digits",
    ),
    "moving_mnist": Entry(
        "Moving MNIST's published test set, read in place; no masks",
        "digits.moving_mnist:MovingMnistSpec",
        "digits.moving_mnist:open_moving_mnist",
    ),
    "own_video": Entry(
        "your own videos, with or without masks",
        "video.own_video:OwnVideoSpec",
        "video.own_video:open_own_video",
    ),
}


def names() -> tuple[str, ...]:
    """Names of all data sources."""
    return tuple(ENTRIES)


def make_spec(name: str, **options: Any) -> Any:
    """Check the options of a data source.

    Args:
      name: one of `names()`.
      **options: flat options of the source, the fields of its spec.

    Raises:
      ValueError: if the name or the value of an option is wrong.
      TypeError: if an option does not exist or has the wrong type.
    """
    if name not in ENTRIES:
        raise ValueError(f"name must be one of {names()}, got {name!r}")
    spec = ENTRIES[name].spec
    known = tuple(field.name for field in dataclasses.fields(spec))
    unknown = tuple(sorted(options.keys() - set(known)))
    if unknown:
        raise TypeError(f"{name} has no options {unknown}: remove them, the options are {known}")
    return spec(**options)


def view(name: str, **options: Any) -> View:
    """Conversion of a video file's frames to frames of a source; raises like `make_spec`."""
    return make_spec(name, **options).view


def load(name: str, split: str, *, data_dir: str, **options: Any) -> Source:
    """Open a split of a data source, which is prepared on first use.

    Args:
      name: one of `names()`.
      split: "train", "validation" or "test".
      data_dir: directory of all prepared data; each set of options has its own directory in it.
      **options: flat options of the source; for "bouncing_balls" the fields of `BallsSpec`.

    Returns:
      The split, see `Source`.

    Raises:
      ValueError: if the name, the split or the value of an option is wrong, or a file is damaged.
      TypeError: if an option does not exist or has the wrong type.
      OSError: if a file is missing or the data cannot be written.
    """
    spec = make_spec(name, **options)
    return ENTRIES[name].open(spec, split, data_dir)
