"""Bouncing Balls as in ``configs/bouncing_balls.py``, from R-NEM's own h5 files, read in place.

    python -m stiid.main --config=configs/rnem_files.py:binary --workdir=runs/r_nem \
        --config.data.options.path=/data/balls4mass64.h5

Variants: the large ones of ``configs/bouncing_balls.py``, and ``curtain``, which only tests a
``binary`` model: 3 balls of one size that pass behind an invisible square. Hardware and
expectations are the same. A file of the same layout: ``python -m stiid.data simulate``.
"""

from ml_collections import ConfigDict

from configs import bouncing_balls

_SHARED = tuple(name for name in bouncing_balls.VARIANTS if not name.startswith("small_"))
VARIANTS = (*_SHARED, "curtain")
_FILES = {"curtain": "balls3curtain64.h5"}


def get_config(variant: str = "binary") -> ConfigDict:
    """The experiment of a variant, one of ``VARIANTS``."""
    if variant not in VARIANTS:
        raise ValueError(f"configs/rnem_files.py: expected one of {VARIANTS}, got {variant!r}")
    curtain = variant == "curtain"
    config = bouncing_balls.get_config("binary" if curtain else variant)
    file = "balls678mass64.h5" if "678" in variant else "balls4mass64.h5"
    with config.unlocked():
        config.data.name = "r_nem"
        config.data.options = {
            "path": _FILES.get(variant, file),
            "colors": config.data.options.colors,
            "frames": 51,
            "box": 10.0 if curtain else 15.0,
            "resolution": 64,
            "seed": 0,
        }
        if curtain:
            config.evaluate.update(split="test", clips=0)
    return config
