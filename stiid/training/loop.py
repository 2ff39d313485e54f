"""The training loop: stages of the curriculum, each with one compiled update.

Order within a step: update → check the previous update → log → evaluate → checkpoint. If the run is
stopped (a signal, a kill, a crash), it resumes from the last checkpoint and repeats the same steps
with the same data and noise.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import grain
import jax
import numpy as np

from stiid import parallel
from stiid.config.curriculum import Watch
from stiid.config.experiment import Experiment
from stiid.data.pipeline import train_iterator
from stiid.data.source import Source
from stiid.evaluation.evaluator import Evaluation, Evaluator, empty_clips
from stiid.evaluation.metrics import AUTHORS_SCORES
from stiid.evaluation.slot_usage import findings, summary
from stiid.models.base import CuedVideo, needs_objects
from stiid.progress import waiting
from stiid.shapes import Array
from stiid.training.checkpoints import Checkpoints
from stiid.training.early_stopping import validation_loss
from stiid.training.interrupt import Interrupted, StopRequest
from stiid.training.log import MetricWriter
from stiid.training.position import Position, position_of
from stiid.training.progress_bar import Progress, Span
from stiid.training.state import TrainState
from stiid.training.update import Updates, init_state, learning_rates
from stiid.typed_config import to_dict

_LOG = logging.getLogger("stiid")
_SHOWN = ("total", "nll", "kl", "mse")


class NonFiniteError(RuntimeError):
    """Loss, gradient or new parameters were not finite; the update was not applied."""


def stage_data(
    experiment: Experiment, index: int, name: str, source: Source
) -> grain.DatasetIterator:
    """Iterator over the batches of a stage, from its start."""
    stage = experiment.train.stages[name]
    try:
        return train_iterator(
            source,
            batch_size=stage.batch_size,
            num_frames=stage.num_frames,
            max_frames=experiment.data.max_frames or None,
            pieces=experiment.data.pieces,
            objects=needs_objects(experiment.model),
            seed=_seed(experiment.seed, index),
            shard_index=jax.process_index(),
            shard_count=jax.process_count(),
        )
    except ValueError as error:
        raise ValueError(f"train.stages.{name}: {error}") from None


def _seed(*parts: int) -> int:
    """Mix numbers to one seed: seeds of neighboring numbers are independent."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


