"""The trained model as the Python API loads it, and a video for it."""

import numpy as np
import pytest
import tiny

import stiid


@pytest.fixture(scope="module")
def model(trained):
    return stiid.load(trained)


@pytest.fixture(scope="module", autouse=True)
def quickly():
    with tiny.quick_compilation():
        yield


@pytest.fixture
def video():
    return np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
