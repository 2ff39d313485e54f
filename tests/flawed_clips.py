"""A clip of which slots make every kind of mistake."""

import numpy as np

FRAMES, OBJECTS, SLOTS = 12, 4, 6


def flawed_clip(seed):
    """Square objects that walk over a frame; slots that lose, split, merge and exchange them."""
    rng = np.random.default_rng(seed)
    places = rng.integers(0, 24, (OBJECTS, 2))
    names = np.arange(OBJECTS + 1)
    ids, slots = np.zeros((2, FRAMES, 32, 32), int)
    for t in range(FRAMES):
        places = np.clip(places + rng.integers(-2, 3, places.shape), 0, 24)
        for n, (row, column) in enumerate(places, 1):
            ids[t, row : row + 8, column : column + 8] = n
        if t % 3 == 2:
            names[1:] = rng.permutation(names[1:])
        slots[t] = names[ids[t]]
        shift = rng.integers(0, 4)
        slots[t, :, shift:] = slots[t, :, : 32 - shift].copy()
        slots[t][slots[t] == rng.integers(1, OBJECTS + 1)] = rng.integers(0, SLOTS)
        slots[t, 2:6, 2:6] = 5
    return ids, slots
