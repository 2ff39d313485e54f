"""Config files resolve to the same fields as before.

``python tests/config/test_resolved.py`` writes the digests again after an intended change.
"""

import hashlib
import json
from pathlib import Path

import pytest

from stiid.config.files import CONFIGS, load_module
from stiid.config.resolve import load_experiment
from stiid.training.migration import without_later
from stiid.typed_config import to_dict

DIGESTS = Path(__file__).with_name("resolved.json")
NAMES = [
    f"{path.stem}:{variant}" if variant else path.stem
    for path in sorted(CONFIGS.glob("*.py"))
    for variant in getattr(load_module(path), "VARIANTS", ("",))
]


def digest(name):
    """Digest of all fields of a config with defaults, except new ones."""
    content = without_later(to_dict(load_experiment(name)))
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", NAMES)
def test_a_config_resolves_to_what_it_was(name):
    assert digest(name) == json.loads(DIGESTS.read_text())["digests"][name]


def write():
    """Write the digests of all resolved configs."""
    content = {
        "made by": "python tests/config/test_resolved.py",
        "first": "of the configs that listed every field; the short ones resolved to the same",
        "digests": {name: digest(name) for name in NAMES},
    }
    DIGESTS.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    write()
