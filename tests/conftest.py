"""Eight CPU devices, strict rank promotion, and a model small enough to compile in seconds."""

import dataclasses
import functools
import gc
import logging
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import jax
import jaxlib
import numpy as np
import pytest
import tiny

# A shell's background jobs and ``nohup`` ignore these, and so would all processes of the tests.
for number, handler in {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGHUP: signal.SIG_DFL,
}.items():
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)
# Programs that run once are compiled in half the time without them. XLA ends at an unknown flag.
if jaxlib.__version__.startswith("0.10."):
    os.environ["XLA_FLAGS"] = (
        f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false"
    )
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
# Many tests train the same tiny experiment: its programs are compiled once.
jax.config.update("jax_compilation_cache_dir", str(tiny.PROGRAMS))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)

from stiid.method.inference import Inference  # noqa: E402
from stiid.method.networks import SlotModel  # noqa: E402
from stiid.method.parameters import init_params  # noqa: E402
from stiid.nn.decoder import BroadcastDecoder  # noqa: E402
from stiid.nn.prior import ConditionalPrior  # noqa: E402
from stiid.nn.refiner import Refiner  # noqa: E402
from stiid.shapes import Params  # noqa: E402

INFERENCE = Inference(
    refinements=2,
    grid="triangular",
    time_axis="lstm2d",
    posterior_start="posterior",
    conditional_prior=True,
    first_prior="learned",
    generation=True,
    mixture="pixel",
    variance=0.3,
    posterior_mask="normalized",
    log_var_range=None,
    gradient_scale=1.0,
    gradient_clamp=None,
    delta_clamp=None,
    gradient_skip=0.0,
    init_scale=0.5,
    init_log_var=0.0,
    initial_weights="lecun",
    last_decode=True,
    simulation_start="prior",
    unroll=0,
    remat=False,
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests that need the trained run as slow, in addition to those marked in files."""
    for item in items:
        if "trained" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def make_model():
    """Build a tiny model (8×8 pixels, D = 4, M = 6) with some inference switches changed."""

    def make(
        *,
        channels: int = 3,
        kernel_size: int = 3,
        precision: str = "float32",
        **switches: object,
    ) -> SlotModel:
        return SlotModel(
            decoder=BroadcastDecoder(
                height=8,
                width=8,
                channels=channels,
                features=6,
                layers=2,
                kernel_size=kernel_size,
                frequencies=(),
                modulated=False,
                mlp_features=5,
                residual=False,
                precision=precision,
            ),
            refiner=Refiner(
                latent_size=4,
                features=5,
                layers=2,
                stride=2,
                squeezenet=False,
                pool="none",
                hidden=7,
                lstm_features=6,
                forget_scale=1.0,
                forget_bias=1.0,
                two_biases=False,
                output_scale=1.0,
                precision=precision,
            ),
            prior=ConditionalPrior(latent_size=4, features=5),
            inference=dataclasses.replace(INFERENCE, **switches),
        )

    return make


@pytest.fixture(scope="session")
def random_params():
    """Sample parameters of a model with NumPy: biases differ from zero, and nothing compiles."""

    def draw(model: SlotModel, *, dtype: type = np.float64) -> Params:
        rng = np.random.default_rng(0)

        def values(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
            fan_in = np.prod(leaf.shape[:-1]) if leaf.ndim > 1 else 4.0
            return (rng.normal(size=leaf.shape) / np.sqrt(fan_in)).astype(dtype)

        shapes = jax.eval_shape(functools.partial(init_params, model), jax.random.key(0))
        return jax.tree.map(values, shapes)

    return draw


@pytest.fixture
def float64():
    """JAX in float64. Decoders then need ``kernel_size=1``: position features stay float32."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def eager_float64(float64):
    """Float64 without compilation of large programs: ``lax.scan`` is a Python loop."""
    with jax.disable_jit():
        yield


@pytest.fixture(autouse=True)
def forget_programs():
    """Drop compiled programs when they take too many memory maps, of which Linux allows 65,530.

    XLA:CPU takes some for every program, and crashes when there are no more (vm.max_map_count).
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 15_000:
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def quick_compilation():
    """See ``tiny.quick_compilation``."""
    with tiny.quick_compilation():
        yield


@pytest.fixture
def told(caplog, monkeypatch):
    """Log messages of the package."""
    monkeypatch.setattr(logging.getLogger("stiid"), "propagate", True)
    caplog.set_level("INFO")
    return caplog


@pytest.fixture
def free_address() -> str:
    """An address of this machine at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where sources write their data."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def trained(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of a finished run of the tiny experiment on 8 devices; not to be written to."""
    workdir = tmp_path_factory.mktemp("trained")
    tiny.train(tiny.experiment(data_dir), workdir)
    return workdir


@pytest.fixture
def use_devices(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make the library see the first n devices only."""
    pmap, devices = jax.pmap, jax.devices()

    def use(count: int) -> None:
        some = devices[:count]
        monkeypatch.setattr(jax, "pmap", functools.partial(pmap, devices=some))
        for name in ("devices", "local_devices"):
            monkeypatch.setattr(jax, name, lambda: some)
        for name in ("device_count", "local_device_count"):
            monkeypatch.setattr(jax, name, lambda: count)

    return use
