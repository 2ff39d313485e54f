"""The modes of the command line: train, eval, predict."""

import importlib.metadata
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from stiid.checkpoint import Checkpoints, locate
from stiid.data import registry
from stiid.data.source import Source
from stiid.evaluate import Evaluation, Evaluator, report, table_text, write_json
from stiid.experiment import Experiment, parse, to_dict
from stiid.predict import predict_clips, prediction_scores, write_pictures
from stiid.state import TrainState
from stiid.system import System, build
from stiid.train import Interrupted, NonFiniteError, Trainer, init_state
from stiid.writer import MetricWriter

_LOG = logging.getLogger("stiid")

USER_ERRORS = (ValueError, TypeError, OSError, NonFiniteError, Interrupted)

# What a resumed or restored run may not change; the rest (evaluation, logging) may.
_FIXED = ("seed", "model", "objective", "optim")
_PREVIEWS = 2


def run(mode: str, experiment: Experiment | None, *, workdir: str | None, checkpoint: str) -> None:
    """Run a mode.

    Args:
      mode: one of ``MODES``.
      experiment: of the config file, or None to take the one stored in the checkpoint.
      workdir: folder of results.
      checkpoint: "latest", "best", or a path; training always resumes from the latest of its own.

    Raises:
      USER_ERRORS: with one line that says what was expected, what came, and what to do.
    """
    if workdir is None:
        raise ValueError("--workdir is missing: name the folder for checkpoints and results")
    path = Path(workdir).expanduser().resolve()
    if path.exists() and not path.is_dir():
        raise ValueError(f"--workdir={workdir} is a file: name a folder")
    MODES[mode](experiment, path, checkpoint)


def train(experiment: Experiment | None, workdir: Path, checkpoint: str) -> None:
    """Train, or resume; evaluate at the end into ``eval/metrics.json``."""
    if experiment is None:
        raise ValueError("--config is missing: training needs one")
    if checkpoint != "latest":
        raise ValueError("--checkpoint goes with --mode=eval and predict; training resumes itself")
    train_source, eval_source = _load(experiment, "train"), _load(experiment)
    chief = jax.process_index() == 0
    checkpoints = Checkpoints(
        workdir / "checkpoints", best_metric=experiment.train.best_metric, create=True
    )
    steps = checkpoints.steps()
    if steps:
        _check_same(experiment, checkpoints.config(steps[-1]), where=workdir)
    with MetricWriter(workdir, resume_step=steps[-1] if steps else None, enabled=chief) as writer:

        def on_evaluation(step: int, evaluation: Evaluation) -> None:
            if chief:
                clips, result = jax.tree.map(lambda x: x[:_PREVIEWS], evaluation.preview)
                write_pictures(
                    workdir / "pictures",
                    clips,
                    result,
                    num_observed=clips.video.shape[1],
                    stem=f"step_{step:06d}",
                    animate=False,
                )

        trainer = Trainer(experiment, train_source, eval_source, checkpoints, writer, on_evaluation)
        if chief:
            write_json(workdir / "run.json", _run_card(experiment, train_source))
        state, evaluation = trainer.run()
        checkpoints.close()
    _write_scores(workdir, evaluation, int(state.step), experiment, eval_source)


def evaluate(experiment: Experiment | None, workdir: Path, checkpoint: str) -> None:
    """Restore, score, print, and write ``eval/metrics.json``."""
    experiment, state, source, system = _restore(experiment, workdir, checkpoint)
    evaluation = Evaluator(experiment.evaluate, system, source)(state.params)
    _write_scores(workdir, evaluation, int(state.step), experiment, source)


