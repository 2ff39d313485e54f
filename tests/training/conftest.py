"""Signals and saved checkpoints for the tests of training."""

import signal

import pytest
from small_checkpoints import save

from stiid.training.log import MetricWriter


@pytest.fixture
def signal_at(monkeypatch):
    """Send a signal to this process when the log line of a step is written."""

    def arrange(step, number=signal.SIGTERM):
        write = MetricWriter.write

        def write_and_raise(self, at, split, scalars):
            write(self, at, split, scalars)
            if at == step and split == "train":
                signal.raise_signal(number)

        monkeypatch.setattr(MetricWriter, "write", write_and_raise)

    yield arrange
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run") / "checkpoints"
    save(directory, [0.1, 0.9, 0.5, None, None])
    return directory
