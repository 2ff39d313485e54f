"""The modes of the command line: train, eval, predict, decompose, import."""

import contextlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from stiid.cli.announcement import advise_variance, announce
from stiid.cli.decompose import Request, decompose_video
from stiid.cli.overrides import changed
from stiid.cli.results import keep_older, run_card, write_clip_figure, write_scores
from stiid.config.experiment import Experiment
from stiid.config.resolve import resolved
from stiid.errors import printable
from stiid.evaluation.evaluator import (
    Evaluation,
    Evaluator,
    check_best_metric,
    check_lengths,
)
from stiid.evaluation.prediction import (
    predict_clips,
    prediction_scores,
    sheets,
    write_images,
)
from stiid.evaluation.track_agreement import motion_check
from stiid.files import atomic_directory, sole_writer, write_json
from stiid.interop.import_model import import_model
from stiid.media import write_png
from stiid.outputs.figure import FigureRequest
from stiid.paths import local_path, refuse_url
from stiid.progress import waiting
from stiid.training.checkpoints import Checkpoints
from stiid.training.compatibility import check_processes, check_resuming
from stiid.training.locate import RELEASED, locate, stored_batch_sizes
from stiid.training.log import MetricWriter
from stiid.training.loop import NonFiniteError, Trainer
from stiid.training.memory import check_memory
from stiid.training.migration import migrate
from stiid.training.position import check_position, position_of
from stiid.training.released import is_release
from stiid.training.restore import load_clips, restore, stored_experiment
from stiid.training.trained_model import Model
from stiid.training.validate import check_stages, check_test, trained_shapes
from stiid.typed_config import to_dict

_LOG = logging.getLogger("stiid")
_SHOWN = ("ari_frame", "f_ari_frame", "mse")  # scores of a prediction that are printed

USER_ERRORS = (ValueError, TypeError, OSError, NonFiniteError)


def run(
    mode: str,
    experiment: Experiment | None,
    *,
    workdir: str | None,
    checkpoint: str,
    config: str | None = None,
    video: Request | None = None,
    figure: FigureRequest | None = None,
    fields: Sequence[str] = (),
) -> None:
    """Run a mode.

    Args:
      mode: one of ``MODES``, "decompose" or "import".
      experiment: of the config file, or None to take the one stored in the checkpoint.
      workdir: folder of results.
      checkpoint: "latest", "best", a path, or "stiid://NAME"; training always resumes from the
        latest of its own.
      config: name of the config file, for advice.
      video: what to decompose.
      figure: a figure that "predict" or "decompose" writes as well.
      fields: "--config.section.field=value" each, to change in the stored config.

    Raises:
      USER_ERRORS: errors that a user can fix, with a message of one line.
    """
    if workdir is None:
        raise ValueError("--workdir is missing: name the folder for checkpoints and results")
    path = local_path(workdir, "--workdir")
    if path.exists() and not path.is_dir():
        raise ValueError(f"--workdir={workdir} is a file: name a folder")
    request = video or Request(None)
    if request.path is not None and not request.path.startswith(RELEASED):
        refuse_url(request.path, "--input")
    if fields and experiment is None and mode not in ("train", "import"):
        experiment = changed(stored_experiment(path, checkpoint), fields)
    if figure is not None:
        figure.check()
        if mode not in ("predict", "decompose"):
            raise ValueError("--figure goes with --mode=predict or decompose")
    if mode == "decompose":
        decompose(experiment, path, checkpoint, request, figure)
    elif request != Request(request.path if mode == "import" else None):
        raise ValueError(
            "--input goes with --mode=decompose or import; --crop, --stride, --aspect and --frames "
            "with decompose"
        )
    elif mode == "import":
        if checkpoint != "latest":
            raise ValueError(
                "--mode=import takes no --checkpoint, since it makes one: leave it out"
            )
        import_model(experiment, path, request.path)
    else:
        wanted: dict[str, Any] = {"figure": figure} if figure is not None else {}
        if mode == "train" and config is not None:
            wanted["config"] = config
        MODES[mode](experiment, path, checkpoint, **wanted)


def batch_sizes(
    mode: str, experiment: Experiment | None, workdir: str | None, checkpoint: str
) -> list[int]:
    """Batch sizes of a mode that are known before JAX starts; devices must divide them."""
    if experiment is not None:
        sizes = [experiment.evaluate.batch_size]
        if mode == "train":
            sizes += [stage.batch_size for stage in experiment.train.stages.values()]
        return sizes
    try:
        directory, _ = locate(local_path(workdir or ".", "--workdir"), checkpoint)
    except OSError:
        return []  # the mode reports it
    return stored_batch_sizes(directory)


