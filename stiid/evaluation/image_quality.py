"""Similarity of images and videos: PSNR and SSIM, as papers on video prediction report them."""

from typing import Any

import numpy as np
from scipy import ndimage

_SIGMA = 1.5  # pixels
_RADIUS = 5
_SMALLEST = 2 * _RADIUS + 1  # pixels: width and height of the window, and of an image at least
_C1, _C2 = 0.01**2, 0.03**2


def image_scores(images: Any, truth: Any) -> dict[str, np.ndarray]:
    """``psnr`` and, of images that are large enough, ``ssim`` of each image, by these names."""
    scores = {"psnr": psnr(images, truth)}
    if min(np.shape(truth)[-3:-1]) >= _SMALLEST:
        scores["ssim"] = ssim(images, truth)
    return scores


def psnr(images: Any, truth: Any) -> np.ndarray:
    """Peak signal-to-noise ratio of each image, −10 log10 of the mean squared error.

    Args:
      images: [..., H, W, C], uint8 or floats in [0, 1].
      truth: the same shape.

    Returns:
      float64 [...] in decibels, at least 0; infinite for equal images.
    """
    images, truth = _checked(images, truth)
    with np.errstate(divide="ignore"):
        return -10.0 * np.log10(((images - truth) ** 2).mean((-3, -2, -1)))


def ssim(images: Any, truth: Any) -> np.ndarray:
    """Structural similarity of each image: Wang et al., Image quality assessment, 2004.

    Local means, variances and covariance are weighted by a Gaussian of standard deviation 1.5 in a
    window of 11 x 11 pixels. The score is the mean over channels and over the places where the
    window lies within the image.

    Args:
      images: [..., H, W, C], uint8 or floats in [0, 1], at least 11 pixels wide and high.
      truth: the same shape.

    Returns:
      float64 [...] in [-1, 1]; 1 for equal images.
    """
    x, y = _checked(images, truth)
    if min(x.shape[-3:-1]) < _SMALLEST:
        raise ValueError(
            f"SSIM needs images of at least {_SMALLEST}x{_SMALLEST} pixels, got "
            f"{x.shape[-2]}x{x.shape[-3]}"
        )

    def local(values: np.ndarray) -> np.ndarray:
        for axis in (-3, -2):
            values = ndimage.gaussian_filter1d(values, _SIGMA, axis=axis, radius=_RADIUS)
        return values[..., _RADIUS:-_RADIUS, _RADIUS:-_RADIUS, :]

    mean_x, mean_y = local(x), local(y)
    var_x, var_y = local(x * x) - mean_x**2, local(y * y) - mean_y**2
    covariance = local(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (var_x + var_y + _C2)
    return (luminance * structure).mean((-3, -2, -1))


def _checked(images: Any, truth: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 in [0, 1]."""
    arrays = []
    for name, array in (("images", np.asarray(images)), ("truth", np.asarray(truth))):
        if array.dtype == np.uint8:
            array = array / 255.0
        elif not np.issubdtype(array.dtype, np.floating):
            raise ValueError(f"{name} must be uint8 or floats in [0, 1], got {array.dtype}")
        arrays.append(array.astype(np.float64))
    if arrays[0].shape != arrays[1].shape or arrays[0].ndim < 3:
        raise ValueError(
            "images and truth must have the same shape [..., H, W, C], "
            f"got {arrays[0].shape} and {arrays[1].shape}"
        )
    return arrays[0], arrays[1]
