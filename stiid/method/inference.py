"""Spatio-temporal iterative inference: cell → frame → video (section 3.2, Fig. 2a).

A *cell* (t, r) samples z from the current posterior, decodes it, evaluates the ELBO, takes the
gradients of the ELBO at the posterior and at the decoded image, and lets the refinement network
turn all of it into a better posterior (``refine``). A *frame* is R̂_t cells, a loop that
``Inference.unroll`` unrolls, and one last decode (``infer_frame``). A *video* is a ``lax.scan``
over frames for each run of equal R̂ (``infer_video``). All are pure functions of parameters, pixels
and noise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from stiid.method import generation, latents, starts
from stiid.method.elbo import INNER_GRADIENTS, ElboWeights
from stiid.method.networks import SlotModel
from stiid.method.parameters import ParameterOptions
from stiid.method.refinement import Cell, FrameResult, FrameStart, Terms, refine, score
from stiid.method.schedule import GridOptions, Run, runs, schedule
from stiid.method.simulation import simulate
from stiid.nn.seeds import follow
from stiid.shapes import Array, LSTMState, Params, check_shapes


@dataclass(frozen=True, kw_only=True)
class Inference(ParameterOptions, GridOptions):
    """All options of the procedure; the defaults are the paper's, or our reading of it.

    Here those of frames and videos; each base class stands beside the code that it switches.

    Attributes:
      last_decode: decode once more after the last refinement of a frame, which gives its result
        (R̂ + 1 evaluations); False: the decode in front of the last refinement gives it (R̂
        evaluations; SEQ-IODINE, where frame t is then scored as decoded from frames < t).
      unroll: *not in the paper*: refinements in a turn of a frame's loop; 0: all, no loop. With
        fewer, the paper's sizes compile in a fraction of the time; activations that are kept
        (without ``remat``) are copied once more.
      remat: *not in the paper*: recompute each cell in the backward pass instead of keeping its
        activations; only λ, the LSTM's states and the inner gradients (C + 1 channels of an image
        per slot) are kept.
    """

    last_decode: bool = True
    # Not in the paper.
    unroll: int = 1
    remat: bool = True

    def __post_init__(self) -> None:
        """Validate the fields."""
        super().__post_init__()
        if self.unroll < 0:
            raise ValueError(f"inference.unroll must not be negative, got {self.unroll}: 0 is all")
        if self.time_axis == "none" and self.grid != "full":
            raise ValueError(
                "inference: a model without memory treats frames alike: time_axis='none' needs "
                f"grid='full', got grid={self.grid!r}"
            )
        if self.grid == "trailing" and not self.last_decode:
            raise ValueError("inference: grid='trailing' needs last_decode=True, got False")

    def decodes(self, frame: int) -> bool:
        """Whether frame t ends with a decode; else that before its last refinement counts."""
        return self.last_decode and (self.grid != "trailing" or frame == 0)


class VideoResult(NamedTuple):
    """``infer_video``'s outcome, time-major."""

    terms: tuple[Terms, ...]  # per run of equal R̂: leaves [frames, evaluations of a frame, …]
    frames: FrameResult  # leaves [T, …]
    last: FrameStart  # where inference of the next frame would start


def first_frame(
    model: SlotModel[Inference],
    params: Params,
    *,
    batch: int,
    num_slots: int,
    noise: Array | None = None,
    frame: Array | None = None,
) -> FrameStart:
    """The start of frame 0: the learned λ, the first prior, zero states.

    Args:
      model: networks and procedure.
      params: from ``init_params``.
      batch: B.
      num_slots: K.
      noise: ε [B, K, D] of the clip's sample, needed by ``first_sample="clip"``.
      frame: x_0 [B, H, W, C], needed by ``posterior_start="seeds"``.
    """
    slots = (batch, num_slots)
    zeros = jnp.zeros((*slots, model.refiner.lstm_features))
    prior = generation.frame_prior(model, params, zeros, last=None)
    learned, z = starts.learned(params, slots), None
    if model.inference.first_sample == "clip":
        if noise is None:
            raise ValueError("inference.first_sample='clip' needs the noise of the clip's sample")
        z = latents.sample(learned, noise)
    start = FrameStart(learned, learned, prior, LSTMState(zeros, zeros), z)
    return starts.sow(model, params, start, frame)


