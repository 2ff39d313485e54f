"""States that tests store in files of PyTorch."""

import numpy as np
import pytest

STATE = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
    "transposed": np.arange(6, dtype=np.float64).reshape(2, 3).T,
    "expanded": np.broadcast_to(np.linspace(-1, 1, 4, dtype=np.float32)[:, None], (1, 4, 5)),
    "T": np.array(5),
    "half": np.ones((2, 0, 3), np.float16),
    "bytes": np.arange(3, dtype=np.uint8),
}


OLD = pytest.mark.parametrize("old", [False, True])


ONE = np.arange(4, dtype=np.float32)
