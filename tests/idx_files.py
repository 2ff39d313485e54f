"""Files of images in MNIST's format, IDX: a head of big-endian numbers, then the bytes."""

import gzip

import numpy as np


def idx(images):
    """The content of a file of images uint8 [N, H, W]."""
    head = bytes([0, 0, 8, images.ndim]) + np.array(images.shape, ">u4").tobytes()
    return head + images.tobytes()


def write_idx(path, images):
    """Write images uint8 [N, H, W], packed if the name ends in .gz; return the path."""
    content = idx(images)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path
