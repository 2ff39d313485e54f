"""The experiments of ``configs/bouncing_balls.py`` on R-NEM's own h5 files, read in place.

    python -m stiid.main --config=configs/rnem_files.py:binary --workdir=runs/r_nem \
        --config.data.options.path=/data/balls4mass64.h5

Variants: those of ``configs/bouncing_balls.py`` that are not small, and ``curtain``, which only
  tests
a ``binary`` model: 3 balls of one size that pass behind an invisible square. Hardware and expected
scores are the same. ``python -m stiid.data simulate`` writes a file of the same layout.
"""

from typing import Any

from configs import bouncing_balls
from stiid.config import extend

_SHARED = tuple(name for name in bouncing_balls.VARIANTS if not name.startswith("small_"))
VARIANTS = (*_SHARED, "curtain")


def get_config(variant: str = "binary") -> dict[str, Any]:
    """The experiment of a variant, one of ``VARIANTS``."""
    if variant not in VARIANTS:
        raise ValueError(f"configs/rnem_files.py: expected one of {VARIANTS}, got {variant!r}")
    if variant == "curtain":
        return extend(
            bouncing_balls.get_config("binary"),
            data={"name": "r_nem", "options": {"path": "balls3curtain64.h5", "box": 10.0}},
            evaluate={"split": "test", "clips": 0},
        )
    config = bouncing_balls.get_config(variant)
    options = {
        "path": "balls678mass64.h5" if "678" in variant else "balls4mass64.h5",
        "colors": config["data"].get("options", {}).get("colors", "binary"),
    }
    return extend(config, data={"name": "r_nem", "options": options})
