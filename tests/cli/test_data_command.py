"""``python -m stiid.data``: its output, its files, and its answers to mistakes."""

import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool

import av
import h5py
import numpy as np
import pytest
import tiny
from PIL import Image

from stiid.cli import data as command
from stiid.data import registry
from stiid.data.verify import verify_elements
from stiid.data.view import View
from stiid.outputs.preview import contact_sheet

BALLS = ["num_balls=2", "resolution=16", "frames=6", "train=6", "validation=2", "test=0"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def call(capsys, *arguments):
    """Exit code, standard output, and the lines of standard error without progress."""
    code = command.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, [line for line in err.splitlines() if line.startswith("error")]


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_no_error():
    """As ``| head -1``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stiid.data", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    _, err = process.communicate()
    assert (process.returncode, err) == (128 + signal.SIGPIPE, b"")


def test_names_in_messages_cannot_steer_the_terminal(capsys, tmp_path):
    options = ["frames=4", f"path={tmp_path}/\x1b[2J\udcff.mp4"]
    code, _, err = call(capsys, "prepare", "own_video", *options)
    assert code == 1
    assert err == [
        f"error: no video at {tmp_path}/\\x1b[2J\\udcff.mp4: set the option path of own_video, in "
        "a config data.options.path, to a video or a folder of videos"
    ]


def test_an_interruption_is_one_line(capsys, monkeypatch, data):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "load", interrupted)
    code, out, errors = call(capsys, "prepare", "bouncing_balls", f"--data_dir={data}")
    assert (code, out) == (130, "")
    assert errors == ["error: stopped by SIGINT: nothing incomplete was kept"]


def test_every_source_is_listed_with_its_options(capsys):
    code, out, errors = call(capsys, "list")
    assert (code, errors) == (0, [])
    for name, entry in registry.ENTRIES.items():
        assert f"{name}: {entry.summary}" in out
    assert "colors='binary' resolution=64" in out


@pytest.mark.parametrize("name", registry.names())
def test_every_source_has_a_view_and_a_summary(name):
    assert isinstance(registry.view(name), View)
    assert registry.ENTRIES[name].summary


def test_prepare_verify_preview(capsys, data, tmp_path):
    common = ["bouncing_balls", *BALLS, "--data_dir", data]
    code, out, _ = call(capsys, "prepare", *common)
    assert code == 0
    assert "bouncing_balls: 6 clips in train" in out
    code, out, _ = call(capsys, "verify", *common, "--split", "validation")
    figures = dict(line.split() for line in out.splitlines() if len(line.split()) == 2)
    assert (code, figures["clips"], figures["objects"]) == (0, "2", "2")
    assert out.endswith("bouncing_balls: the clips are correct\n")
    code, out, _ = call(capsys, "preview", *common, "--clips", 3, "--output", tmp_path / "p")
    assert code == 0
    assert out.count("wrote") == 3
    with Image.open(tmp_path / "p" / "sheet.png") as sheet:
        assert np.asarray(sheet).std() > 0
    with Image.open(tmp_path / "p" / "clips.gif") as gif:
        assert gif.n_frames == 6
    with av.open(str(tmp_path / "p" / "clips.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 6


def test_a_worker_that_is_ended_is_one_line(capsys, monkeypatch, data):
    def ended(*args, **kwargs):
        raise BrokenProcessPool

    monkeypatch.setattr(registry, "load", ended)
    code, _, errors = call(capsys, "prepare", "bouncing_balls", f"--data_dir={data}")
    assert code == 1
    assert errors == [
        "error: a worker process died, possibly out of memory: start the command again"
    ]


def test_simulate_verify_in_place(capsys, tmp_path):
    """The entry's own verification is printed after the general one; nothing is prepared."""
    path = tmp_path / "balls3curtain64.h5"
    counts = ["--train=3", "--validation=0", "--test=2"]
    assert call(capsys, "simulate", "balls3curtain64", path, *counts)[0] == 0
    with h5py.File(path) as file:
        assert {name: group["features"].shape[1] for name, group in file.items()} == {
            "training": 3,
            "test": 2,
        }
    code, out, _ = call(capsys, "verify", "r_nem", f"path={path}", "box=10", "--split=test")
    assert code == 0
    assert "centroid_error" in out
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    content = path.read_bytes()
    code, _, errors = call(capsys, "simulate", "balls3curtain64", path, *counts)
    assert (code, path.read_bytes()) == (1, content)
    assert errors == [f"error: {path} exists: name another file, or move it away"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "balls"], "name must be one of"),
        (["prepare", "bouncing_balls", "size=3"], "has no options ('size',)"),
        (["prepare", "bouncing_balls", "train"], "expected option=value, got 'train'"),
        (["prepare", "bouncing_balls", "train=many"], "train takes finite int values"),
        (["prepare", "bouncing_balls", "--split=dev"], "split must be one of"),
        (["preview", "bouncing_balls", "--clips=0"], "--clips must be at least 1"),
        (["verify", "r_nem", "path=/nowhere.h5"], "no R-NEM file at /nowhere.h5"),
        (["prepare", "grand_central", "path=/nowhere.avi"], "no video at /nowhere.avi"),
        (["prepare", "own_video", "path=/nowhere"], "no video at /nowhere"),
        (
            ["prepare", "clevrer", "path=/nowhere"],
            "no videos and no annotations of CLEVRER for",
        ),
    ],
)
def test_mistakes_are_answered_by_one_line(capsys, data, arguments, message):
    code, out, errors = call(capsys, *arguments, "--data_dir", data)
    assert (code, out, len(errors)) == (1, "", 1)
    assert message in errors[0]


