"""CRC-32C (Castagnoli, RFC 3720) in NumPy, fast enough for records of megabytes.

The state after a block is linear in the state before it and in the block. All blocks of a record
therefore start at once from the state 0, and their states are joined afterwards: before a block is
added, the state so far runs over as many zero bytes, for which there are tables.
"""

import functools

import numpy as np

_POLYNOMIAL = 0x82F63B78  # bits reversed
_BLOCK = 512  # bytes


def crc32c(data: bytes) -> int:
    """Checksum of some bytes."""
    head = len(data) % _BLOCK
    state, table = 0xFFFFFFFF, _byte_table().tolist()
    for byte in data[:head]:
        state = table[(state ^ byte) & 0xFF] ^ (state >> 8)
    blocks = np.frombuffer(data, np.uint8, offset=head).reshape(-1, _BLOCK)
    low, second, third, high = _zero_tables()
    for block in _run(np.zeros(len(blocks), np.uint32), blocks.T).tolist():
        state = (
            block
            ^ low[state & 0xFF]
            ^ second[(state >> 8) & 0xFF]
            ^ third[(state >> 16) & 0xFF]
            ^ high[state >> 24]
        )
    return state ^ 0xFFFFFFFF


@functools.cache
def _byte_table() -> np.ndarray:
    """State after one byte, from the state 0: uint32 [256]."""
    states: np.ndarray = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        states = (states >> 1) ^ np.where(states & 1, np.uint32(_POLYNOMIAL), np.uint32(0))
    return states


@functools.cache
def _zero_tables() -> list[list[int]]:
    """State after a block of zeros, for every value of each of the four bytes of the state."""
    states = np.arange(256, dtype=np.uint32) << np.arange(0, 32, 8, dtype=np.uint32)[:, None]
    return _run(states.ravel(), np.zeros((_BLOCK, 1), np.uint8)).reshape(4, 256).tolist()


def _run(states: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """States uint32 [n] after n streams of bytes; row i has the i-th byte of each: [_, n or 1]."""
    table = _byte_table()
    for row in np.ascontiguousarray(rows):
        states = table[(states ^ row) & 0xFF] ^ (states >> 8)
    return states