def infer_frame(
    model: SlotModel[Inference],
    params: Params,
    start: FrameStart,
    frame: Array | None,
    noise: Array,
    weights: ElboWeights,
    *,
    last_decode: bool | None = None,
) -> tuple[FrameStart, tuple[Terms, FrameResult]]:
    """One column of the grid: refine R̂ times, then (``last_decode``) decode once more.

    Args:
      model: networks and procedure.
      params: from ``init_params``.
      start: from ``first_frame`` or the previous frame.
      frame: x_t [B, H, W, C], or None to simulate the frame.
      noise: ε [R̂ + 1, B, K, D]; its length says how often to refine. The last row is for the
        decode after the last refinement.
      weights: β and ψ.
      last_decode: ``Inference.decodes`` of the frame; None: the field of that name.

    Returns:
      The start of the next frame; the terms of all evaluations, stacked; the result, which belongs
      to the last of them.
    """
    settings = model.inference
    posterior = start.posterior.mean
    if frame is not None:
        check_shapes({"B": len(posterior), **_image(model)}, frame=(frame, "B H W C"))
    check_shapes(posterior=(posterior, "B K D"), noise=(noise, "R+1 B K D"))
    taken = None
    if frame is None:
        if settings.simulation_start == "relational":
            raise ValueError(
                "inference.simulation_start='relational' needs the masks of several frames: "
                "simulate by infer_video(…, num_simulated=…)"
            )
        begin = starts.choose(params, settings.simulation_start, start.prior, start.last)
        start = start._replace(posterior=begin)
    else:
        start, taken = starts.take(model, params, start, frame)
    last_decode = settings.last_decode if last_decode is None else last_decode
    idle = jax.tree.map(jnp.zeros_like, start.time)
    state = start.time if settings.time_axis == "chain" else idle
    cell = Cell(start.posterior, state, jnp.array(True))
    share: Callable[..., Any] = model.refiner.frame_inputs
    improve: Callable[..., Any] = partial(refine, model)
    last: Callable[..., Any] = partial(score, model)
    if settings.remat:
        share, improve, last = _recompute(share), _recompute(improve), _recompute(last)
    shared = None if frame is None else share(params["refiner"], frame)

    def step(cell: Cell, noise: Array) -> tuple[Cell, tuple[Terms, FrameResult | None]]:
        cell, terms, result = improve(params, cell, start, frame, noise, weights, shared)
        return cell, (terms, None if last_decode else result)

    rest, final = noise[:-1], noise[-1]
    cell, (terms, results) = _loop(step, cell, rest, unroll=settings.unroll)
    if last_decode:
        last_terms, result = last(params, cell.posterior, start, frame, final)
        terms = jax.tree.map(lambda some, x: jnp.append(some, x[None], axis=0), terms, last_terms)
    else:
        result = jax.tree.map(lambda x: x[-1], results)
    if taken is not None:
        start = start._replace(queries=follow(taken, result.masks))
    return _next_frame(model, params, start, cell), (terms, result)


