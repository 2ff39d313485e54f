"""Frames made smaller: by the area of a pixel, or by cubic splines behind a blur."""

import numpy as np
import pytest

from stiid.data.view import View


def resized(image, size, resize):
    return View(height=size, width=size, channels=3, resize=resize).frame(image)


def gray(rows):
    return np.repeat(np.asarray(rows, np.uint8)[..., None], 3, axis=-1)


@pytest.mark.parametrize("resize", ["area", "cubic"])
def test_a_plain_image_stays_plain(resize):
    np.testing.assert_array_equal(resized(gray(np.full((20, 20), 77)), 4, resize), 77)


def test_cubic_equals_a_gaussian_and_a_spline_by_hand():
    """Along one axis, 20 to 4 pixels: a blur of σ = 2, then the cubic spline at pixel centers."""
    line = np.random.default_rng(0).integers(0, 256, 20)
    offsets = np.arange(-8, 9)  # SciPy cuts the blur at 4 σ
    weights = np.exp(-(offsets**2) / 8)
    mirrored = np.pad(line, 8, mode="reflect").astype(float)
    blurred = np.array([mirrored[i : i + 17] @ weights for i in range(20)]) / weights.sum()
    # A spline's coefficients c solve (c[i-1] + 4 c[i] + c[i+1]) / 6 = y[i]; far from the border its
    # value at a pixel is that pixel's, and the centers of the result lie on pixels 2, 7, 12 and 17.
    expected = blurred[[2, 7, 12, 17]].clip(line.min(), line.max())
    result = resized(gray(np.tile(line, (20, 1))), 4, "cubic")
    np.testing.assert_allclose(result[0, :, 0], expected, atol=0.51)
    np.testing.assert_array_equal(result, result[:1].repeat(4, axis=0))


def test_cubic_keeps_to_the_range_of_the_image_and_to_the_crop():
    image = gray(np.where(np.arange(40) < 20, 40, 200)[None].repeat(20, 0))
    whole = resized(image[:, 10:30], 4, "cubic")
    cropped = View(height=4, width=4, channels=3, resize="cubic", crop=(10, 0, 20, 20)).frame(image)
    np.testing.assert_array_equal(cropped, whole)
    assert (whole.min(), whole.max()) >= (40, 40)
    assert whole.max() <= 200
    assert whole[0, 0, 0] < whole[0, 1, 0] < whole[0, 2, 0] < whole[0, 3, 0]
