"""What a player shows: its number of frames, upright, transparent parts on black. By hand."""

import os
import struct

import av
import numpy as np
import pytest
from PIL import Image

from stiid.data.video.video_file import VideoFile

# A block of 24×32 pixels of distinct grays, whose eight orientations all differ.
CORNERS = np.kron(np.array([[250, 160], [90, 10], [10, 10]], np.uint8), np.ones((8, 16), np.uint8))
BLOCK = CORNERS[..., None].repeat(3, -1)


def write(path, frames, *, codec="libx264", pix_fmt="yuv420p", source="rgb24", **options):
    """Encodes frames at 25 a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.options, stream.bit_rate = pix_fmt, options, 8_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format=source)))
        container.mux(stream.encode())
    return path


def grays(count, shape=(48, 64)):
    """The gray of a frame says which it is."""
    return [np.full((*shape, 3), 6 * t, np.uint8) for t in range(count)]


# --- how many frames ------------------------------------------------------------------------------


def packets(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


@pytest.fixture(scope="module")
def not_coded(tmp_path_factory):
    """An AVI of 40 packets, of which number 10 says "as before": players show 39 frames."""
    path = tmp_path_factory.mktemp("avi") / "a.avi"
    write(path, grays(40), codec="mpeg4", bf="0", g="12")
    packet = packets(path)[10]
    content = path.read_bytes()
    assert content.count(packet) == 1
    nothing = b"\x00\x00\x01\xb6\x55\x4f".ljust(len(packet), b"\x7f")  # ISO 14496-2, 6.2.5: N-VOP
    path.write_bytes(content.replace(packet, nothing))
    return path


@pytest.fixture(scope="module")
def invisible(tmp_path_factory):
    """A WebM of 40 packets, of which number 10 is a reference that is never shown."""
    path = tmp_path_factory.mktemp("webm") / "a.webm"
    write(path, grays(40), codec="libvpx", g="12")
    packet = packets(path)[10]
    content = path.read_bytes()
    assert content.count(packet) == 1
    hidden = bytes([packet[0] & ~16]) + packet[1:]  # RFC 6386, 9.1: show_frame
    path.write_bytes(content.replace(packet, hidden))
    return path


@pytest.mark.parametrize("kind", ["not_coded", "invisible"])
def test_a_packet_without_a_frame(kind, request):
    path = request.getfixturevalue(kind)
    video = VideoFile(path)
    whole = list(video.frames())
    assert (video.packets, video.num_frames, len(whole)) == (40, 39, 39)
    shown = [t for t in range(40) if t != 10]
    np.testing.assert_allclose([frame.mean() / 6 for frame in whole], shown, atol=0.49)
    for start in range(39):
        np.testing.assert_array_equal(next(video.frames(start)), whole[start], err_msg=f"{start}")
    np.testing.assert_array_equal(list(video.frames(12, 39, 9)), whole[12::9])
    with pytest.raises(ValueError, match="has 39 frames, asked for 0:40:1"):
        list(video.frames(0, 40))


def test_frames_before_an_error_are_given_and_the_error_names_the_next(tmp_path):
    """Damaged packets: the stream ends there, with a frame's number in the message."""
    path = write(tmp_path / "a.avi", grays(20), codec="ffv1", pix_fmt="bgr0")
    packet = packets(path)[12]
    path.write_bytes(path.read_bytes().replace(packet, b"\xff" * len(packet)))
    frames = []
    with pytest.raises(ValueError, match=r"a\.avi: frame 12 .*: replace it or move it away"):
        frames.extend(iter_into(VideoFile(path).frames(), frames))
    np.testing.assert_array_equal(frames, grays(12))
    with pytest.raises(ValueError, match=r"a\.avi"):
        assert VideoFile(path).num_frames


def iter_into(iterator, taken):
    for item in iterator:
        taken.append(item)
    return []


# --- upright --------------------------------------------------------------------------------------

