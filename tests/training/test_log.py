"""The log. Oracles: JSON, CSV and float syntax of the standard library; event records by hand."""

import csv
import errno
import io
import json
import math
import struct
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tensorboardX.proto.event_pb2 import Event, SessionLog

from stiid.training.log import MetricWriter, export_csv, read_log


def log_lines(directory):
    def reject(name):
        raise AssertionError(f"{name} is not JSON")

    text = (directory / "metrics.jsonl").read_text()
    assert text == "" or text.endswith("\n")
    return [json.loads(line, parse_constant=reject) for line in text.splitlines()]


def events(directory):
    """All events, file after file: records of length (8 bytes), crc (4), data, crc (4)."""
    found = []
    for path in sorted((directory / "tensorboard").iterdir()):
        data, start = path.read_bytes(), 0
        while start < len(data):
            (size,) = struct.unpack_from("<Q", data, start)
            found.append(Event.FromString(data[start + 12 : start + 12 + size]))
            start += size + 16
    return found


def board_scalars(directory):
    """{tag: {step: value}} by TensorBoard's rule: a session start at s purges all steps >= s."""
    scalars = {}
    for event in events(directory):
        if event.session_log.status == SessionLog.START:
            for series in scalars.values():
                for step in [s for s in series if s >= event.step]:
                    del series[step]
        for value in event.summary.value:
            if value.HasField("simple_value"):
                scalars.setdefault(value.tag, {})[event.step] = value.simple_value
    return scalars


def test_lines(tmp_path, monkeypatch):
    monkeypatch.setattr("stiid.training.log.time", SimpleNamespace(time=lambda: 12.34567))
    with MetricWriter(tmp_path / "run") as log:
        log.write(1, "train", {"loss": np.float32(0.5), "kl": 2})
        # Written at once, not on closing:
        assert len(log_lines(tmp_path / "run")) == 1
        log.write(np.int64(2), "eval", {"ari": np.array(0.25)})
    assert log_lines(tmp_path / "run") == [
        {"step": 1, "split": "train", "time": 12.346, "loss": 0.5, "kl": 2.0},
        {"step": 2, "split": "eval", "time": 12.346, "ari": 0.25},
    ]


def test_non_finite_values_stay_valid_json_and_are_restored(tmp_path):
    values = {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1.0}
    with MetricWriter(tmp_path) as log:
        log.write(3, "train", values)
    (line,) = log_lines(tmp_path)
    assert [line[name] for name in "abcd"] == [None, None, None, 1.0]
    assert line["non_finite"] == {"a": "nan", "b": "inf", "c": "-inf"}
    (row,) = read_log(tmp_path / "metrics.jsonl")
    assert math.isnan(row["a"])
    assert (row["b"], row["c"], row["d"]) == (math.inf, -math.inf, 1.0)
    assert "non_finite" not in row


def test_reserved_names_are_refused(tmp_path):
    with MetricWriter(tmp_path) as log, pytest.raises(ValueError, match=r"\['split', 'step'\]"):
        log.write(1, "train", {"step": 1.0, "split": 2.0, "loss": 3.0})
    assert log_lines(tmp_path) == []


def test_killed_and_resumed_run_has_each_step_once(tmp_path):
    with MetricWriter(tmp_path) as log:
        for step in range(1, 8):
            log.write(step, "train", {"loss": float(step)})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "split": "tr')  # killed here; the checkpoint is of step 5
    with MetricWriter(tmp_path, resume_step=5) as log:
        for step in range(6, 10):
            log.write(step, "train", {"loss": 10.0 * step})
    expected = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 60, 7: 70, 8: 80, 9: 90}
    assert [(row["step"], row["loss"]) for row in log_lines(tmp_path)] == list(expected.items())
    assert board_scalars(tmp_path) == {"train/loss": expected}
    with (tmp_path / "metrics.csv").open(newline="") as file:
        assert [(int(r["step"]), float(r["loss"])) for r in csv.DictReader(file)] == list(
            expected.items()
        )


def test_start_from_the_beginning_drops_an_earlier_log(tmp_path):
    for value in (1.0, 2.0):
        with MetricWriter(tmp_path) as log:
            log.write(0, "eval", {"ari": value})
    assert [row["ari"] for row in log_lines(tmp_path)] == [2.0]
    assert board_scalars(tmp_path) == {"eval/ari": {0: 2.0}}


