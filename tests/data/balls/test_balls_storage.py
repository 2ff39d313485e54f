"""Clips on disk: as simulated, complete or absent, with one writer at a time."""

import contextlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from balls import SMALL, assert_same

from stiid.data import registry
from stiid.data.balls import builder
from stiid.data.balls.bouncing_balls import BallsSpec, clips


def load(data_dir, split="train", **options):
    return registry.load("bouncing_balls", split, data_dir=str(data_dir), **(SMALL | options))


def final_dir(data_dir, **options):
    return data_dir / "bouncing_balls" / BallsSpec(**(SMALL | options)).name / "1.0.0"


def test_stored_clips_equal_simulated_clips(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("stiid.data.stored._SHARD_BYTES", 10 * 6 * 24 * 24 * 4)
    source = load(tmp_path)
    assert "35/35" in capfd.readouterr().err  # a progress bar with the total of all splits
    assert len(list(final_dir(tmp_path).glob("*train.array_record*"))) == 3
    assert len(source) == 30
    for index, clip in enumerate(clips(BallsSpec(**SMALL), "train")):
        assert_same(source[index], clip)
    assert isinstance(source[0]["id"], str)
    assert source.fingerprint == f"bouncing_balls/{BallsSpec(**SMALL).name}/1.0.0:train"
    assert "tensorflow" not in sys.modules

    monkeypatch.setattr(builder, "clips", None)  # a second use generates nothing
    validation = load(tmp_path, "validation")
    assert len(validation) == 5
    assert validation[4]["id"] == "validation/000004"
    with pytest.raises(ValueError, match="validation"):
        load(tmp_path, "test")


def test_evaluation_needs_no_training_clips(tmp_path):
    """A split that is generated alone has the same clips and name as with the others."""
    alone = load(tmp_path, "validation")
    folders = [path for path in (tmp_path / "bouncing_balls").iterdir() if path.is_dir()]
    assert [path.name for path in folders] == [BallsSpec(**{**SMALL, "train": 0}).name]
    load(tmp_path)  # to train
    beside = load(tmp_path, "validation")
    assert alone.fingerprint == beside.fingerprint
    for index in range(5):
        assert_same(alone[index], beside[index])


def test_bad_requests(tmp_path):
    with pytest.raises(ValueError, match="bouncing_balls"):
        registry.load("bouncing_bals", "train", data_dir=str(tmp_path))
    with pytest.raises(TypeError, match=r"no options \('ball',\).*num_balls"):
        load(tmp_path, ball=3)
    with pytest.raises(ValueError, match=r"\('train', 'validation'\)"):
        load(tmp_path, "trian")
    assert not list(tmp_path.iterdir())
    assert "bouncing_balls" in registry.names()


def test_unwritable_directory(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot prepare bouncing_balls in .*another data_dir"):
        load(tmp_path / "file")


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_interruption_leaves_nothing(tmp_path, monkeypatch, error):
    def interrupted(*args, **kwargs):
        yield from clips(*args, **{**kwargs, "stop": 10})
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(builder, "clips", interrupted)
        with pytest.raises(error):
            load(tmp_path)
    assert not list(final_dir(tmp_path).parent.iterdir())
    assert len(load(tmp_path)) == 30


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("pattern", "damage"),
    [
        ("*train.array_record*", lambda path: path.unlink()),
        ("*train.array_record*", cut),
        ("dataset_info.json", lambda path: path.unlink()),
        ("dataset_info.json", cut),
    ],
    ids=["no records", "cut records", "no info", "cut info"],
)
def test_damaged_data_are_named_and_made_again(tmp_path, pattern, damage):
    load(tmp_path)
    folder = final_dir(tmp_path)
    for path in folder.glob(pattern):
        damage(path)

    def read():
        source = load(tmp_path)
        return [source[i]["id"] for i in range(len(source))]

    with pytest.raises(OSError, match=r"cannot read the data in .*delete that folder") as caught:
        read()
    named = str(caught.value).split(" in ")[1].split(" (")[0]
    assert "\n" not in str(caught.value)
    assert named == str(folder)
    shutil.rmtree(named)
    assert len(read()) == 30


# Run in another process: clip 10 waits for the file "go", or kills the process.
SCRIPT = """
import os, pathlib, signal, sys, time
from stiid.data import registry
from stiid.data.balls import builder
data_dir, mode = pathlib.Path(sys.argv[1]), sys.argv[2]
clips = builder.clips
def slow(*args, **kwargs):
    for i, clip in enumerate(clips(*args, **kwargs)):
        if i == 10 and mode == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if i == 10:
            (data_dir / "started").touch()
            while not (data_dir / "go").exists():
                time.sleep(0.01)
        yield clip
builder.clips = slow
registry.load("bouncing_balls", "train", data_dir=str(data_dir), **OPTIONS)
"""


@contextlib.contextmanager
def other_process(data_dir, mode):
    script = SCRIPT.replace("OPTIONS", repr(SMALL))
    with subprocess.Popen([sys.executable, "-c", script, str(data_dir), mode]) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
def test_killed_generation_starts_again(tmp_path):
    with other_process(tmp_path, "kill") as process:
        assert process.wait(timeout=60) == -signal.SIGKILL
    target = final_dir(tmp_path)
    assert not target.exists()
    assert [path.name.split(".")[0] for path in target.parent.iterdir()] == ["incomplete"]
    source = load(tmp_path)
    assert [path.name for path in target.parent.iterdir()] == ["1.0.0"]
    for index, clip in enumerate(clips(BallsSpec(**SMALL), "train")):
        assert_same(source[index], clip)


@pytest.mark.slow
def test_second_process_waits_for_the_first(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(builder, "clips", None)  # this process must not generate
    with other_process(tmp_path, "wait") as first:
        deadline = time.monotonic() + 60
        while not (tmp_path / "started").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        release = threading.Timer(0.5, (tmp_path / "go").touch)
        release.start()
        source = load(tmp_path)
        release.join()
        assert first.wait(timeout=60) == 0
    assert "Waiting for the process that prepares" in capfd.readouterr().err
    assert_same(source[29], next(clips(BallsSpec(**SMALL), "train", start=29)))
