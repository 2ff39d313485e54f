"""Data sources by name."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from stiid.data.balls.bouncing_balls import BallsSpec, BouncingBalls
from stiid.data.balls.r_nem import RNemSpec, open_r_nem
from stiid.data.clevrer.source import ClevrerSpec, open_clevrer
from stiid.data.clevrer.verify import verify_clevrer
from stiid.data.generated import open_generated
from stiid.data.solids.clips import RenderedSpec
from stiid.data.solids.rendered import Rendered
from stiid.data.source import Source
from stiid.data.verify import verify_r_nem
from stiid.data.video.grand_central import GrandCentralSpec, open_grand_central
from stiid.data.video.own_video import OwnVideoSpec, open_own_video
from stiid.data.view import View


class Entry(NamedTuple):
    """A data source.

    Attributes:
        summary: One line for `python -m stiid.data list`.
        spec: Dataclass whose fields are the options. Its property `view` says how a frame of a
            video file becomes a frame of the source.
        open: (spec, split, data_dir) → the split, prepared on first use.
        verify: (spec, split, data_dir, clips) → figures that check the content of some clips
            against other knowledge; it raises ValueError if the data are wrong. None if there is no
            such knowledge.
    """

    summary: str
    spec: type
    open: Callable[[Any, str, str], Source]
    verify: Callable[[Any, str, str, int], Mapping[str, float]] | None = None


ENTRIES = {
    "bouncing_balls": Entry(
        "balls that bounce in a box, simulated on first use",
        BallsSpec,
        partial(open_generated, BouncingBalls),
    ),
    "r_nem": Entry(
        "Bouncing Balls from R-NEM's own h5 files, read in place",
        RNemSpec,
        open_r_nem,
        verify_r_nem,
    ),
    "clevrer": Entry(
        "CLEVRER from the official archives, true masks by ray casting or from the proposals",
        ClevrerSpec,
        open_clevrer,
        verify_clevrer,
    ),
    "rendered": Entry(
        "a stand-in for CLEVRER: colored solids on a floor, rendered on first use",
        RenderedSpec,
        partial(open_generated, Rendered),
    ),
    "grand_central": Entry(
        "Grand Central Station, cut from its video", GrandCentralSpec, open_grand_central
    ),
    "own_video": Entry("your own videos, with or without masks", OwnVideoSpec, open_own_video),
}


def names() -> tuple[str, ...]:
    """The names that `load` knows."""
    return tuple(ENTRIES)


def make_spec(name: str, **options: Any) -> Any:
    """The checked options of a data source.

    Args:
        name: One of `names()`.
        **options: Flat options of the source, the fields of its spec.

    Raises:
        ValueError: If the name or the value of an option is wrong.
        TypeError: If an option does not exist or has the wrong type.
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
    """How a frame of a video file becomes a frame of a source; raises as `make_spec`."""
    return make_spec(name, **options).view


def load(name: str, split: str, *, data_dir: str, **options: Any) -> Source:
    """Opens a split of a data source and prepares the source on first use.

    Args:
        name: One of `names()`.
        split: "train", "validation" or "test".
        data_dir: Directory of all prepared data; each set of options gets its own directory below.
        **options: Flat options of the source; for "bouncing_balls" the fields of `BallsSpec`.

    Returns:
        The split, see `Source`.

    Raises:
        ValueError: If the name, the split or the value of an option is wrong, or a file is damaged.
        TypeError: If an option does not exist or has the wrong type.
        OSError: If a file is missing or the data cannot be written.
    """
    spec = make_spec(name, **options)
    return ENTRIES[name].open(spec, split, data_dir)