def test_resume_without_a_log(tmp_path):
    with MetricWriter(tmp_path, resume_step=4) as log:
        log.write(5, "train", {"loss": 1.0})
    assert [row["step"] for row in log_lines(tmp_path)] == [5]


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 200))
def test_a_log_torn_anywhere_can_be_read(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("torn") / "metrics.jsonl"
    rows = [{"step": s, "split": "train", "time": 0.5, "loss": 1.5} for s in range(1, 5)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text[:cut])
    # A row counts if it is complete, with or without its newline.
    ends = np.cumsum([len(json.dumps(row)) + 1 for row in rows]) - 1
    assert read_log(path) == rows[: int((ends <= cut).sum())]


DAMAGED = [
    "{}",
    "null",
    '{"st',
    "[" * 100_000,
    '{"step": true, "split": "train"}',
    '{"step": 2}',
    '{"step": 2, "split": "train", "loss": "low"}',
    '{"step": 2, "split": "train", "loss": null, "non_finite": {"loss": "no"}}',
    '{"step": 2, "split": "train", "loss": null, "non_finite": 1}',
    "\0\0\0",
]


def test_damaged_lines_are_set_aside(tmp_path, told):
    path = tmp_path / "metrics.jsonl"
    rows = [{"step": step, "split": "train", "time": 0.5, "loss": 1.5} for step in (1, 3)]
    first, last = map(json.dumps, rows)
    path.write_text("\n".join([first, *DAMAGED, last, '{"step": 4, "spl']))
    assert read_log(path) == rows
    assert f"{path}: damaged lines are left out: 2, 3, 4, 5, 6, …" in told.text
    with MetricWriter(tmp_path, resume_step=3) as log:
        log.write(4, "train", {"loss": 2.0})
    assert [row["step"] for row in log_lines(tmp_path)] == [1, 3, 4]
    assert (tmp_path / "metrics.damaged.txt").read_text().split("\n") == [*DAMAGED, ""]


class Full:
    """A file of a disk that takes no more than some bytes at a time."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, content):
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(content[: self.room])


@pytest.mark.parametrize("room", [0, 7])
def test_lines_wait_while_the_disk_is_full(tmp_path, told, room):
    with MetricWriter(tmp_path) as log:
        log.write(1, "train", {"loss": 1.0})
        file = log._lines._file
        log._lines._file = Full(file, room)
        for step in (2, 3):
            log.write(step, "train", {"loss": 2.0})
        assert [row["step"] for row in log_lines(tmp_path)] == [1]
        log._lines._file = file
        log.write(4, "train", {"loss": 3.0})
        assert [row["step"] for row in log_lines(tmp_path)] == [1, 2, 3, 4]
        log._lines._file = Full(file, room)
        log.write(5, "train", {"loss": 3.0})
    assert told.text.count("its lines wait in memory, training goes on") == 2
    assert "lacks its last 1 lines" in told.text
    assert [row["step"] for row in log_lines(tmp_path)] == [1, 2, 3, 4]


@pytest.mark.parametrize("moment", ["at once", "later"])
def test_what_ends_tensorboard_ends_nothing_else(tmp_path, moment):
    """Files of at most 2,000 bytes, as on a full disk: TensorBoard's writer thread died of it."""
    program = (
        "import logging, resource, sys; from stiid.training.log import MetricWriter\n"
        "logging.basicConfig(format='%(message)s')\n"
        "log = MetricWriter(sys.argv[1])\n"
        "def limit(): resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "log._board.close() if sys.argv[2] == 'at once' else None\n"
        "limit()\n"
        "if sys.argv[2] == 'at once':\n"
        "    from stiid.training.board import Board; from pathlib import Path\n"
        "    log._board = Board(Path('/dev/null/tensorboard'), purge_step=0)\n"
        "for step in range(400): log.write(step, 'train', {f'loss_{i}': 1.0 for i in range(9)})\n"
        "log.close(); print('closed')"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), moment],
        cwd=tiny.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (result.returncode, result.stdout) == (0, "closed\n"), result.stderr
    assert result.stderr.count("the TensorBoard log in") == 1
    assert "Traceback" not in result.stderr


def test_a_clock_that_is_set_back_stops_nothing(tmp_path, monkeypatch):
    """By more than 24.8 days: too long a time for a queue to wait."""
    with MetricWriter(tmp_path) as log:
        log.write(1, "train", {"loss": 1.0})
        monkeypatch.setattr(time, "time", lambda: 1e6)
        for step in range(2, 50):
            log.write(step, "train", {"loss": 1.0})
    assert len(board_scalars(tmp_path)["train/loss"]) == 49


def test_csv_has_the_union_of_the_columns(tmp_path):
    rows = [
        {"step": 1, "split": "train", "time": 0.0, "loss": 0.1},
        {"step": 1, "split": "eval", "time": 1.0, "ari": None, "non_finite": {"ari": "nan"}},
        {"step": 2, "split": "train", "time": 2.0, "kl": 3.0, "loss": 1e-9},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    export_csv(tmp_path / "a.jsonl", tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text() == (
        "step,split,time,loss,ari,kl\n1,train,0.0,0.1,,\n1,eval,1.0,,nan,\n2,train,2.0,1e-09,,3.0\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "b.csv"]


def test_csv_is_written_when_training_fails(tmp_path):
    def train():
        with MetricWriter(tmp_path) as log:
            log.write(1, "train", {"loss": math.nan})
            raise FloatingPointError

    with pytest.raises(FloatingPointError):
        train()
    assert (tmp_path / "metrics.csv").read_text().splitlines()[0] == "step,split,time,loss"


def test_tensorboard_scalars_and_images(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    with MetricWriter(tmp_path) as log:
        log.write(3, "train", {"loss": 0.5})
        log.write(3, "eval", {"loss": 0.25})
        log.write_image(3, "eval/slots", image)
        with pytest.raises(ValueError, match="uint8"):
            log.write_image(3, "eval/slots", image / 255)
    assert board_scalars(tmp_path) == {"train/loss": {3: 0.5}, "eval/loss": {3: 0.25}}
    (found,) = [
        value for e in events(tmp_path) for value in e.summary.value if value.HasField("image")
    ]
    assert found.tag == "eval/slots"
    with Image.open(io.BytesIO(found.image.encoded_image_string)) as decoded:
        np.testing.assert_array_equal(np.asarray(decoded), image)


def test_tensorboard_shows_text_line_by_line(tmp_path):
    with MetricWriter(tmp_path) as writer:
        writer.write_text(0, "config", "seed = 0\noptim.beta1 = 0.9")
    (file,) = (tmp_path / "tensorboard").iterdir()
    assert b"    seed = 0\n    optim.beta1 = 0.9" in file.read_bytes()


def test_disabled_writer_touches_nothing(tmp_path):
    with MetricWriter(tmp_path / "run", enabled=False) as log:
        log.write(1, "train", {"loss": 1.0})
        log.write_image(1, "a", np.zeros((2, 2, 3), np.uint8))
    assert not (tmp_path / "run").exists()
