"""Decode with FFmpeg within limits, and show frames as a player does."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from PIL import Image

from stiid.data.video.image import LARGEST, on_black

# Containers of videos and single images. Playlists are excluded: they name other files and
# addresses.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,apng,mpeg,mpegvideo,mpegts,flv,asf,ogg,mxf,nut,"
    "ivf,h264,hevc,m4v,dv,yuv4mpegpipe,png_pipe,jpeg_pipe"
)


@contextlib.contextmanager
def open_container(path: Path) -> Iterator[InputContainer]:
    """Yield a container whose first video stream refuses frames of more than `LARGEST` pixels.

    Raises:
      FFmpegError, OSError: if it cannot be read, here or in the block.
    """
    limit = {"max_pixels": str(LARGEST)}
    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file", **limit}
    address = f"file:{path}"  # a name may hold a colon, as addresses do
    with av.open(address, options=options, metadata_errors="replace") as opened:
        for stream in opened.streams.video[:1]:
            if stream.codec_context is not None:
                stream.codec_context.options = limit
        yield opened


def shown(frame: av.VideoFrame) -> np.ndarray:
    """Convert a decoded frame to what a player shows: uint8 [H, W, 3].

    It is rotated and mirrored by its display matrix; transparent parts are shown on black.
    """
    if frame.format.has_palette or any(part.is_alpha for part in frame.format.components):
        image = np.asarray(on_black(Image.fromarray(frame.to_ndarray(format="rgba"))))
    else:
        image = frame.to_ndarray(format="rgb24")
    for data in cast(SideDataContainer, frame.side_data):  # its true type; the annotation is wrong
        if data.type == SideDataType.DISPLAYMATRIX:
            image = _oriented(image, np.frombuffer(bytes(data), np.int32).astype(np.int64))
    return np.ascontiguousarray(image)


def _oriented(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Rotate and mirror a frame to the nearest of its eight orientations.

    Args:
      image: [H, W, 3].
      matrix: int64 [9] of ISO 14496-12, 8.3.2: a point (x, y) is shown at (a x + c y, b x + d y),
        up to a shift; a, b, c, d are its entries 0, 1, 3 and 4.
    """
    a, b, c, d = matrix[[0, 1, 3, 4]]
    across, down = a, d
    if abs(b) + abs(c) > abs(a) + abs(d):  # rows become columns
        image = image.swapaxes(0, 1)
        across, down = c, b
    if across < 0:
        image = image[:, ::-1]
    if down < 0:
        image = image[::-1]
    return image
