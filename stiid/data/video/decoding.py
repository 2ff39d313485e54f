"""What FFmpeg decodes, as a player shows it: containers within limits, frames upright."""

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

# Containers of videos and single images. Playlists, which name other files and addresses, are not
# among them.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,apng,mpeg,mpegvideo,mpegts,flv,asf,ogg,mxf,nut,"
    "ivf,h264,hevc,m4v,dv,yuv4mpegpipe,png_pipe,jpeg_pipe"
)


@contextlib.contextmanager
def open_container(path: Path) -> Iterator[InputContainer]:
    """Yields a container whose first video stream refuses frames of more than `LARGEST` pixels.

    Raises:
        FFmpegError, OSError: If it cannot be read, here or in the block.
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
    """A decoded frame as a player shows it: uint8 [H, W, 3].

    It is turned and mirrored as its display matrix says; what is transparent lies on black.
    """
    if frame.format.has_palette or any(part.is_alpha for part in frame.format.components):
        picture = np.asarray(on_black(Image.fromarray(frame.to_ndarray(format="rgba"))))
    else:
        picture = frame.to_ndarray(format="rgb24")
    for data in cast(SideDataContainer, frame.side_data):  # as it is, not as it is annotated
        if data.type == SideDataType.DISPLAYMATRIX:
            picture = _placed(picture, np.frombuffer(bytes(data), np.int32).astype(np.int64))
    return np.ascontiguousarray(picture)


def _placed(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The nearest of the eight ways to lay a frame down.

    Args:
        picture: [H, W, 3].
        matrix: int64 [9] of ISO 14496-12, 8.3.2: a point (x, y) is shown at (a x + c y, b x + d y),
            up to a shift; a, b, c, d are its entries 0, 1, 3 and 4.
    """
    a, b, c, d = matrix[[0, 1, 3, 4]]
    across, down = a, d
    if abs(b) + abs(c) > abs(a) + abs(d):  # rows become columns
        picture = picture.swapaxes(0, 1)
        across, down = c, b
    if across < 0:
        picture = picture[:, ::-1]
    if down < 0:
        picture = picture[::-1]
    return picture