class Broken:
    """A source of one good clip and one with a changed field."""

    fingerprint = "broken"

    def __init__(self, **changes):
        good = {
            "video": np.zeros((2, 4, 4, 3), np.uint8),
            "masks": np.zeros((2, 4, 4), np.uint8),
            "id": "good",
            "n_objects": 1,
        }
        self.clips = [good, {**good, "id": "bad", **changes}]

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.clips[index]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"video": np.zeros((2, 4, 4, 3), np.float32)}, "clip 'bad': expected video uint8"),
        ({"video": np.zeros((2, 4, 4, 2), np.uint8)}, "clip 'bad': expected video uint8"),
        ({"video": np.zeros((3, 4, 4, 3), np.uint8)}, "that of 'good'"),
        ({"masks": np.zeros((2, 4, 3), np.uint8)}, "clip 'bad': expected masks"),
        ({"masks": np.full((2, 4, 4), 2, np.uint8)}, "contain the id 2, but n_objects is 1"),
        ({"n_objects": -1}, "only some clips have true masks"),
        ({"id": "good"}, "two clips have the same id"),
    ],
)
def test_elements_that_are_not_as_described(changes, message):
    assert verify_elements(Broken(), clips=2)["objects"] == 1
    with pytest.raises(ValueError, match=message):
        verify_elements(Broken(**changes), clips=2)


def test_a_sheet_has_a_second_row_for_objects():
    """Two frames of 4×4, magnified to 128: a line of text, a row of tiles, a row with objects."""
    clip = Broken()[0]
    height, width = 6 + (20 + 6) + 2 * (128 + 6), 6 + 128 + 6 + 128 + 6
    assert contact_sheet([clip]).shape == (height, width, 3)
    assert contact_sheet([{**clip, "n_objects": -1}]).shape == (height - 134, width, 3)


@pytest.mark.slow
def test_a_killed_preparation_starts_again_and_two_at_once_agree(tmp_path):
    """SIGKILL in the middle, then two processes on one directory: each has whole data."""
    tiny.write_video(tmp_path / "long.mp4", frames=3000, width=160, height=120)
    options = [f"path={tmp_path}/long.mp4", "frames=2", "--data_dir", str(tmp_path / "data")]
    line = [sys.executable, "-m", "stiid.data", "verify", "own_video", *options]
    killed = subprocess.Popen(line, cwd=tiny.ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not list((tmp_path / "data").rglob("*incomplete*")):
        assert time.monotonic() < deadline
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    both = [
        subprocess.Popen(line, cwd=tiny.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=300)[0].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    for output in outputs:
        assert ["clips", "1349"] in [line.split() for line in output.splitlines()]
    assert not list((tmp_path / "data").rglob("*incomplete*"))
