"""The smallest experiment with all features, for tests of the whole system.

It is a config file as well: ``--config=tests/tiny.py``. Two balls on 8×8 pixels, K = 3, D = 4; two
stages of 2 and 3 frames; 10 validation clips, which are not a multiple of the batch of 8.
"""

import contextlib
import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import jax
import numpy as np
from ml_collections import ConfigDict

from stiid.cli import modes
from stiid.config.experiment import Experiment
from stiid.method.objective import Objective
from stiid.training.log import read_log
from stiid.training.restore import restore
from stiid.training.state import TrainState
from stiid.typed_config import parse

ROOT = Path(__file__).parents[1]
PROGRAMS = ROOT / ".pytest_cache" / "jax"  # compiled, of this process and of subprocesses

CONFIG: dict[str, Any] = {
    "seed": 0,
    "data": {
        "name": "bouncing_balls",
        "data_dir": "~/.cache/stiid",
        "max_frames": 5,
        "options": {
            "num_balls": (2,),
            "box": 10.0,
            "radii": (1.5, 2.0),
            "masses": (1.0, 1.0),
            "speed": 1.0,
            "colors": "unique4",
            "resolution": 8,
            "frames": 6,
            "train": 20,
            "validation": 10,
            "test": 4,
        },
    },
    "model": {
        "family": "stiid",
        "latent_size": 4,
        "num_slots": 3,
        "precision": "float32",
        "decoder": {
            "features": 6,
            "layers": 1,
            "kernel_size": 1,
            "frequencies": (0.5,),
            "modulated": True,
            "mlp_features": 5,
            "residual": True,
        },
        "refiner": {
            "features": 5,
            "layers": 1,
            "stride": 2,
            "squeezenet": False,
            "pool": "none",
            "hidden": 7,
            "lstm_features": 6,
            "forget_scale": 0.5,
            "forget_bias": 1.0,
            "two_biases": False,
            "output_scale": 0.1,
        },
        "prior": {"features": 5},
        "inference": {
            "refinements": 1,
            "grid": "triangular",
            "time_axis": "lstm2d",
            "posterior_start": "posterior",
            "conditional_prior": True,
            "first_prior": "standard",
            "generation": True,
            "mixture": "pixel",
            "variance": 0.3,
            "posterior_mask": "normalized",
            "log_var_range": (-10.0, 3.0),
            "gradient_scale": 1.0,
            "gradient_clamp": None,
            "delta_clamp": None,
            "gradient_skip": 0.3,
            "init_scale": 0.5,
            "init_log_var": 0.0,
            "initial_weights": "lecun",
            "last_decode": True,
            "simulation_start": "prior",
            "unroll": 0,
            "remat": False,
        },
        "objective": {
            "beta": 1.0,
            "psi": 0.3,
            "gamma": 0.0,
            "slot_entropy": 0.0,
            "largest_share": 0.0,
            "step_weights": "linear",
            "num_simulated": 0,
        },
    },
    "optim": {
        "learning_rate": 1e-2,
        "final_learning_rate": 1e-3,
        "warmup_steps": 0,
        "clip_norm": 5.0,
        "beta1": 0.9,
    },
    "train": {
        "stages": {
            "stage_0": {
                "steps": 3,
                "num_frames": 2,
                "batch_size": 8,
                "micro_batches": 1,
                "model": {},
                "optim": {},
            },
            "stage_1": {
                "steps": 3,
                "num_frames": 3,
                "batch_size": 8,
                "micro_batches": 1,
                "model": {},
                "optim": {},
            },
        },
        "stagnation": {
            "window": 0,
            "min_improvement": 0.0,
            "collapse_kl": 0.0,
            "patience": 0,
        },
        "log_every": 1,
        "eval_every": 100,
        "checkpoint_every": 100,
        "best_metric": "f_ari",
        "non_finite": "stop",
        "max_skips": 2,
    },
    "evaluate": {
        "split": "validation",
        "clips": 0,
        "batch_size": 8,
        "lengths": (2, 4),
        "num_slots": 3,
        "model": {},
        "noise": "first",
        "restarts": 1,
        "restart_frames": 1,
        "seed": 0,
    },
    "predict": {"clips": 2, "num_observed": 3, "num_simulated": 2},
}
# Windows of one step: a stage ends as soon as there are two losses to compare.
IMPATIENT = {"window": 1, "min_improvement": 1e9, "collapse_kl": 0.0, "patience": 0}
OBJECTIVE = Objective(**CONFIG["model"]["objective"])


