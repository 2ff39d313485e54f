"""Weights, frames and noise of the runs whose numbers ``provide_numbers.json`` holds; NumPy only.

Both sides generate them here: ``provide_numbers.py``, which runs the authors' implementation under
PyTorch, and the tests of ours.
"""

import zlib
from typing import Any, NamedTuple

import numpy as np

Arrays = dict[str, np.ndarray]
BACKBONE = "feature_extractor.0."  # frozen: has no gradients


class Case(NamedTuple):
    """A run: clips of seen and simulated frames."""

    batch: int
    slots: int
    evaluations: int
    frames: int
    simulated: int = 0
    entropy: bool = False
    latent: int = 8

    @property
    def samples(self) -> int:
        """Noise samples: one per clip, and one per evaluation except each frame's first."""
        return 1 + sum(self.counts) - self.frames

    @property
    def counts(self) -> list[int]:
        """Evaluations of each frame that is seen."""
        return [max(self.evaluations - t, 2) for t in range(self.frames)]


TRAIN = Case(batch=2, slots=3, evaluations=4, frames=5)
CASES = {
    "train": TRAIN,
    "train_binary": TRAIN._replace(batch=1, frames=3, entropy=True),
    "simulate": Case(batch=1, slots=3, evaluations=4, frames=3, simulated=3),
    "seven_slots": Case(batch=1, slots=7, evaluations=4, frames=3),
}


def shapes(*, latent: int, width: int = 64, hidden: int = 128, image: int = 64) -> dict[str, Any]:
    """Names and shapes of the parameters; ``hidden`` is the width of the LSTM and of the prior."""

    def layer(name: str, *shape: int) -> dict[str, Any]:
        return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}

    found: dict[str, Any] = {"lmbda0": (1, 2 * latent)}
    found |= layer("decoder.pre_mlp.0", latent, latent + hidden)
    found |= layer("decoder.pre_mlp.2", latent, latent)
    for i, (out, into) in enumerate([(width, latent + 2), *[(width, width)] * 3, (4, width)]):
        found |= layer(f"decoder.conv_layer.{2 * i}", out, into, 3, 3)
    for i, into in enumerate([32, *[width] * 3]):
        found |= layer(f"refine_net.convnet.model.{2 * i}", width, into, 3, 3)
    found |= layer("refine_net.fc_in.0", hidden, width * (image // 4) ** 2)
    for name, into in (("x", hidden + 4 * latent), ("hor", hidden), ("ver", hidden)):
        found |= layer(f"refine_net.lstm.W_{name}", 5 * hidden, into)
    found |= layer("refine_net.fc_out", 2 * latent, hidden)
    found |= layer(f"{BACKBONE}0", 64, 3, 3, 3)
    for i, into in ((3, 64), (4, 128)):
        for name, *shape in (
            ("squeeze", 16, into, 1, 1),
            ("expand1x1", 64, 16, 1, 1),
            ("expand3x3", 64, 16, 3, 3),
        ):
            found |= layer(f"{BACKBONE}{i}.{name}", *shape)
    for i, (out, into) in zip((1, 3, 5), ((64, 128), (32, 64), (16, 32)), strict=True):
        found |= layer(f"feature_extractor.{i}", out, into, 3, 3)
    found |= layer("prior.0", hidden, hidden)
    found |= layer("prior_mean", latent, hidden)
    return found | layer("prior_var.0", latent, hidden)


def draw_params(**sizes: int) -> Arrays:
    """Parameters: N(0, 1/fan-in), biases of standard deviation 1/2, λ0 of 0.3; named seeds."""

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        scale = 0.3 if name == "lmbda0" else (np.prod(shape[1:]) if len(shape) > 1 else 4.0) ** -0.5
        return (rng.normal(size=shape) * scale).astype(np.float32)

    return {name: draw(name, shape) for name, shape in shapes(**sizes).items()}


def draw_buffers(
    *, evaluations: int, slots: int, latent: int, hidden: int = 128, image: int = 64
) -> Arrays:
    """What a saved state has beside its parameters."""
    line = np.linspace(-1, 1, image, dtype=np.float32)
    rows, columns = np.broadcast_to(line[:, None], (image,) * 2), np.tile(line, (image, 1))
    return {
        **{name: np.array(n) for name, n in (("T", evaluations), ("K", slots), ("z_dim", latent))},
        "var_x": np.array(0.3, np.float32),
        "h0": np.zeros((1, hidden), np.float32),
        "base_loss": np.zeros((1, 1), np.float32),
        "x_grid": rows[None, None, None],
        "y_grid": columns[None, None, None],
        "decoder.x_grid": rows[None, None],
        "decoder.y_grid": columns[None, None],
    }


def draw_inputs(case: Case, *, image: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Frames [N, T, 3, H, W] of smooth blobs with some grain, and noise [samples, N·K, D]."""
    rng = np.random.default_rng(case.slots)
    row, column = np.mgrid[:image, :image] / image
    video = np.zeros((case.batch, case.frames + case.simulated, 3, image, image))
    for n in range(case.batch):
        for _ in range(3):
            color, place, speed = rng.random(3), rng.random(2), rng.normal(size=2) / 10
            for t in range(video.shape[1]):
                y, x = place + t * speed
                blob = np.exp(-((row - y) ** 2 + (column - x) ** 2) / 0.02)
                video[n, t] = np.maximum(video[n, t], color[:, None, None] * blob)
    video = 0.9 * video + 0.1 * rng.random(video.shape)
    noise = rng.normal(size=(case.samples, case.batch * case.slots, case.latent))
    return video.astype(np.float32), noise.astype(np.float32)


def projection(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A fixed direction of a parameter, of norm √size."""
    return np.random.default_rng(zlib.crc32(b"direction " + name.encode())).normal(size=shape)
