"""Released models: parameters and config alone, in files that NumPy and JSON can read.

A released model is a folder with ``model.json``, {"step": updates, "config": all fields,
"digests": of both files}, and ``params.npz``, which has an array for every leaf of the parameters,
named by its path: "refiner/conv_0/kernel". It holds no state of optimizer and data, so training
cannot be resumed.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stiid.files import atomic_directory, write_json
from stiid.shapes import Params
from stiid.training import digest
from stiid.training.state import TrainState

_CARD, _PARAMS = "model.json", "params.npz"


class Release:
    """A released model, read like ``training.checkpoints.Checkpoints`` with a single step."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            card = json.loads((directory / _CARD).read_text(encoding="utf-8"))
            self._step, self._config = int(card["step"]), dict(card["config"])
            self._digests = {name: card["digests"][name] for name in ("config", "params")}
            if self._digests["config"] != digest.of_json([self._step, self._config]):
                raise ValueError("it is not what was released")
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise self._damaged(_CARD, error) from error

    def choose(self, wanted: str) -> int:
        """The only step, which "latest", "best" or its number may name."""
        if wanted not in ("latest", "best", str(self._step)):
            raise FileNotFoundError(
                f"no checkpoint {wanted} in {self.directory}, only {self._step}"
            )
        return self._step

    def choose_again(self) -> int:
        """The only step."""
        return self._step

    def config(self, step: int) -> dict[str, Any]:
        """The config."""
        return self._config

    def state(self, step: int, template: TrainState) -> TrainState:
        """The parameters as a state without an optimizer.

        Args:
          step: of ``choose``.
          template: shapes and dtypes, from ``jax.eval_shape``.
        """
        wanted = {_name(path): leaf for path, leaf in _leaves(template.params)}
        try:
            with (self.directory / _PARAMS).open("rb") as raw, np.load(raw) as file:
                stored = {name: file[name] for name in file.files}
        except Exception as error:  # whatever the reader of a damaged archive raises
            raise self._damaged(_PARAMS, error) from error
        if stored.keys() != wanted.keys():
            names = ", ".join(sorted(stored.keys() ^ wanted.keys()))
            raise ValueError(f"{self.directory}: not the parameters of this model: {names}")
        for name, leaf in wanted.items():
            if stored[name].shape != leaf.shape or stored[name].dtype != leaf.dtype:
                raise ValueError(
                    f"{self.directory}: {name} has shape {stored[name].shape} there and "
                    f"{leaf.shape} here. Use the config that it was trained with, or data of the "
                    "same image size"
                )
        if self._digests["params"] != digest.of_arrays(stored):
            raise self._damaged(_PARAMS, ValueError("it is not what was released"))
        params = jax.tree.unflatten(
            jax.tree.structure(template.params), list(map(stored.get, wanted))
        )
        key = jax.random.key(int(self._config["seed"]))
        return TrainState(
            step=jnp.int32(self._step), params=params, opt_state={}, key=key, skipped=jnp.int32(0)
        )

    def _damaged(self, name: str, error: Exception) -> ValueError:
        return ValueError(
            f"cannot read {self.directory / name} ({' '.join(str(error).split())}): install the "
            "package anew, or release the model again"
        )

    def __enter__(self) -> "Release":
        return self

    def __exit__(self, *exception: object) -> None:
        pass


def is_release(directory: Path) -> bool:
    """Whether a folder holds a released model."""
    return (directory / _CARD).is_file()


def write_release(directory: Path, *, step: int, params: Params, config: Mapping[str, Any]) -> None:
    """Write a released model, whole or not at all; an earlier one is replaced."""
    arrays: dict[str, Any] = {_name(path): np.asarray(leaf) for path, leaf in _leaves(params)}
    with atomic_directory(directory) as unfinished:
        np.savez(unfinished / _PARAMS, **arrays)
        digests = {
            "config": digest.of_json([step, dict(config)]),
            "params": digest.of_arrays(arrays),
        }
        card = {"step": step, "config": dict(config), "digests": digests}
        write_json(unfinished / _CARD, card)


def _leaves(params: Params) -> list[tuple[Any, Any]]:
    leaves: list[tuple[Any, Any]] = jax.tree_util.tree_leaves_with_path(params)
    return leaves


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
