"""The upright box of an object: as small as can be while one axis stays vertical."""

import numpy as np
from jaxtyping import Float, Float32, Float64

from instascene_ros.core.views import perpendicular

COARSE_STEP_DEG, STEP_DEG = 6.0, 1.0  # first all around, then near the best of those
TRIM = 0.01  # share of the outermost points on each side, which are the noisiest


def upright_axes(points_m: Float[np.ndarray, "P 3"], up: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, "3 3"]:
    """R_world_box: z = up, x along the longer side of the smallest rectangle around the points seen from above.

    The outermost percent of the points is not trusted.
    """
    sides = perpendicular(up)
    flat = (points_m @ sides.T).T  # [2 P]
    coarse_deg = np.arange(0, 90, COARSE_STEP_DEG)
    near_deg, _ = _smallest(flat, coarse_deg)
    best_deg, turned = _smallest(flat, near_deg + np.arange(-COARSE_STEP_DEG, COARSE_STEP_DEG + STEP_DEG, STEP_DEG))
    angle = np.radians(best_deg + 90 * turned)
    x = np.cos(angle) * sides[0] + np.sin(angle) * sides[1]
    return np.stack([x, np.cross(up, x), up], axis=1)


def _smallest(flat: Float[np.ndarray, "2 P"], angles_deg: Float64[np.ndarray, " A"]) -> tuple[float, bool]:
    """Angle (deg) of the smallest rectangle, and whether the side at a right angle to it is the longer one."""
    angles, last = np.radians(angles_deg), flat.shape[1] - 1
    cosine, sine = np.cos(angles), np.sin(angles)
    along = np.stack([np.stack([cosine, sine], axis=1), np.stack([-sine, cosine], axis=1)]) @ flat  # [2 A P]
    # Sorted along contiguous memory; percentiles, which interpolate, take ten times as long.
    along.sort(axis=-1)
    length, width = along[..., round(last * (1 - TRIM))] - along[..., round(last * TRIM)]
    best = int((length * width).argmin())
    return float(angles_deg[best]), bool(width[best] > length[best])


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
