"""Errors of an RGB-D camera: depth noise, holes at edges, disparity steps; exposure, white balance and colour noise."""

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

from instascene_ros.core.camera import Camera
from instascene_ros.tools.scene_generator.render import View

NATIVE_WIDTH_PX = 640  # the sensor's errors are stated for this width; smaller images are of the same sensor
NEAR_M, FAR_M = 0.25, 2.5
BASELINE_PX_M = 525 * 0.075  # focal length (native px) times baseline
DISPARITY_STEP_PX = 1 / 8
EDGE_DROPOUT, BLIND_DROPOUT = 0.45, 0.003
GRAZING_COS = np.sin(np.radians(15.0))


def noisy_depth(view: View, camera: Camera, rng: np.random.Generator) -> Float32[np.ndarray, "H W"]:
    """Depth as the sensor reports it, m; 0 = missing. Noise is independent from frame to frame."""
    scale = camera.width / NATIVE_WIDTH_PX
    edge = _edges(view.depth_m)
    z = _jittered(view.depth_m, edge, max(0.5 * scale, 0.3), rng)
    sigma_m = 1.2e-3 + 1.9e-3 * (z - 0.4) ** 2
    white = rng.standard_normal(z.shape)
    blurred = _correlated(z.shape, 1.8 * scale, rng)
    z = z + sigma_m * (np.sqrt(0.12) * white + np.sqrt(0.88) * blurred)
    disparity = np.round(BASELINE_PX_M / np.maximum(z, 1e-3) / DISPARITY_STEP_PX) * DISPARITY_STEP_PX
    z = BASELINE_PX_M / np.maximum(disparity, 1e-6)
    lost = _dropout(view, edge, scale, rng) | (z < NEAR_M) | (z > FAR_M)
    return np.where(lost, 0, z).astype(np.float32)


def noisy_colour(colour: Float32[np.ndarray, "H W 3"], rng: np.random.Generator) -> Float32[np.ndarray, "H W 3"]:
    """Exposure and white balance that wander a little, and pixel noise; sRGB 0..1."""
    gain = (1 + rng.normal(0, 0.015)) * (1 + rng.normal(0, 0.008, 3))
    return (colour * gain + rng.normal(0, 0.006, colour.shape)).clip(0, 1).astype(np.float32)


def _edges(depth_m: Float32[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Pixels beside a jump in depth."""
    jump = ndimage.maximum_filter(depth_m, 3) - ndimage.minimum_filter(depth_m, 3)
    # A slanted plane also changes from pixel to pixel; a jump does so faster than its surroundings.
    slope = np.abs(ndimage.laplace(depth_m.astype(np.float64), mode="nearest"))
    return (jump > 0.02) & ((slope > 0.006) | (jump > 0.08))


def _jittered(
    depth_m: Float32[np.ndarray, "H W"], edge: Bool[np.ndarray, "H W"], sigma_px: float, rng: np.random.Generator
) -> Float32[np.ndarray, "H W"]:
    """Depth edges that wobble: near them each pixel looks a little beside its own ray."""
    v, u = np.indices(depth_m.shape)
    du, dv = rng.normal(0, sigma_px, (2, *depth_m.shape)).round().astype(int)
    near_edge = ndimage.binary_dilation(edge)
    rows = np.clip(v + dv * near_edge, 0, depth_m.shape[0] - 1)
    columns = np.clip(u + du * near_edge, 0, depth_m.shape[1] - 1)
    return depth_m[rows, columns]


def _correlated(shape: tuple[int, int], sigma_px: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of unit variance, blurred by `sigma_px`."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), sigma_px, mode="wrap")
    return noise / noise.std()


def _dropout(
    view: View, edge: Bool[np.ndarray, "H W"], scale: float, rng: np.random.Generator
) -> Bool[np.ndarray, "H W"]:
    """Holes: in blobs along edges, on surfaces seen at a grazing angle, and a few anywhere."""
    blobs = _correlated(view.depth_m.shape, max(1.5 * scale, 0.8), rng)
    # The band of edge pixels is as many pixels wide in a small image, where each stands for more of the sensor's.
    at_edge = edge & (blobs > np.quantile(blobs, 1 - EDGE_DROPOUT * min(1.0, np.sqrt(scale))))
    grazing = rng.random(view.depth_m.shape) > np.clip(view.facing / GRAZING_COS, 0, 1)
    specks = rng.random(view.depth_m.shape) < BLIND_DROPOUT
    return at_edge | grazing | specks | (view.depth_m <= 0)
