"""Digests of the contents of a checkpoint, which reveal a flipped bit.

A digest covers values, not files: the arrays and the JSON that were saved, in whatever layout they
are stored. A checkpoint holds its digests as one more item, ``digests``; those of earlier versions
lack it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from stiid.files import write_json
from stiid.training.state import TrainState

ITEM = "digests"


def of_state(state: TrainState) -> dict[str, str]:
    """Digests of a state with a plain key, field by field."""
    return {f"state/{name}": of_arrays(value) for name, value in vars(state).items()}


def of_arrays(tree: Any) -> str:
    """Digest of a tree of arrays: path, type, shape and bytes of each."""
    digest = hashlib.blake2b(digest_size=16)
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype.str} {np.shape(leaf)}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def of_json(content: Any) -> str:
    """Digest of a JSON value, independent of the order of keys and of white space."""
    text = json.dumps(json.loads(json.dumps(content)), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def read(checkpoint: Path) -> dict[str, Any] | None:
    """The digests in the folder of a checkpoint; None if an older version wrote it.

    Raises:
      ValueError: they are damaged.
    """
    path = checkpoint / ITEM / "metadata"
    if not path.parent.exists():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path} holds no digests")
    return content


def change_json(checkpoint: Path, item: str, content: Mapping[str, Any]) -> None:
    """Replace a JSON item of a checkpoint, and its digest if there are any.

    Args:
      checkpoint: folder of the checkpoint.
      item: "config" or "progress".
      content: new content of the item.
    """
    (checkpoint / item / "metadata").write_text(json.dumps(content), encoding="utf-8")
    digests = read(checkpoint)
    if digests is not None:
        write_json(checkpoint / ITEM / "metadata", {**digests, item: of_json(content)})