def get_config() -> ConfigDict:
    """The tiny experiment as a config file."""
    return ConfigDict(CONFIG)


def experiment(data_dir: Path, **changes: Any) -> Experiment:
    """The tiny experiment.

    Args:
      data_dir: of the prepared data.
      **changes: of fields, with "__" for a dot: ``train__non_finite="skip"``.
    """
    config = ConfigDict(CONFIG)
    config.data.data_dir = str(data_dir)
    with config.unlocked():
        for name, value in changes.items():
            *sections, leaf = name.split("__")
            node = config
            for section in sections:
                node = node[section]
            node[leaf] = value
    return parse(Experiment, config.to_dict())


def train(experiment: Experiment, workdir: Path) -> None:
    """Train or resume in this process, as ``--mode=train`` does."""
    execute("train", experiment, workdir)


def execute(
    mode: str, experiment: Experiment | None, workdir: Path, checkpoint: str = "latest"
) -> None:
    """Run a mode in this process."""
    with quick_compilation():
        modes.run(mode, experiment, workdir=str(workdir), checkpoint=checkpoint)


@contextlib.contextmanager
def quick_compilation() -> Iterator[None]:
    """Compile with little optimization, which takes half the time."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


@contextlib.contextmanager
def compiled_programs() -> Iterator[list[str]]:
    """Names of the programs that JAX compiles, or finds in its folder, meanwhile."""
    names: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: names.extend(
        re.findall(r"^Compiling jit\((.*?)\) ", record.getMessage())
    )
    logger = logging.getLogger("jax._src.interpreters.pxla")
    logger.addHandler(handler)
    try:
        with jax.log_compiles():
            yield names
    finally:
        logger.removeHandler(handler)


def command(data_dir: Path, workdir: Path, *arguments: str) -> list[str]:
    """The command line that trains the tiny experiment; to be run in ``ROOT``."""
    return [
        *(sys.executable, "-m", "stiid.main", "--config=tests/tiny.py"),
        f"--config.data.data_dir={data_dir}",
        f"--workdir={workdir}",
        *arguments,
    ]


def environment() -> dict[str, str]:
    """Of subprocesses: they compile as ``execute`` does, and share the cache of programs."""
    own = {"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    return {**os.environ, **own, "JAX_COMPILATION_CACHE_DIR": str(PROGRAMS)}


def state(workdir: Path, checkpoint: str = "latest") -> TrainState:
    """The state of a checkpoint, as NumPy arrays."""
    restored = restore(None, workdir, checkpoint)[1]
    plain = restored.replace(key=jax.random.key_data(restored.key))
    return jax.tree.map(np.asarray, plain)


def assert_same(ours: Any, theirs: Any) -> None:
    """Two trees are equal bit by bit."""
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def log(workdir: Path) -> list[dict[str, Any]]:
    """The rows of a metric log, without their times."""
    return [
        {key: value for key, value in row.items() if key != "time"}
        for row in read_log(workdir / "metrics.jsonl")
    ]


def scores(workdir: Path) -> dict[str, Any]:
    """The content of ``eval/metrics.json``."""
    return json.loads((workdir / "eval" / "metrics.json").read_text())


def write_video(
    path: Path, *, frames: int = 12, width: int = 32, height: int = 24, fps: int = 25
) -> np.ndarray:
    """Write a bright square that crosses a dark background, whose shade is the frame number.

    Returns:
      uint8 [T, height, width, 3]: what was encoded. Decoded frames differ a little.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    video = np.zeros((frames, height, width, 3), np.uint8)
    video[..., 0] = np.arange(frames)[:, None, None] * (250 // frames)
    for t in range(frames):
        left = t * (width // 2) // frames
        video[t, height // 4 : height // 2, left : left + width // 4] = 255
    with av.open(str(path), "w") as container:
        codec = "mpeg4" if path.suffix == ".avi" else "libx264"
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"g": "5", "threads": "1"}
        stream.bit_rate = 2_000_000
        for image in video:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return video


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
