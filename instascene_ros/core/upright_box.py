"""The upright box of an object: as small as can be while one axis stays vertical."""

import numpy as np
from jaxtyping import Float, Float32, Float64

from instascene_ros.core.views import perpendicular

STEP_DEG = 1.0
TRIM = 0.01  # share of the outermost points on each side, which are the noisiest


def upright_axes(points_m: Float[np.ndarray, "P 3"], up: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, "3 3"]:
    """R_world_box: z = up, x along the longer side of the smallest rectangle around the points seen from above.

    The outermost percent of the points is not trusted.
    """
    sides = perpendicular(up)
    flat = points_m @ sides.T  # [P 2]
    angles = np.radians(np.arange(0, 90, STEP_DEG))
    turned = np.stack([np.cos(angles), np.sin(angles)], axis=1), np.stack([-np.sin(angles), np.cos(angles)], axis=1)
    last = len(points_m) - 1
    ends = [round(last * TRIM), round(last * (1 - TRIM))]
    # Sorted along contiguous memory [A P]; percentiles, which interpolate, take ten times as long.
    length, width = (np.ptp(np.sort(t @ flat.T, axis=1)[:, ends], axis=1) for t in turned)
    best = int((length * width).argmin())
    angle = angles[best] if length[best] >= width[best] else angles[best] + np.pi / 2
    x = np.cos(angle) * sides[0] + np.sin(angle) * sides[1]
    return np.stack([x, np.cross(up, x), up], axis=1)


def upright_box(
    points_m: Float[np.ndarray, "P 3"], up: Float64[np.ndarray, " 3"]
) -> tuple[Float64[np.ndarray, "4 4"], Float32[np.ndarray, " 3"]]:
    """(T_world_box at the box centre, full extents in m) of the box that holds every point."""
    R_world_box = upright_axes(points_m, up)
    local = points_m.astype(np.float64) @ R_world_box
    low, high = local.min(0), local.max(0)
    T_world_box = np.eye(4)
    T_world_box[:3, :3], T_world_box[:3, 3] = R_world_box, R_world_box @ ((low + high) / 2)
    return T_world_box, (high - low).astype(np.float32)
