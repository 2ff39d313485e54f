"""The command line as a process: its output, its exit codes, and what it does not touch."""

import json
import re
import signal
import subprocess
import sys
import time

import jax
import pytest
import tiny
from absl import flags

from stiid.cli import main, modes
from stiid.training import devices

# Runs many command lines with one import: each in a fork, before JAX has started any thread.
FORKS = """
import json, os, sys, tempfile, traceback
from stiid.cli import main

def run(arguments):
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if not child:
            os.dup2(out.fileno(), 1), os.dup2(err.fileno(), 2)
            sys.argv, code = ["stiid", *arguments], 0
            try:
                main.cli()
            except SystemExit as exit:
                code = exit.code or 0
            except BaseException:
                traceback.print_exc()
                code = 70
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
        return code, *texts

print(json.dumps([run(arguments) for arguments in json.load(sys.stdin)]))
"""


def run_all(command_lines):
    """Exit code, standard output and standard error of each command line."""
    process = subprocess.run(
        [sys.executable, "-c", FORKS],
        input=json.dumps(command_lines),
        capture_output=True,
        text=True,
        cwd=tiny.ROOT,
        env=tiny.environment(),
        timeout=300,
        check=True,
    )
    return json.loads(process.stdout)


@pytest.fixture(scope="module")
def failures(trained, data_dir, tmp_path_factory):
    """Name of a mistake → its arguments, and the end of the line that answers it."""
    folder = tmp_path_factory.mktemp("mistakes")
    file = folder / "file"
    file.write_text("not a folder")
    broken = folder / "broken.py"
    broken.write_text("def get_config(:\n    pass\n")
    empty = folder / "empty"
    (empty / "checkpoints").mkdir(parents=True)
    config = ["--config=tests/tiny.py", f"--config.data.data_dir={data_dir}"]
    new = f"--workdir={folder / 'new'}"
    old = f"--workdir={trained}"
    return {
        "no workdir": ([], "--workdir is missing"),
        "workdir in a bucket": (
            [*config, "--workdir=gs://bucket/run"],
            "only local paths are read",
        ),
        "data in a bucket": (
            [*config, new, "--config.data.data_dir=s3://bucket"],
            "config.data.data_dir=s3://bucket: only local paths",
        ),
        "checkpoint in a bucket": (
            [new, "--mode=eval", "--checkpoint=gs://bucket/run"],
            "--checkpoint=gs://bucket/run: only local paths",
        ),
        "video in a bucket": (
            [old, "--mode=decompose", "--input=gs://bucket/a.mp4"],
            "--input=gs://bucket/a.mp4: only local paths",
        ),
        "workdir is a file": ([*config, f"--workdir={file}"], "is a file: name a folder"),
        "workdir below a file": ([*config, f"--workdir={file}/below"], "Not a directory"),
        "no config": ([new], "--config is missing: training needs one"),
        "config file missing": (["--config=configs/nowhere.py", new], "configs/nowhere.py"),
        "config file broken": ([f"--config={broken}", new], "invalid syntax"),
        "no variants": (
            ["--config=configs/quickstart.py:small", new],
            "has no variants: leave out",
        ),
        "unknown variant": (["--config=configs/bouncing_balls.py:pink", new], "got 'pink'"),
        "unknown section": ([*config, "--config.modle.num_slots=3", new], "modle"),
        "unknown field": (
            [*config, "--config.model.num_slot=3", new],
            "there is no field 'num_slot': did you mean \"num_slots\" instead of",
        ),
        "field of an empty section": (
            [*config, "--config.evaluate.model.inference.refinements=3", new],
            "--config.evaluate.model.inference.refinements: there is no field 'inference'. New",
        ),
        "negative devices": ([*config, new, "--host_devices=-1"], "must not be negative, got -1"),
        "lone process count": ([*config, new, "--num_processes=2"], "missing --coordinator and"),
        "wrong type": ([*config, "--config.model.num_slots=many", new], "many"),
        "wrong value": ([*config, "--config.train.non_finite=hope", new], "got 'hope'"),
        "unknown flag": ([*config, "--wrokdir=x"], "wrokdir"),
        "unknown mode": ([*config, new, "--mode=dream"], "dream"),
        "stray argument": ([*config, new, "eval"], "unexpected arguments"),
        "too many devices": ([*config, new, "--host_devices=3"], "batch_size = 8 must be a mult"),
        "nothing to evaluate": ([new, "--mode=eval"], "no checkpoints at"),
        "empty folder": ([f"--workdir={empty}", "--mode=eval"], "no complete checkpoint in"),
        "no such checkpoint": (
            [new, "--mode=eval", f"--checkpoint={trained}/checkpoints/5"],
            "no such folder",
        ),
        "checkpoint to train": (
            [*config, new, "--checkpoint=best"],
            "training takes no --checkpoint",
        ),
        "crop in words": ([old, "--mode=decompose", "--crop=a,b"], "in pixels, or (), got a,b"),
        "all of nothing": (
            [old, "--mode=decompose", "--input=nowhere.mp4", "--crop=()"],
            "no video at",
        ),
        "another config": ([*config, old, "--config.seed=1"], "seed is 0 there and 1 here"),
        "long prediction": (
            [*config, old, "--mode=predict", "--config.predict.num_simulated=9"],
            "do not fit clips of 6 frames",
        ),
    }