def infer_video(
    model: SlotModel[Inference],
    params: Params,
    video: Array,
    noise: Array,
    weights: ElboWeights,
    *,
    num_simulated: int = 0,
) -> VideoResult:
    """Infer all frames of a batch of videos, then simulate some more.

    Args:
      model: networks and procedure.
      params: from ``init_params``.
      video: [B, T, H, W, C] in [0, 1].
      noise: ε [T + num_simulated, R + 1, B, K, D]; frame t uses the first R̂_t + 1 of its row, the
        last of those for its last decode. Its K is the number of slots.
      weights: β and ψ.
      num_simulated: frames to simulate after the last one (section 3.2.3), each refined once in any
        grid: there is no image to refine it towards. See also ``method.simulation``.
    """
    settings = model.inference
    batch, num_frames = video.shape[:2]
    _check_inputs(model, video, noise, num_simulated)
    plan = schedule(settings.grid, refinements=settings.refinements, num_frames=num_frames)
    frames = jnp.swapaxes(video, 0, 1)
    decodes = tuple(settings.decodes(t) for t in range(num_frames))
    first = {"noise": noise[0, 0], "frame": frames[0]}
    start = first_frame(model, params, batch=batch, num_slots=noise.shape[3], **first)

    def scan(
        start: FrameStart, run: Run, frames: Array | None
    ) -> tuple[FrameStart, tuple[Terms, FrameResult]]:
        def step(
            start: FrameStart, inputs: tuple[Array | None, Array]
        ) -> tuple[FrameStart, tuple[Terms, FrameResult]]:
            return infer_frame(model, params, start, *inputs, weights, last_decode=run.last_decode)

        rows = noise[run.start : run.start + run.length, : run.refinements + 1]
        return _loop(step, start, (frames, rows), unroll=0 if run.length == 1 else 1)

    outputs = []
    for run in runs(plan, decodes):
        start, output = scan(start, run, frames[run.start : run.start + run.length])
        outputs.append(output)
    if num_simulated and settings.simulation_start == "relational":
        masks = jnp.concatenate([results.masks for _, results in outputs])
        start, output = simulate(model, params, start, masks, noise[num_frames:, 0])
        outputs.append(output)
    elif num_simulated:
        run = Run(num_frames, num_simulated, 1, settings.decodes(num_frames))
        start, output = scan(start, run, None)
        outputs.append(output)
    terms, results = zip(*outputs, strict=True)
    joined = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *results)
    return VideoResult(terms, joined, start)


def _check_inputs(
    model: SlotModel[Inference], video: Array, noise: Array, num_simulated: int
) -> None:
    """Refuse a video that is not of the decoder's size, and noise that does not fit it."""
    check_shapes(_image(model), video=(video, "B T H W C"))
    rows = {"T": video.shape[1] + num_simulated, "R+1": model.inference.refinements + 1}
    rows |= {"B": len(video), "D": model.prior.latent_size}
    check_shapes(rows, noise=(noise, "T R+1 B K D"))


def _image(model: SlotModel[Inference]) -> dict[str, int]:
    """Sizes of a frame, for ``check_shapes``."""
    decoder = model.decoder
    return {"H": decoder.height, "W": decoder.width, "C": decoder.channels}


def _loop(step: Callable[..., Any], carry: Any, xs: Any, *, unroll: int) -> tuple[Any, Any]:
    """``lax.scan`` with ``unroll`` steps in a turn; 0: all, as a loop of Python.

    That equals a scan which is unrolled as a whole, but is traced and compiled sooner: a scan
    differentiates its body again and again, until it knows which of its results need a gradient.
    """
    if unroll:
        return lax.scan(step, carry, xs, unroll=unroll)
    outputs = []
    for i in range(len(jax.tree.leaves(xs)[0])):
        carry, output = step(carry, jax.tree.map(lambda x, i=i: x[i], xs))
        outputs.append(output)
    return carry, jax.tree.map(lambda *leaves: jnp.stack(leaves), *outputs)


def _recompute(function: Callable[..., Any]) -> Callable[..., Any]:
    """Keep the inner gradients alone for the backward pass.

    They are constants there, and C + 1 channels of an image per slot: little memory beside a
    decoder's activations, and the decoder's backward pass is not done twice.
    """
    policy = jax.checkpoint_policies.save_only_these_names(INNER_GRADIENTS)
    return jax.checkpoint(function, policy=policy)


def _next_frame(
    model: SlotModel[Inference], params: Params, start: FrameStart, cell: Cell
) -> FrameStart:
    """The start of the next frame, after the last refinement of this one."""
    settings, (batch, num_slots) = model.inference, cell.posterior.mean.shape[:2]
    if settings.time_axis == "none":
        return first_frame(model, params, batch=batch, num_slots=num_slots)
    prior = generation.frame_prior(model, params, cell.state.h, cell.posterior)
    posterior = starts.choose(params, settings.posterior_start, prior, cell.posterior)
    return FrameStart(posterior, cell.posterior, prior, cell.state, start.z, start.queries)
