"""Teach a trained model to simulate, and write it as a released model that does.

    python -m experiments.relational_prior masks_small_color --output=FOLDER

The model is a released one, the folder of a run or of a checkpoint. A relational prior
(``stiid.nn.relational``) is trained on what the model finds in its training clips; all other
parameters stay as they are, and so do decompositions. The folder is what ``stiid.load`` and
``--checkpoint`` take.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import jax
import numpy as np

from experiments.release import portable
from stiid.method.parameters import init_relational
from stiid.progress import counted
from stiid.shapes import Array, Params
from stiid.training.devices import PROGRAMS, enable_compilation_cache
from stiid.training.locate import find_model
from stiid.training.relational_prior import (
    Recipe,
    Tracks,
    infer_tracks,
    train_motion,
    train_mover,
    with_relational_prior,
)
from stiid.training.released import write_release
from stiid.training.restore import load_clips, restore_model

_SHOW_EVERY = 1000


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a released model, or the folder of a run or checkpoint")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--tracks", type=Path, help="file of inferred slots: read, or written")
    parser.add_argument("--motion", help="a model whose motion is trained further (or --updates=0)")
    for field in fields(Recipe):
        if isinstance(field.default, bool):
            parser.add_argument(f"--{field.name}", action=argparse.BooleanOptionalAction)
        else:
            parser.add_argument(f"--{field.name}", type=type(field.default))
    options = {name: x for name, x in vars(parser.parse_args(argv)).items() if x is not None}
    source, output = options.pop("model"), options.pop("output")
    given = {name: options.pop(name, None) for name in ("tracks", "motion")}
    teach(source, output, Recipe(**options), **given)


def teach(
    source: str,
    output: Path,
    recipe: Recipe,
    *,
    tracks: Path | None = None,
    motion: str | None = None,
) -> None:
    """Write a copy of a model that simulates by a relational prior.

    Args:
      source: of the model, see ``stiid.load``.
      output: folder of the copy.
      recipe: of the training.
      tracks: file of slots that the same model inferred before; written if it is not there.
      motion: of another model that simulates, which the training of the motion starts from.
    """
    stored, state, system = restore_model(None, *find_model(source))
    clips = load_clips(stored, "train")
    if tracks is not None and tracks.exists():
        with np.load(tracks) as arrays:
            found = Tracks(**arrays)
    else:
        found = infer_tracks(stored.evaluate, system, state.params, clips, recipe)
        if tracks is not None:
            np.savez(tracks, **found._asdict())
    experiment = with_relational_prior(stored)
    simulating = experiment.at_test().model.build(clips[0]["video"].shape[1:])
    prior = init_relational(simulating.model, jax.random.key(recipe.seed))
    if motion is not None:
        other = restore_model(None, *find_model(motion))[1]
        prior["motion"] = other.params["relational"]["motion"]
    for train, what, count in (
        (train_mover, "Latents", recipe.moves),
        (train_motion, "Motion", recipe.updates),
    ):
        if count:
            prior = _last(train(simulating, prior, found, recipe), what, count)
    write_release(
        output,
        step=int(state.step),
        params=jax.device_get({**state.params, "relational": prior}),
        config=portable(experiment),
    )
    print(f"{output}: step {int(state.step)} of {source}, with a relational prior")


def _last(updates: Iterator[tuple[Params, Array]], what: str, count: int) -> Params:
    """The parameters after all updates; errors are printed now and then."""
    steps = counted(updates, what, total=count, unit="updates")
    for done, result in enumerate(steps, 1):
        if done % _SHOW_EVERY == 0 or done == count:
            errors = np.round(np.asarray(result[1]), 4)
            print(f"{what}, update {done}: errors {errors}", flush=True)
    return result[0]


if __name__ == "__main__":
    enable_compilation_cache(PROGRAMS)
    main()