@dataclass
class Trainer:
    """A run: all that stays the same from stage to stage.

    Attributes:
      experiment: config of the run.
      train_source: clips to train on.
      eval_source: clips to evaluate on.
      checkpoints: where to save.
      writer: where to log.
      on_evaluation: called with the step and the result of each evaluation (images).
      work: of an update of each stage, see ``validate.check_stages``; for the time left.
    """

    experiment: Experiment
    train_source: Source
    eval_source: Source
    checkpoints: Checkpoints
    writer: MetricWriter
    on_evaluation: Callable[[int, Evaluation], None]
    work: Mapping[str, float]

    def __post_init__(self) -> None:
        """Put the stages in order, and prepare the evaluation."""
        self._image_shape = self.train_source[0]["video"].shape[1:]
        self._stages = self.experiment.train.order
        test = self.experiment.at_test().model.build(self._image_shape)
        self._evaluator = Evaluator(self.experiment.evaluate, test, self.eval_source)
        self._initial = self.experiment.model.build(self._image_shape)
        self._updates = Updates()
        self._evaluation: Evaluation | None = None
        self._stop = StopRequest()

    def run(self) -> tuple[TrainState, Evaluation]:
        """Train from the latest checkpoint, or from the start, to the end.

        Returns:
          The final state and its evaluation.

        Raises:
          NonFiniteError: per ``train.non_finite``.
          Interrupted: a signal came; a checkpoint was saved.
        """
        steps = self.checkpoints.steps()
        state, position = self._start() if not steps else self._resume(steps[-1])
        step = int(state.step)
        bar = Progress(
            self._spans(step, position),
            eval_every=self.experiment.train.eval_every,
            initial=step,
            enabled=jax.process_index() == 0,
        )
        with self._stop, bar:
            while position.stage < len(self._stages):
                state, position = self._run_stage(state, position, bar)
                bar.expect(self._spans(int(state.step), position))
        return state, self._evaluation or self._evaluator(state.params)

    def _start(self) -> tuple[TrainState, Position]:
        with waiting("Initializing the parameters"):
            state = parallel.replicate(
                jax.jit(lambda: init_state(self.experiment, self._initial))()
            )
        return state, Position(0, 0, 0, {}, jax.process_count())

    def _resume(self, step: int) -> tuple[TrainState, Position]:
        template = jax.eval_shape(lambda: init_state(self.experiment, self._initial))
        state = parallel.replicate(self.checkpoints.state(step, template))
        _LOG.info("Resuming from step %d", step)
        progress = self.checkpoints.progress(step)
        before, now = progress.pop("data", None), self.train_source.fingerprint
        if before not in (None, now):
            _LOG.warning(
                "the data differ from those of the checkpoint (%s, now %s): training goes on with "
                "the new data, and its results will differ",
                before,
                now,
            )
        return state, position_of(progress, where=self.checkpoints.directory)

    def _run_stage(
        self, state: TrainState, position: Position, bar: Progress
    ) -> tuple[TrainState, Position]:
        train, name = self.experiment.train, self._stages[position.stage]
        stage, experiment = train.stages[name], self.experiment.at_stage(name)
        system = experiment.model.build(self._image_shape)
        update, rates = self._updates(experiment, system), learning_rates(experiment)
        validation = validation_loss(
            experiment.evaluate, system, self.eval_source, num_frames=stage.num_frames
        )
        data = stage_data(self.experiment, position.stage, name, self.train_source)
        if position.step_in_stage:
            self.checkpoints.restore_data(int(state.step), data)
        watch = Watch(train.stagnation, position.watch)
        rows = parallel.shard(parallel.global_rows(stage.batch_size))
        unread: Mapping[str, Array] | None = None  # metrics of the last update, until checked
        step, started, compiled = int(state.step), time.monotonic(), False

        while position.step_in_stage < stage.steps and watch.verdict is None:
            batch = parallel.shard(next(data))
            clips = CuedVideo(**batch) if "objects" in batch else batch["video"]
            rate = rates[position.step_in_stage]
            if compiled:
                state, metrics = update(state, clips, rows, rate)
            else:
                with waiting(f"Compiling {name}: clips of {stage.num_frames} frames"):
                    state, metrics = update(state, clips, rows, rate)
                    jax.block_until_ready(metrics)
                _LOG.info("%s: first step after %.1f s", name, time.monotonic() - started)
                compiled = True
                bar.restart(step + 1)
            step, position.step_in_stage = step + 1, position.step_in_stage + 1
            if unread is not None:  # one step late, so that devices never wait for the host
                self._check_metrics(step - 1, unread, position, watch)
            done, log = position.step_in_stage == stage.steps, step % train.log_every == 0
            evaluate, save = step % train.eval_every == 0, step % train.checkpoint_every == 0
            unread = metrics
            if done or log or evaluate or save or watch.due:
                self._check_metrics(step, metrics, position, watch)
                unread = None
            done = done or watch.verdict is not None
            if log or done:
                values = {k: float(v) for k, v in metrics.items() if k != "finite"}
                self.writer.write(step, "train", values | {"num_frames": stage.num_frames})
                bar.update(step, {k: values[k] for k in _SHOWN})
            if evaluate or done:
                with bar.evaluating():
                    self._evaluate(state)
                    if train.stagnation.patience:
                        loss = validation(state.params)
                        self.writer.write(step, "validation", {"total": loss})
                        watch.observe_validation(loss)
            stop = self._stop.agreed(ask=log or evaluate or done)
            if stop and unread is not None:
                self._check_metrics(step, metrics, position, watch)
            if evaluate or done or save or stop:
                position.watch = watch.state()
                self._save(state, data, position, evaluated=evaluate or done)
            if stop:
                self.checkpoints.wait()
                raise Interrupted(stop, step=step)
        if watch.verdict:
            _LOG.info("%s ends at step %d: %s", name, step, watch.verdict)
        return state, Position(position.stage + 1, 0, position.skips, {}, position.processes)

    def _spans(self, step: int, position: Position) -> list[Span]:
        """The steps that are done, and the stages still to come, if none ends early."""
        spans, last = [Span(step, 1.0)], step - position.step_in_stage
        for name in self._stages[position.stage :]:
            last += self.experiment.train.stages[name].steps
            spans.append(Span(last, self.work[name]))
        return spans

    def _check_metrics(
        self, step: int, metrics: Mapping[str, Array], position: Position, watch: Watch
    ) -> None:
        """Show the metrics of a finite update to the watch; count updates that are not finite."""
        if bool(metrics["finite"]):
            position.skips = 0
            watch.observe(float(metrics["total"]), float(metrics["kl"]))
            return
        position.skips += 1
        train = self.experiment.train
        if train.non_finite == "skip" and position.skips <= train.max_skips:
            return
        values = {k: float(v) for k, v in metrics.items()}
        self.checkpoints.wait()
        steps = self.checkpoints.steps()
        advice = "Go on with --config.train.non_finite=skip, or"
        if train.non_finite == "skip":
            advice = f"It is number {position.skips} in a row, more than train.max_skips:"
        raise NonFiniteError(
            f"step {step}: loss {values['total']}, gradient norm {values['grad_norm']}, norm of "
            f"the new parameters {values['param_norm']}, nll {values['nll']}, KL {values['kl']}. "
            "The update was not applied; the last good checkpoint is "
            f"{f'step {steps[-1]}' if steps else 'not there yet'}. {advice} start in another "
            "--workdir with lower rates (learning_rate and final_learning_rate of optim, and of "
            f"train.stages.{self._stages[position.stage]}.optim if it has them)"
        )

    def _evaluate(self, state: TrainState) -> Evaluation:
        step = int(state.step)
        self._evaluation = self._evaluator(state.params)
        for length, values in self._evaluation.scores.items():
            self.writer.write(step, f"eval_{length}", values)
        shown = self._evaluation.scores[self.experiment.evaluate.lengths[0]]
        told = [f"{k} {v:.4f}" for k, v in shown.items() if k not in AUTHORS_SCORES]
        _LOG.info("step %d: %s", step, " ".join(told))
        if note := empty_clips(self._evaluation):
            _LOG.info("step %d: %s", step, note)
        self.writer.write(step, "slots", self._evaluation.use)
        _LOG.info("step %d: %s", step, summary(self._evaluation.use))
        for finding in findings(self._evaluation.use, family=self.experiment.model.family):
            _LOG.warning("step %d: %s", step, finding)
        self.on_evaluation(step, self._evaluation)
        return self._evaluation

    def _save(
        self, state: TrainState, data: grain.DatasetIterator, position: Position, *, evaluated: bool
    ) -> None:
        metrics = None
        if evaluated and self._evaluation is not None:
            metrics = self._evaluation.scores[self.experiment.evaluate.lengths[0]]
        self.checkpoints.save(
            state,
            data=data,
            progress={**vars(position), "data": self.train_source.fingerprint},
            config=to_dict(self.experiment),
            metrics=metrics,
        )