# EXIF 2.3, orientation 1 to 8: what has to be done to the stored rows to show them. As a matrix of
# ISO 14496-12, 8.3.2: (a, b, c, d) of x' = a x + c y, y' = b x + d y.
EIGHT = {
    1: ((1, 0, 0, 1), lambda p: p),
    2: ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    3: ((-1, 0, 0, -1), lambda p: p[::-1, ::-1]),
    4: ((1, 0, 0, -1), lambda p: p[::-1]),
    5: ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
    6: ((0, 1, -1, 0), lambda p: p.swapaxes(0, 1)[:, ::-1]),  # a quarter turn clockwise
    7: ((0, -1, -1, 0), lambda p: p.swapaxes(0, 1)[::-1, ::-1]),
    8: ((0, -1, 1, 0), lambda p: p.swapaxes(0, 1)[::-1]),
}


@pytest.mark.parametrize("orientation", EIGHT)
def test_all_eight_ways_of_lying_down(tmp_path, orientation):
    """A video's matrix and an image's EXIF mean the same."""
    (a, b, c, d), turned = EIGHT[orientation]
    path = write(tmp_path / "a.mp4", [BLOCK] * 3, crf="1")
    content = bytearray(path.read_bytes())
    place = content.find(b"tkhd") + 4 + 40
    entries = [part << 16 for part in (a, b, 0, c, d, 0, 0, 0)]
    content[place : place + 36] = struct.pack(">9i", *entries, 1 << 30)
    path.write_bytes(content)
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "images").mkdir()
    Image.fromarray(BLOCK).save(tmp_path / "images" / "0.png", exif=exif)
    expected = turned(BLOCK)
    np.testing.assert_array_equal(next(VideoFile(tmp_path / "images").frames()), expected)
    video = VideoFile(path)
    assert (video.height, video.width) == expected.shape[:2]
    frame = next(video.frames()).astype(int)
    assert frame.shape == expected.shape
    assert np.abs(frame - expected).mean() < 6


# --- transparent ----------------------------------------------------------------------------------


def half_clear():
    """RGBA: bright everywhere, the right half transparent, the lower quarter at half."""
    pixels = np.full((24, 32, 4), 255, np.uint8)
    pixels[..., 1] = 120
    pixels[:, 16:, 3] = 0
    pixels[18:, :16, 3] = 128
    return pixels


def gif(path, pixels):
    index = (pixels[..., 3] > 0).astype(np.uint8)
    image = Image.fromarray(index)
    image.putpalette([255, 255, 255, 255, 120, 255])
    image.save(path, save_all=True, append_images=[image], transparency=0, duration=100)


@pytest.mark.parametrize("name", ["a.png", "a.mov", "prores.mov", "a.gif"])
def test_what_is_transparent_lies_on_black_in_every_kind_of_file(tmp_path, name):
    pixels = half_clear()
    expected = pixels[..., :3] * (pixels[..., 3:] / 255)
    match name:
        case "a.png":
            Image.fromarray(pixels).save(tmp_path / name)
        case "a.mov":
            write(tmp_path / name, [pixels] * 2, codec="png", pix_fmt="rgba", source="rgba")
        case "prores.mov":
            write(
                *(tmp_path / name, [pixels] * 2),
                **{"codec": "prores_ks", "pix_fmt": "yuva444p10le", "source": "rgba"},
                profile="4444",
            )
        case "a.gif":  # knows no half
            gif(tmp_path / name, pixels)
            expected = pixels[..., :3] * (pixels[..., 3:] > 0)
    frame = next(VideoFile(tmp_path / name).frames())
    assert not frame[:, 17:].any()
    np.testing.assert_allclose(frame, expected, atol=8 if name == "prores.mov" else 1)


# --- what is no video -----------------------------------------------------------------------------


