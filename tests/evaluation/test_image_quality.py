"""PSNR and SSIM: scikit-image's numbers, closed forms, and refusals."""

import numpy as np
import pytest
from scipy import ndimage

from stiid.evaluation.image_quality import psnr, ssim


def pair(seed, channels):
    """A smooth image and a noisy copy of it, float64 [2, 24, 20, C]."""
    rng = np.random.default_rng(seed)
    truth = ndimage.gaussian_filter(rng.random((2, 24, 20, channels)), (0, 2, 2, 0), mode="wrap")
    truth = (truth - truth.min()) / (truth.max() - truth.min())
    return np.clip(truth + rng.normal(0, 0.1, truth.shape), 0, 1), truth


@pytest.mark.parametrize(
    ("seed", "channels", "ratios", "similarities"),
    [
        (0, 1, [19.937506037200734, 20.038378222428562], [0.6889491929857302, 0.6598634642175283]),
        (1, 3, [19.94291808243719, 20.06108013194011], [0.6502852054132129, 0.6074443198404292]),
    ],
)
def test_numbers_of_scikit_image(seed, channels, ratios, similarities):
    """scikit-image 0.26.0 with Wang et al.'s settings.

    gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0.
    """
    images, truth = pair(seed, channels)
    np.testing.assert_allclose(psnr(images, truth), ratios, atol=1e-9)
    np.testing.assert_allclose(ssim(images, truth), similarities, atol=1e-9)


def test_closed_forms():
    gray = np.full((3, 16, 16, 3), 0.5)
    np.testing.assert_allclose(psnr(gray, gray + 0.1), 20.0)
    assert np.isinf(psnr(gray, gray)).all()
    np.testing.assert_allclose(ssim(gray, gray), 1.0)
    # Without variance only the luminance differs.
    expected = (2 * 0.5 * 0.6 + 1e-4) / (0.5**2 + 0.6**2 + 1e-4)
    np.testing.assert_allclose(ssim(gray, gray + 0.1), expected)
    images, truth = pair(0, 1)
    np.testing.assert_allclose(ssim(images, truth), ssim(truth, images))
    assert (ssim(1 - truth, truth) < 0.5).all()


def test_bytes_are_floats_times_255():
    images, truth = (np.rint(255 * x).astype(np.uint8) for x in pair(1, 3))
    for score in (psnr, ssim):
        np.testing.assert_allclose(score(images, truth), score(images / 255, truth / 255))
    assert psnr(images[0], truth[0]).shape == ()


def test_images_that_do_not_fit_are_refused():
    images = np.zeros((2, 16, 16, 3))
    with pytest.raises(ValueError, match="same shape"):
        psnr(images, images[:1])
    with pytest.raises(ValueError, match="at least 11x11 pixels, got 16x10"):
        ssim(images[:, :10], images[:, :10])
    with pytest.raises(ValueError, match="uint8 or floats"):
        psnr(images.astype(int), images)