def predict(experiment: Experiment | None, workdir: Path, checkpoint: str) -> None:
    """Restore, infer n frames, simulate m; animations and scores go to ``predict/``."""
    experiment, state, source, system = _restore(experiment, workdir, checkpoint)
    settings = experiment.predict
    clips, result = predict_clips(settings, experiment.evaluate, system, source, state.params)
    scores = prediction_scores(clips, result, num_observed=settings.num_observed)
    if jax.process_index() == 0:
        folder = workdir / "predict"
        paths = write_pictures(
            folder, clips, result, num_observed=settings.num_observed, stem="clip", animate=True
        )
        content = {**scores, "step": int(state.step), "config": to_dict(experiment)}
        write_json(folder / "metrics.json", content)
        print(f"wrote {len(paths)} pictures and animations and metrics.json to {folder}")


MODES: dict[str, Callable[[Experiment | None, Path, str], None]] = {
    "train": train,
    "eval": evaluate,
    "predict": predict,
}


def _load(experiment: Experiment, split: str | None = None) -> Source:
    data = experiment.data
    return registry.load(
        data.name,
        split or experiment.evaluate.split,
        data_dir=str(Path(data.data_dir).expanduser()),
        **data.options,
    )


def _test_system(experiment: Experiment, source: Source) -> System:
    shape = source[0]["video"].shape[1:]
    return build(experiment, image_shape=shape, inference=experiment.at_test())


def _restore(
    experiment: Experiment | None, workdir: Path, checkpoint: str
) -> tuple[Experiment, TrainState, Source, System]:
    directory, wanted = locate(workdir, checkpoint)
    metric = experiment.train.best_metric if experiment else "f_ari"
    checkpoints = Checkpoints(directory, best_metric=metric, create=False)
    step = checkpoints.choose(wanted)
    stored = checkpoints.config(step)
    if experiment is None:
        experiment = parse(Experiment, stored)
    else:
        _check_same(experiment, stored, where=directory, only=("model",))
    source = _load(experiment)
    system = _test_system(experiment, source)
    template = jax.eval_shape(lambda: init_state(experiment, system))
    state = checkpoints.state(step, template)
    checkpoints.close()
    _LOG.info("Restored step %d of %s", step, directory)
    return experiment, state, source, system


def _check_same(
    experiment: Experiment, stored: dict[str, Any], *, where: Path, only: tuple[str, ...] = _FIXED
) -> None:
    """Refuse a checkpoint of another experiment."""
    now = json.loads(json.dumps(to_dict(experiment)))
    if only is _FIXED:
        pairs = [(name, now[name], stored[name]) for name in only]
        pairs.append(("train.stages", now["train"]["stages"], stored["train"]["stages"]))
        pairs.append(("data.options", now["data"]["options"], stored["data"]["options"]))
    else:
        pairs = [(name, now[name], stored[name]) for name in only]
    for name, ours, theirs in pairs:
        difference = _difference(name, ours, theirs)
        if difference:
            raise ValueError(
                f"{where} holds a checkpoint of another config: {difference}. Use that config, or "
                "another --workdir"
            )


def _difference(name: str, ours: Any, theirs: Any) -> str | None:
    """The first field in which two configs differ, in words."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            found = _difference(f"{name}.{key}", ours.get(key), theirs.get(key))
            if found:
                return found
        return None
    return None if ours == theirs else f"{name} is {theirs!r} there and {ours!r} here"


def _run_card(experiment: Experiment, source: Source) -> dict[str, Any]:
    """What a result needs beside its numbers."""
    packages = ("stiid", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "grain")
    return {
        "config": to_dict(experiment),
        "data": source.fingerprint,
        "devices": [str(device) for device in jax.devices()],
        "processes": jax.process_count(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def _write_scores(
    workdir: Path, evaluation: Evaluation, step: int, experiment: Experiment, source: Source
) -> None:
    if jax.process_index() == 0:
        path = workdir / "eval" / "metrics.json"
        content = report(
            evaluation, step=step, experiment=experiment, fingerprint=source.fingerprint
        )
        write_json(path, content)
        print(table_text(evaluation.scores))
        print(f"wrote {path}")