def train(
    experiment: Experiment | None, workdir: Path, checkpoint: str, *, config: str | None = None
) -> None:
    """Train, or resume; write the final scores to ``eval/metrics.json``."""
    if experiment is None:
        raise ValueError("--config is missing: training needs one")
    if checkpoint != "latest":
        raise ValueError(
            "training takes no --checkpoint: it resumes from the latest one in its --workdir"
        )
    if is_release(workdir / "checkpoints"):
        raise ValueError(
            f"{workdir / 'checkpoints'} holds a released model, which has no optimizer state: "
            "training cannot resume from it. Train in another --workdir"
        )
    check_memory(experiment)
    announce(experiment, config)
    train_source, eval_source = load_clips(experiment, "train"), load_clips(experiment)
    advise_variance(experiment, train_source)
    check_lengths(experiment.evaluate, eval_source)
    check_best_metric(experiment.train.best_metric, eval_source)
    with waiting("Checking all stages of the training"):
        trained = trained_shapes(experiment, train_source[0]["video"].shape[1:]).params
        work = check_stages(experiment, train_source, eval_source, trained)
        check_test(experiment, eval_source[0]["video"].shape[1:], trained)
    chief = jax.process_index() == 0
    with contextlib.ExitStack() as stack:
        if chief:
            stack.enter_context(sole_writer(workdir))
        checkpoints = stack.enter_context(
            Checkpoints(workdir / "checkpoints", best_metric=experiment.train.best_metric)
        )
        steps = checkpoints.steps()
        if steps:
            stored = migrate(checkpoints.config(steps[-1]))
            position = position_of(checkpoints.progress(steps[-1]), where=workdir)
            check_resuming(experiment, stored, position, step=steps[-1], where=workdir)
            check_processes(position.processes, where=workdir)
            check_position(position, experiment, where=workdir)
        resume_step = steps[-1] if steps else None
        writer = stack.enter_context(MetricWriter(workdir, resume_step=resume_step, enabled=chief))

        def on_evaluation(step: int, evaluation: Evaluation) -> None:
            if chief:
                clips, result = evaluation.preview
                shown = sheets(clips, result, num_observed=clips.video.shape[1])
                for i, sheet in enumerate(shown):
                    write_png(workdir / "pictures" / f"step_{step:06d}_{i:02d}.png", sheet)
                    writer.write_image(step, f"clips/{i:02d}", sheet)

        trainer = Trainer(
            experiment, train_source, eval_source, checkpoints, writer, on_evaluation, work
        )
        if chief:
            write_json(
                workdir / "run.json",
                {"config_file": config, **run_card(experiment, train_source)},
            )
            writer.write_text(resume_step or 0, "config", resolved(experiment))
        state, evaluation = trainer.run()
    write_scores(workdir, evaluation, int(state.step), experiment, eval_source)


def evaluate(experiment: Experiment | None, workdir: Path, checkpoint: str) -> None:
    """Restore, score, print, and write ``eval/metrics.json``."""
    experiment, state, source, system = restore(experiment, workdir, checkpoint)
    evaluation = Evaluator(experiment.evaluate, system, source)(state.params)
    write_scores(workdir, evaluation, int(state.step), experiment, source)
    if "tracks" in source[0]:
        content = motion_check(experiment.evaluate, system, source, state.params)
        if jax.process_index() == 0:
            write_json(workdir / "eval" / "motion.json", content)
            print(printable(f"wrote {workdir / 'eval' / 'motion.json'}: {content}"))


def predict(
    experiment: Experiment | None,
    workdir: Path,
    checkpoint: str,
    *,
    figure: FigureRequest | None = None,
) -> None:
    """Restore, infer n frames, simulate m; write animations and scores to ``predict/``."""
    experiment, state, source, system = restore(experiment, workdir, checkpoint)
    settings = experiment.predict
    clips, result = predict_clips(settings, experiment.evaluate, system, source, state.params)
    scores = prediction_scores(clips, result, num_observed=settings.num_observed)
    if jax.process_index() == 0:
        folder = workdir / "predict"
        origin = {"step": int(state.step), "data": source.fingerprint}
        content = {**scores, **origin, "config": to_dict(experiment)}
        keep_older(folder, content)
        if not settings.num_simulated:
            print(
                "note: no frame is simulated (predict.num_simulated = 0); IODINE infers each frame "
                "alone and cannot simulate"
            )
        with atomic_directory(folder) as temporary:
            paths = write_images(temporary, clips, result, num_observed=settings.num_observed)
            write_json(temporary / "metrics.json", content)
        for part in ("observed", "simulated"):
            numbers = scores.get(part, {})
            shown = " ".join(f"{name} {numbers[name]:.4f}" for name in _SHOWN if name in numbers)
            if shown:
                print(f"{part} frames: {shown}")
        print(printable(f"wrote {len(paths)} images and animations and metrics.json to {folder}"))
        if figure is not None:
            write_clip_figure(figure, clips, result, num_observed=settings.num_observed)


def decompose(
    experiment: Experiment | None,
    workdir: Path,
    checkpoint: str,
    request: Request,
    figure: FigureRequest | None = None,
) -> None:
    """Restore, and decompose a video of any length; for its files see ``write_decomposition``."""
    if jax.process_count() > 1:
        raise ValueError(
            f"--mode=decompose runs in one process, got {jax.process_count()}: "
            "start it alone (--num_processes=1)"
        )
    request.check()
    model = Model.restore(experiment, workdir, checkpoint)
    written, folder = decompose_video(model, request.open(model), workdir, figure)
    print(printable(f"wrote masks, images and trajectories of {written.frames} frames to {folder}"))
    print(written.note)
    if figure is not None:
        print(printable(f"wrote {figure.path}"))


MODES: dict[str, Callable[..., None]] = {
    "train": train,
    "eval": evaluate,
    "predict": predict,
}
