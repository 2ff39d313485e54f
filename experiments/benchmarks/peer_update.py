"""Timed updates of a PyTorch model, for ``peer_iodine`` and ``peer_provide``; without stiid."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from side import serve

DEVICES = ("cpu", "cuda", "cuda:tf32")


def serve_updates(model: Any, loss: Callable[[Any], Any], inputs: Any, device: str) -> None:
    """Do an update for each line of the input.

    Args:
      model: as its repository builds it.
      loss: of the inputs, a number.
      inputs: random frames.
      device: one of ``DEVICES``; "cuda" computes in float32 throughout.
    """
    if device not in DEVICES:
        raise SystemExit(f"expected one of {DEVICES}, got {device!r}")
    torch.backends.cuda.matmul.allow_tf32 = device == "cuda:tf32"
    torch.backends.cudnn.allow_tf32 = device == "cuda:tf32"
    if device == "cpu":
        return serve(_updates(model, loss, inputs, lambda: None))
    model.to("cuda")
    steps = _updates(model, loss, inputs.to("cuda"), torch.cuda.synchronize)
    serve(steps, lambda: torch.cuda.max_memory_allocated() / 1e9)


def _updates(
    model: Any, loss: Callable[[Any], Any], inputs: Any, wait: Callable[[], None]
) -> Iterator[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
    while True:
        begin = time.perf_counter()
        value = loss(inputs)
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0, norm_type=2)
        optimizer.step()
        wait()
        yield time.perf_counter() - begin
