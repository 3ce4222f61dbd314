"""How low the hidden side of an object can be where a camera looked through under its edge."""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from scipy import ndimage
from scipy.spatial import cKDTree

from instascene_ros.models.closure import Seen

FOOT_M = 0.008  # what was seen lower than this above the base stands on it
CLEAR_M = 0.006  # above the base, where the surface that it stands on ends the view
SKIN_VOXELS = 2  # under the lowest seen surface, where the edge of free space is uncertain
MIN_FREE = 0.9  # of what is under an edge that hangs over


def above_underside(
    seen: Seen, closed: Bool[np.ndarray, "X Y Z"], up: Float64[np.ndarray, " 3"]
) -> Bool[np.ndarray, "X Y Z"]:
    """Voxels that are not below the underside of the closed shape, which reaches down to its base.

    Each column follows the nearest one that shows how the object ends below: on its base, or hanging over. What hangs
    over is taken to be round, as thick as it is wide seen from above: a surface that is tilted down by `a` lies
    `sin(a)` half widths below the middle. So a handle ends just below its edge, and a bowl's flank reaches its foot.
    """
    grid, own = seen.grid, seen.evidence.near_surface
    centers_m = grid.centers_m().reshape(*grid.shape, 3)
    heights_m = centers_m[0, 0] @ up  # the grid stands upright: every layer is level
    lowest = np.where(own.any(2), own.argmax(2), len(heights_m))
    lowest_m = np.append(heights_m, np.inf)[lowest]
    stands = lowest_m <= seen.base_m + FOOT_M
    hangs = own.any(2) & ~stands & _free_under(seen, lowest, heights_m)
    if not hangs.any():
        return np.ones(grid.shape, bool)
    _, nearest = cKDTree(seen.points_m).query(centers_m[(*np.nonzero(hangs), lowest[hangs])])
    below_middle = np.zeros(hangs.shape, np.float32)  # half widths
    below_middle[hangs] = np.clip(-seen.normals[nearest] @ up, 0, 1)
    x, y = ndimage.distance_transform_edt(~(stands | hangs), return_distances=False, return_indices=True)
    edge_m = np.where(stands[x, y], -np.inf, lowest_m[x, y] - grid.voxel_m)
    half_width_m = _half_width(closed.any(2)) * grid.voxel_m
    return heights_m >= (edge_m - (1 - below_middle[x, y]) * half_width_m)[..., None]


def _free_under(
    seen: Seen, lowest: Int64[np.ndarray, "X Y"], heights_m: Float64[np.ndarray, " Z"]
) -> Bool[np.ndarray, "X Y"]:
    """Columns whose voxels between the base and the lowest seen surface were seen through."""
    under = np.arange(len(heights_m)) < (lowest - SKIN_VOXELS)[..., None]
    under &= heights_m > seen.base_m + CLEAR_M
    count = under.sum(2)
    return (count >= SKIN_VOXELS) & ((under & seen.evidence.free).sum(2) >= MIN_FREE * count)


def _half_width(area: Bool[np.ndarray, "X Y"]) -> Float32[np.ndarray, "X Y"]:
    """Radius (cells) of the largest disc within the area that holds each of its cells; 0 elsewhere."""
    radius = np.zeros(area.shape, np.float32)
    depth = ndimage.distance_transform_edt(area)
    for step in range(1, int(depth.max()) + 1):
        radius[area & (ndimage.distance_transform_edt(depth < step) < step)] = step
    return radius