_PROGRESS = tuple(f"{hour:02d}:" for hour in range(24))  # lines of the log start with the time


def test_mistakes_are_answered_by_one_line(failures, trained):
    before = tiny.contents(trained)
    results = run_all([arguments for arguments, _ in failures.values()])
    for (name, (_, answer)), (code, out, err) in zip(failures.items(), results, strict=True):
        lines = [line for line in err.splitlines() if not line.startswith(_PROGRESS)]
        assert (code, out) == (1, ""), (name, code, out, err)
        assert len(lines) == 1, (name, err)
        assert lines[0].startswith("error: "), (name, err)
        assert answer in lines[0], (name, err)
    assert tiny.contents(trained) == before


def test_a_traceback_is_shown_on_request(trained):
    bad = [f"--workdir={trained}", "--mode=eval", "--checkpoint=/nowhere", "--traceback"]
    (code, _, err), (flag_code, _, flag_err) = run_all([bad, ["--wrokdir=x", "--traceback"]])
    assert (code, flag_code) == (1, 1)
    for text in (err, flag_err):
        assert "Traceback (most recent call last)" in text
        assert text.splitlines()[-1].startswith("error: ")


def test_programs_are_kept_unless_told_otherwise(monkeypatch, tmp_path, told):
    updates = []
    monkeypatch.setattr(jax.config, "update", lambda name, value: updates.append((name, value)))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    devices.enable_compilation_cache(main._PROGRAMS.default)
    kept = [("jax_compilation_cache_dir", str(tmp_path / ".cache" / "stiid" / "programs"))]
    assert updates == kept
    monkeypatch.setenv("HOME", "/dev/null")  # a home that cannot be written
    devices.enable_compilation_cache(main._PROGRAMS.default)
    assert "compiled programs are not kept: " in told.text
    with pytest.raises(ValueError, match="--compilation_cache=gs://a: only local paths"):
        devices.enable_compilation_cache("gs://a")
    devices.enable_compilation_cache("")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/elsewhere")
    devices.enable_compilation_cache("/here")
    assert updates == kept


def test_modes_are_offered_documented_and_run(tmp_path, monkeypatch):
    """The flag's values are those of the documented table, and each runs what has its name."""
    offered = flags.FLAGS["mode"].parser.enum_values
    readme = (tiny.ROOT / "stiid" / "README.md").read_text(encoding="utf-8")
    _, table = readme.split("| mode | does |\n|---|---|\n")
    documented = re.findall(r"^\| `(\w+)` \|", table.split("\n\n")[0], re.MULTILINE)
    assert documented == offered

    called = []
    for mode in modes.MODES:
        monkeypatch.setitem(modes.MODES, mode, lambda *_, mode=mode: called.append(mode))
    for mode, name in (("decompose", "decompose"), ("import", "import_model")):
        monkeypatch.setattr(modes, name, lambda *_, mode=mode: called.append(mode))
    for mode in offered:
        modes.run(mode, None, workdir=str(tmp_path), checkpoint="latest")
    assert called == offered


TOO_MUCH = r"the devices do not have enough memory \(RESOURCE_EXHAUSTED: Out of memory.*frames"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("event", "code", "answer"),
    [
        ("raise KeyboardInterrupt", 130, "stopped by SIGINT: nothing incomplete was kept"),
        (
            "with modes.atomic_directory('RUN'): signal.raise_signal(signal.SIGTERM)",
            143,
            "stopped by SIGTERM: nothing incomplete was kept",
        ),
        ("jax.numpy.zeros(1 << 46, 'int8')", 1, TOO_MUCH),
    ],
)
def test_what_stops_a_run_before_training_is_one_line(data_dir, tmp_path, event, code, answer):
    """Ctrl-C while data are generated, SIGTERM while a folder is written, too little memory."""
    program = (
        "import signal\nimport jax\nfrom stiid.cli import main, modes\n"
        "from stiid.data import registry\n"
        f"def load(*args, **options):\n    {event.replace('RUN', str(tmp_path / 'run'))}\n"
        "registry.load = load\nmain.cli()"
    )
    _, _, _, *arguments = tiny.command(data_dir, tmp_path / "run")
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=tiny.ROOT,
        env=tiny.environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (result.returncode, result.stdout) == (code, "")
    assert re.fullmatch(f"error: {answer}", result.stderr.splitlines()[-1])
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_signal_saves_and_exits_with_its_code(data_dir, tmp_path):
    command = tiny.command(
        data_dir,
        tmp_path,
        "--host_devices=8",
        "--config.train.stages.stage_0.steps=1000000",
    )
    process = subprocess.Popen(
        command, cwd=tiny.ROOT, env=tiny.environment(), stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 240
    log = tmp_path / "metrics.jsonl"
    while not (log.exists() and log.read_bytes().count(b"\n") > 3):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    step = int(tiny.state(tmp_path).step)
    assert err.splitlines()[-1].startswith(f"error: stopped by SIGTERM after step {step}, ")
    assert "Traceback" not in err
    assert tiny.log(tmp_path)[-1]["step"] == step > 3
