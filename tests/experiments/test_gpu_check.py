"""The check of a GPU, run on a CPU: a fault in a step affects that step only."""

import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import experiments.benchmarks.gpu.__main__ as check
from experiments.benchmarks.gpu import (
    balls,
    cases,
    cells,
    correctness,
    device,
    offline,
    update_speed,
    watchdog,
)
from experiments.benchmarks.gpu.results import Rows, markdown, read_rows
from experiments.benchmarks.updates import experiment_of
from experiments.config_files import load_config
from stiid.config.experiment import Experiment
from stiid.kernels import slot_sums
from stiid.kernels.plain_conv import plain_conv2d
from stiid.typed_config import parse


def python(code):
    return [sys.executable, "-c", code]


def alive(pid):
    """Whether a process is there and no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("code", "status", "line"),
    [
        ("print('all is well')", "done", ""),
        ("print('first'); raise SystemExit('no such device')", "failed (1)", "no such device"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV", ""),
    ],
)
def test_how_a_command_ended_is_known(tmp_path, code, status, line):
    outcome = watchdog.watch(python(code), seconds=60, log=tmp_path / "log")
    assert (outcome.status, outcome.last_line) == (status, line)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_command_that_hangs_ends_with_its_children(tmp_path):
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    log = tmp_path / "log"
    outcome = watchdog.watch(python(code), seconds=2, log=log, grace=0.1)
    assert outcome.status == watchdog.LATE
    for _ in range(100):
        if not alive(int(log.read_text())):
            return
        time.sleep(0.1)
    pytest.fail("the child is alive")


def cell(compiling="pass", answer="print('{\"ms\": 1}', flush=True)"):
    """A cell without JAX."""
    lines = ("import os, sys, time", compiling, "print('ready', flush=True)")
    return python("\n".join((*lines, "sys.stdin.readline()", answer)))


def run(commands, tmp_path, **options):
    limits = {"at_once": 2, "seconds": 60, "patience": 30, **options}
    return dict(cells.run_cells(commands, logs=tmp_path / "logs", **limits))


def test_cells_fail_alone(tmp_path):
    commands = {
        "good": cell(),
        "crashes": cell(compiling="os.kill(os.getpid(), 11)"),
        "fails": cell(answer="raise SystemExit('out of memory')"),
        "good too": cell(),
    }
    rows = run(commands, tmp_path)
    assert rows["good"] == rows["good too"] == {"ms": 1}
    assert rows["crashes"]["status"].startswith("killed by SIGSEGV")
    assert rows["fails"]["status"] == "failed (1): out of memory"


@pytest.mark.slow
def test_a_cell_that_hangs_is_given_up(tmp_path):
    commands = {"hangs": cell(compiling="time.sleep(600)"), "good": cell()}
    rows = run(commands, tmp_path, patience=10)
    assert rows == {"hangs": {"status": watchdog.LATE}, "good": {"ms": 1}}


def test_cells_run_one_after_the_other_when_all_have_compiled(tmp_path):
    trace = tmp_path / "trace"

    def note(word):
        return f"open({str(trace)!r}, 'a').write('{word} ')"

    commands = {
        name: cell(note("compiled"), f"{note('begins')}; time.sleep(0.2); {note('ends')}; print(0)")
        for name in "ab"
    }
    run(commands, tmp_path)
    assert trace.read_text().split() == ["compiled", "compiled", *["begins", "ends"] * 2]


def test_a_wave_that_would_come_too_late_is_not_begun(tmp_path):
    slow = cell(answer="time.sleep(1.5); print('{}', flush=True)")
    rows = run({"a": slow, "b": slow, "c": slow}, tmp_path, at_once=1, seconds=2)
    assert rows["a"] == {}
    assert rows["c"] == {"status": "not run: no time"}


def test_rows_are_there_as_soon_as_they_are_known(tmp_path):
    rows = Rows(tmp_path / "x.json")
    rows.add(name="a|b", ms=1.23456789)
    assert read_rows(tmp_path / "x.json") == [{"name": "a|b", "ms": 1.23456789}]
    rows.add(name="c", status="two\nlines")
    expected = ["| name | ms | status |", "| --- | --- | --- |", "| a/b | 1.235 |  |"]
    assert markdown(rows.rows) == [*expected, "| c |  | two lines |"]
    (tmp_path / "x.json").write_text("{")
    assert read_rows(tmp_path / "x.json") == read_rows(tmp_path / "none.json") == []


def test_what_a_step_leaves_goes_to_the_others(tmp_path, monkeypatch):
    """And one that fails is in the summary, beside the rows that it had."""
    given = {}

    def watch(command, *, seconds, log, env):
        name = command[2].rpartition(".")[2]
        given[name] = seconds
        if name == "device":
            Rows(tmp_path / "device.json").add(what="copy", figure=4300.0)
            return watchdog.Outcome("killed by SIGSEGV", 1.0, "the end")
        return watchdog.Outcome("done", 0.0, "")

    monkeypatch.setattr(check, "watch", watch)
    arguments = [f"--output={tmp_path}", "--minutes=10"]
    assert check.main([*arguments, "--only", "device", "training"]) == 1
    shares = {plan.name: plan.share for plan in check.PLANS}
    first = shares["device"] / (shares["device"] + shares["training"])
    assert given["device"] == pytest.approx(first * (600 - watchdog.GRACE), abs=1)
    assert given["training"] == pytest.approx(600 - watchdog.GRACE, abs=1)
    text = (tmp_path / "summary.md").read_text()
    assert "`device`: killed by SIGSEGV (1 s): the end" in text
    assert "| copy | 4300 |" in text


def test_the_shares_are_of_the_whole():
    assert sum(plan.share for plan in check.PLANS) == pytest.approx(1.0)


def test_the_ceiling_is_read_from_the_first_step(tmp_path):
    assert device.ceiling(tmp_path / "device.json", "tf32") is None
    Rows(tmp_path / "device.json").add(what="product, tf32", figure=400.0)
    assert device.ceiling(tmp_path / "device.json", "tf32") == 400.0


def test_sketches_tell_how_far_trees_are_apart():
    rng = np.random.default_rng(0)
    tree = {"a": rng.normal(size=(300, 200)), "b": rng.normal(size=7)}
    other = jax.tree.map(lambda x: x + 0.01 * rng.normal(size=x.shape), tree)
    stored = cases.sketch(tree)
    assert correctness.relative_error(cases.sketch(tree), stored) == 0.0
    error = correctness.relative_error(cases.sketch(other), stored)
    assert error == pytest.approx(0.01, rel=0.3)
    other["b"][0] = np.nan
    error = correctness.relative_error(cases.sketch(other), stored)
    assert not error <= correctness.BOUNDS["bfloat16"]


def test_the_reference_has_all_cases():
    stored = json.loads(correctness.REFERENCE.read_text())
    assert stored.keys() == {*cases.CASES, correctness.RELEASED}
    assert all(len(stored[name]["sketch"]) == cases.SKETCH for name in cases.CASES)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(cases.CASES))
def test_the_reference_is_of_this_version(name, use_devices, quick_compilation):
    """If it should be another one: ``correctness --write``."""
    use_devices(1)
    case, stored = cases.CASES[name], json.loads(correctness.REFERENCE.read_text())[name]
    model = cases.build(case, precision="float32")
    grads, terms = cases.compiled(model, *cases.inputs(case, model))()
    assert float(terms.total) == pytest.approx(stored["loss"], rel=1e-5)
    assert correctness.relative_error(cases.sketch(grads), np.array(stored["sketch"])) < 1e-5


def test_updates_have_names_and_configs():
    names = [cell.name for cell in update_speed.CELLS]
    assert len(set(names)) == len(names)
    assert names[0] == "bouncing_balls:color 4 frames"
    assert "bouncing_balls:color 4 frames, profile=True" in names
    assert "bouncing_balls:color 4 frames, remat=False, unroll=0" in names
    for name in {cell.config for cell in update_speed.CELLS}:
        experiment_of(load_config(name), batch_size=32)


def test_plain_sums_are_those_by_slices():
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    plain = update_speed._plain_sum(jnp.asarray(x), 5, 1)
    np.testing.assert_allclose(plain, slot_sums.sum_slots(x), rtol=1e-6)


def test_convolutions_have_the_precision_that_jax_is_set_to():
    """So that JAX_DEFAULT_MATMUL_PRECISION=highest keeps TensorFloat-32 out of them."""
    shapes = jnp.zeros((1, 8, 8, 2)), jnp.zeros((3, 3, 2, 2))
    for precision in ("default", "highest"):
        with jax.default_matmul_precision(precision):
            (equation,) = jax.make_jaxpr(plain_conv2d)(*shapes).eqns
        assert {str(x).lower() for x in equation.params["precision"]} == {precision}


def test_the_training_of_the_check_is_a_config():
    for variant in balls.VARIANTS:
        experiment = parse(Experiment, balls.get_config(variant))
        assert all(stage.micro_batches == 1 for stage in experiment.train.stages.values())
    assert list(experiment.train.stages) == ["stage_0"]  # of the tiny one
    full = load_config("experiments/benchmarks/gpu/balls.py")
    assert full.data.options["resolution"] == 64
    assert full.model.decoder["features"] == full.model.latent_size == 64


def test_wheels_are_those_that_the_machine_lacks(monkeypatch):
    """With what these need, for that machine's Python; not what is there, and what that needs."""
    requires = {
        "a": ["b>=1", "there", 'old; python_version < "3.12"', 'extra-only; extra == "x"'],
        "b": ["a", 'windows; sys_platform == "win32"', "c[x]"],
        "c": ["d", 'e; extra == "x"', 'f; extra == "y"'],
        "d": [],
        "e": None,
    }

    class Package:
        def __init__(self, name):
            self.requires, self.version = requires[name], f"{len(name)}.0"

    monkeypatch.setattr(offline.importlib.metadata, "distribution", Package)
    found = offline.missing(["A>=1,<2"], ["There"], python="3.12")
    assert found == dict.fromkeys("abcde", "1.0")
    assert offline.names_in("jax==0.11.2\nml_dtypes\n\n# no\n") == ["jax", "ml_dtypes"]


@pytest.mark.slow
def test_all_of_it_runs_on_a_cpu(tmp_path, capsys, monkeypatch):
    for name, value in tiny.environment().items():
        monkeypatch.setenv(name, value)
    assert check.main([f"--output={tmp_path}", "--minutes=60", "--tiny"]) == 0, capsys.readouterr()
    rows = {plan.name: read_rows(tmp_path / f"{plan.name}.json") for plan in check.PLANS}
    assert all(rows.values())
    assert [row["status"] for row in rows["correctness"]] == ["ok"]
    assert rows["correctness"][0]["error"] < 1e-5
    (row,) = rows["update_speed"]
    assert row["ms"] > 0
    assert row["planned_gb"] > 0
    assert read_rows(tmp_path / "operations.json")[0]["operation"] == "all"
    assert [row["status"] for row in rows["peers"]] == [
        f"not run: --{name} is not given" for name in ("peer", "peer_provide")
    ]
    assert rows["training"][0]["status"] == rows["training"][-1]["status"] == "done"
    assert (tmp_path / "training" / "model" / "params.npz").exists()
