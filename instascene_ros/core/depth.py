"""What a depth image can be trusted for: noise, edges, smoothing."""

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

from instascene_ros.core.config import MappingConfig


def noise_m(depth_m: Float32[np.ndarray, "*shape"], config: MappingConfig) -> Float32[np.ndarray, "*shape"]:
    """One sigma of depth noise: constant plus quadratic in distance, as for stereo and structured light."""
    return (config.depth_noise_m + config.depth_noise_quadratic * depth_m**2).astype(np.float32)


def tolerance_m(depth_m: Float32[np.ndarray, "*shape"], config: MappingConfig) -> Float32[np.ndarray, "*shape"]:
    """Differences below this are noise."""
    return np.maximum(config.explained_sigmas * noise_m(depth_m, config), 0.005).astype(np.float32)


def usable(depth_m: Float32[np.ndarray, "H W"], config: MappingConfig) -> Bool[np.ndarray, "H W"]:
    """Pixels with depth inside the mapped range."""
    return (depth_m >= config.min_depth_m) & (depth_m <= config.max_depth_m)


def edges(depth_m: Float32[np.ndarray, "H W"], config: MappingConfig) -> Bool[np.ndarray, "H W"]:
    """Pixels beside a depth step: their depth may be a mixture of two surfaces (flying pixels).

    A step is what a plane through the pixel cannot explain: the second difference, which slant does not raise.
    """
    missing_far = np.where(depth_m > 0, depth_m, 1e3)
    size = 3
    ahead = ndimage.maximum_filter(missing_far, size) - missing_far
    behind = missing_far - ndimage.minimum_filter(missing_far, size)
    return (np.abs(ahead - behind) > 2 * tolerance_m(depth_m, config)) & (depth_m > 0)


def smooth(
    depth_m: Float32[np.ndarray, "H W"], config: MappingConfig, radius_px: int = 2
) -> Float32[np.ndarray, "H W"]:
    """Mean over the neighbours that lie on the same surface (within tolerance); 0 stays 0."""
    height, width = depth_m.shape
    padded = np.pad(depth_m, radius_px)
    tolerance = 2 * tolerance_m(depth_m, config)
    total, count = np.zeros_like(depth_m), np.zeros_like(depth_m)
    for dv in range(2 * radius_px + 1):
        for du in range(2 * radius_px + 1):
            neighbour = padded[dv : dv + height, du : du + width]
            # Opposite neighbours are taken in pairs, so that slant cancels out.
            opposite = padded[2 * radius_px - dv :, 2 * radius_px - du :][:height, :width]
            near = (neighbour > 0) & (opposite > 0) & (np.abs((neighbour + opposite) / 2 - depth_m) < tolerance)
            total += np.where(near, (neighbour + opposite) / 2, 0)
            count += near
    return np.where(depth_m > 0, total / np.maximum(count, 1), 0).astype(np.float32)
