"""Unsupervised video decomposition by spatio-temporal iterative inference.

    model = stiid.load("small_color")       # a released model, the folder of a run, or a checkpoint
    result = model.decompose("clip.mp4")    # masks and an image of every slot, in every frame

See ``stiid.api``. Names are imported on first use, so that ``import stiid`` is fast.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stiid.api import Model, Result, load, read_video, score

__version__ = "0.1.0"
__all__ = ["Model", "Result", "__version__", "load", "read_video", "score"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from stiid import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted(__all__)