def test_a_video_cut_inside_its_header_is_named_so(tmp_path):
    content = write(tmp_path / "a.mp4", grays(5), movflags="faststart").read_bytes()
    moov = content.find(b"moov")
    for part in (moov + 200, moov + 300, content.find(b"stsd") + 4):
        (tmp_path / "b.mp4").write_bytes(content[:part])
        with pytest.raises(ValueError, match=r"b\.mp4 .*(cut off|cannot be read).*: replace it"):
            VideoFile(tmp_path / "b.mp4")


def test_pipes_and_devices_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    for path in (tmp_path / "a.mp4", "/dev/zero"):
        with pytest.raises(ValueError, match="is not a regular file"):
            VideoFile(path)
    (tmp_path / "images").mkdir()
    os.mkfifo(tmp_path / "images" / "0.png")
    with pytest.raises(ValueError, match=r"0\.png cannot be read .* no regular file"):
        VideoFile(tmp_path / "images")


def test_playlists_are_refused(tmp_path):
    """They name other files, and addresses."""
    write(tmp_path / "secret.mp4", grays(5))
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n"
    for name, text in (("a.mp4", hls), ("b.mp4", "ffconcat version 1.0\nfile secret.mp4\n")):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=rf"{name} cannot be read as a video"):
            VideoFile(tmp_path / name)


def test_frames_of_too_many_pixels_are_refused_before_they_are_decoded(tmp_path):
    """A GIF says 60,000 × 60,000 in four bytes; a PNG, in a few kilobytes of zeros."""
    part = b"\x2c" + struct.pack("<4HB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    head = b"GIF89a" + struct.pack("<2H", 60_000, 60_000) + b"\x80\0\0\0\0\0\xff\xff\xff"
    (tmp_path / "a.gif").write_bytes(head + 2 * part + b"\x3b")
    with pytest.raises(ValueError, match=r"a\.gif"):
        VideoFile(tmp_path / "a.gif")
    (tmp_path / "b").mkdir()
    Image.new("1", (8000, 8000)).save(tmp_path / "b" / "0.png")
    with pytest.raises(ValueError, match=r"0\.png .* 8000x8000 pixels, at most 33554432"):
        VideoFile(tmp_path / "b")


def test_images_of_other_formats_are_not_opened(tmp_path):
    """Pillow would start Ghostscript for one of them."""
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    (tmp_path / "1.png").write_bytes(eps)
    with pytest.raises(ValueError, match=r"1\.png cannot be read as an image"):
        VideoFile(tmp_path)
    (tmp_path / "1.png").unlink()
    Image.new("RGB", (8, 8)).save(tmp_path / "2.png", format="TIFF")
    with pytest.raises(ValueError, match=r"2\.png cannot be read as an image"):
        VideoFile(tmp_path)


# --- names ----------------------------------------------------------------------------------------


def test_digits_that_are_no_numbers(tmp_path):
    for name in ("²³.png", "1.png", "٢.png", "10.png"):  # the third is an Arabic 2
        Image.new("RGB", (8, 8), (len(name), 0, 0)).save(tmp_path / name)
    assert len(list(VideoFile(tmp_path).frames())) == 4


@pytest.mark.parametrize("name", [b"\xff.mp4", b"a:b.mp4", b"\x1b[2J.mp4", "日本.mp4".encode()])
def test_any_name_works(tmp_path, name):
    write(tmp_path / "a.mp4", grays(5))
    path = tmp_path / os.fsdecode(name)
    (tmp_path / "a.mp4").rename(path)
    assert VideoFile(path).num_frames == 5


@pytest.mark.parametrize(
    "pair", [("rgba_00001.png", "segmentation_00001.png"), ("001.png", "001.jpg")]
)
def test_two_series_of_images_are_no_video(tmp_path, pair):
    for name in pair:
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    with pytest.raises(ValueError, match=f"holds {pair[0]} and {pair[1]}|{pair[1]} and {pair[0]}"):
        VideoFile(tmp_path)
