"""Which instances are no objects: support surfaces and rooms, told from their shape alone.

An instance is background when it is
- flat and large: most of its points lie on one plane, and that is longer than `max_flat_size_m` and half as wide
  (table, floor, wall; a placemat or a tray is smaller, a large box has faces in several planes);
- flat and never seen whole: the image border has cut it off in every view so far, as it does with a table from near;
- hollow and large: its surfaces face inwards (a corner of a room, floor and wall in one mask);
- or larger than any object (`max_object_size_m`).
"""

import numpy as np
from jaxtyping import Bool

from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.shape import Samples

TRIM = 0.05
MIN_ASPECT = 0.5  # width per length of a support surface, of `max_flat_size_m`
INWARD_SHARE = 0.6  # of the surface that faces inwards in a corner of a room


def is_background(
    samples: Samples, seen_whole: Bool[np.ndarray, " K"], config: TrackingConfig
) -> Bool[np.ndarray, " K"]:
    """Whether each instance is a support surface or a room; `seen_whole`: in at least one view."""
    axes = samples.principal_axes()
    low, middle, high = samples.quantiles(axes, (TRIM, 0.5, 1 - TRIM))
    width_m, length_m = np.sort(high - low, axis=1)[:, 1:].T
    count = np.maximum(samples.valid.sum(axis=1), 1)
    off_plane_m = np.abs((samples.points_m @ axes[:, :, :1].astype(np.float32))[..., 0] - middle[:, :1])
    flat = ((off_plane_m < config.flat_thickness_m) & samples.valid).sum(axis=1) >= config.min_flat_share * count
    middle_m = np.einsum("kij,kj->ki", axes, (low + high) / 2).astype(np.float32)
    outward = np.einsum("kbi,kbi->kb", samples.normals, samples.points_m - middle_m[:, None])
    hollow = ((outward < 0) & samples.valid).sum(axis=1) >= INWARD_SHARE * count
    wide = (length_m > config.max_flat_size_m) & (width_m > MIN_ASPECT * config.max_flat_size_m)
    return (flat & (wide | ~seen_whole)) | (hollow & wide) | (length_m > config.max_object_size_m)
