"""Figures: their content, in the requested order and size."""

import base64
import io
import re
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest
from drawings import decomposition
from PIL import Image

from stiid.outputs.figure import FigureRequest, write_figure
from stiid.outputs.palette import PALETTE
from stiid.outputs.sheets import decomposition_strips

SVG = "{http://www.w3.org/2000/svg}"


def strips(length=4):
    return decomposition_strips(*decomposition(length=length))


def test_an_svg_has_the_chosen_frames_rows_and_scale(tmp_path):
    rows = strips()
    request = FigureRequest(
        tmp_path / "f.svg", frames=(3, 1), rows=("masks", "input", "slot 1"), scale=2.0
    )
    write_figure(request, rows)
    root = ElementTree.fromstring(request.path.read_bytes())
    images = root.findall(f"{SVG}image")
    by_label = {strip.label: strip for strip in rows}
    height, width = rows[0].images.shape[1:3]
    expected = [by_label[label].images[t] for t in (3, 1) for label in request.rows]
    for image, pixels in zip(images, expected, strict=True):
        data = base64.b64decode(image.get("href").split(",")[1])
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
        assert (float(image.get("width")), float(image.get("height"))) == (2 * width, 2 * height)
    assert [text.text for text in root.findall(f"{SVG}text")] == [
        "t = 3",
        "t = 1",
        "masks",
        "input",
        "slot 1",
    ]
    frames = [rect.get("stroke") for rect in root.findall(f"{SVG}rect")]
    assert frames == [f"rgb{tuple(PALETTE[1].tolist())}"] * 2
    assert float(root.get("viewBox").split()[2]) >= 2 * 2 * width


def test_a_pdf_has_its_objects_where_its_table_says(tmp_path):
    rows = strips()
    write_figure(FigureRequest(tmp_path / "f.pdf", frames=(0,)), rows, simulated_from=0)
    data = (tmp_path / "f.pdf").read_bytes()
    start = int(re.search(rb"startxref\n(\d+)\n%%EOF\n$", data)[1])
    places = re.findall(rb"(\d{10}) 00000 n ", data[start:])
    for number, place in enumerate(places, 1):
        assert data[int(place) :].startswith(b"%d 0 obj\n" % number)
    streams = [zlib.decompress(s) for s in re.findall(rb"stream\n(.*?)\nendstream", data, re.S)]
    drawing, images = streams[0].decode("latin-1"), streams[1:]
    expected = {strip.label: strip.images[0] for strip in rows}
    expected["overlay"] = rows[4].magnified(7)[0]  # of 24 pixels on 54 points: 7 make 3 a point
    assert images == [image.tobytes() for image in expected.values()]
    assert drawing.count(" Do Q") == len(rows)
    assert "(t = 0) Tj" in drawing
    assert "(reconstruction) Tj" in drawing


def test_a_png_shows_the_tiles_in_whole_pixels(tmp_path):
    rows = strips(length=1)
    write_figure(FigureRequest(tmp_path / "f.png", rows=("input",), scale=2.0), rows)
    image = np.asarray(Image.open(tmp_path / "f.png"))
    tile = rows[0].images[0].repeat(6, 0).repeat(6, 1)  # three pixels a point
    height, width = tile.shape[:2]
    found = [
        (y, x)
        for y in range(image.shape[0] - height + 1)
        for x in range(image.shape[1] - width + 1)
        if (image[y, x] == tile[0, 0]).all()
        and (image[y : y + height, x : x + width] == tile).all()
    ]
    assert len(found) == 1


def test_labels_of_a_png_are_whole(tmp_path):
    write_figure(FigureRequest(tmp_path / "f.png"), strips())
    image = np.asarray(Image.open(tmp_path / "f.png"))
    assert (image[:, 0] == 255).all()
    assert (image[:, 6:60] < 128).any()  # "reconstruction" is there


def test_a_figure_fits_a_page_and_leaves_out_empty_slots(tmp_path):
    video, reconstruction, masks, means, truth = decomposition(length=20, slots=3)
    nowhere = np.full_like(masks[:, :2], 0.09), np.zeros_like(means[:, :2])
    masks, means = (np.concatenate(both, 1) for both in zip((masks, means), nowhere, strict=True))
    rows = decomposition_strips(video, reconstruction, masks, means, truth)
    for asked, shown in (((), ["slot 0", "slot 1", "slot 2"]), (("slot 4",), ["slot 4"])):
        write_figure(FigureRequest(tmp_path / "f.svg", rows=asked), rows)
        root = ElementTree.fromstring((tmp_path / "f.svg").read_text())
        texts = [text.text for text in root.findall(f"{SVG}text")]
        assert [text for text in texts if text.startswith("slot")] == shown
        assert float(root.get("viewBox").split()[2]) <= 72 * 6.5


def test_frames_are_called_as_in_the_video(tmp_path):
    write_figure(FigureRequest(tmp_path / "f.svg", frames=(20,)), strips(2), numbers=[10, 20])
    assert ">t = 20</text>" in (tmp_path / "f.svg").read_text()


@pytest.mark.parametrize(
    ("name", "changes", "answer"),
    [
        ("f.jpg", {}, r"expected a name that ends with \('\.svg', '\.pdf', '\.png'\)"),
        ("f.svg", {"frames": (9,)}, r"there is no frame 9, only \[0, 1, 2, 3\]"),
        ("f.svg", {"rows": ("mask",)}, "there is no row 'mask', only input, reconstruction"),
        ("f.svg", {"scale": -1.0}, "must not be negative"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, name, changes, answer):
    with pytest.raises(ValueError, match=answer):
        write_figure(FigureRequest(tmp_path / name, **changes), strips())
    assert not list(tmp_path.iterdir())
