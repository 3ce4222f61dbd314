"""Bowls and cups: what was seen from inside is a wall, not the top of a solid."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64
from scipy.spatial import ConvexHull, QhullError, cKDTree

from instascene_ros.core.views import perpendicular
from instascene_ros.models.closure import Seen

WALL_M = 0.004  # of household bowls and cups, about as thin as voxels can hold
MAX_VOXEL_M = 0.005  # coarser cells would break the wall up, and lose what was seen of it
FACED_M = 0.02  # of the convex hull in front of a seen point: it lies in a hollow
MAX_BEHIND_M = 0.012  # of the hull behind such a point, near the rim: a ring is thicker
MIN_HOLLOW = 0.15  # of the seen points
MIN_FLOOR = 0.1  # of those, where a floor was seen
LEVEL = 0.7  # cosine between a floor's normal and up
SECTORS, MIN_SECTORS = 8, 7  # around the hollow, in which a rim rises
MIN_RISE, NEAR_RIM = 0.5, 0.7  # of the hollow's depth


@dataclass(frozen=True)
class Container:
    """An open thing whose inside was seen."""

    hollow: Bool[np.ndarray, " P"]  # which seen points lie inside
    has_floor: bool  # its floor is among them

    def wall_m(self, seen: Seen, guess_m: Float32[np.ndarray, "X Y Z"]) -> Float32[np.ndarray, "X Y Z"]:
        """Signed distance (m, negative inside) to what the wall may fill of a solid `guess_m`.

        Where a floor was seen: a wall behind what was seen. Otherwise it is hidden below what shows of the inside: a
        wall within the guess, whose open top the cameras looked into.
        """
        centers_m = seen.grid.centers_m()
        away_m, nearest = cKDTree(seen.points_m).query(centers_m)
        behind_m = -((centers_m - seen.points_m[nearest]) * seen.normals[nearest]).sum(-1)
        thickness_m = max(WALL_M, 1.5 * seen.grid.voxel_m)
        off_wall_m = np.maximum(behind_m - thickness_m, -behind_m)  # in front is room, even where things lie in it
        beyond_m = np.where(self.hollow[nearest], off_wall_m, -thickness_m).reshape(seen.grid.shape)
        within_m = np.full(seen.grid.shape, -thickness_m)
        if not self.has_floor:  # what was seen stays, wherever in the guess it lies
            within_m = np.minimum(-thickness_m - guess_m, away_m.reshape(seen.grid.shape) - thickness_m)
        return np.maximum(beyond_m, within_m).astype(np.float32)


def container_of(seen: Seen, up: Float64[np.ndarray, " 3"]) -> Container | None:
    """Recognised by an inside that was seen, thin walls, and a rim all around; None for anything else."""
    if seen.grid.voxel_m > MAX_VOXEL_M:
        return None
    faced_m, behind_m = _hull_along_normals(seen)
    hollow, heights = faced_m > FACED_M, seen.points_m @ up
    if hollow.mean() < MIN_HOLLOW:
        return None
    floor = hollow & (seen.normals @ up > LEVEL)
    has_floor = floor.sum() > MIN_FLOOR * hollow.sum()
    low_m, top_m = float(np.percentile(heights[hollow], 5)), float(np.percentile(heights, 99))
    upper = hollow & ~floor & (heights > low_m + NEAR_RIM * (top_m - low_m))
    first, second = perpendicular(up)
    offset = seen.points_m - seen.points_m[hollow].mean(0)
    sector = ((np.arctan2(offset @ second, offset @ first) / (2 * np.pi) % 1) * SECTORS).astype(int)
    rim = heights > low_m + MIN_RISE * (top_m - low_m)
    thin = upper.any() and float(np.median(behind_m[upper])) < MAX_BEHIND_M
    return Container(hollow, bool(has_floor)) if thin and len(np.unique(sector[rim])) >= MIN_SECTORS else None


def _hull_along_normals(seen: Seen) -> tuple[Float32[np.ndarray, " P"], Float32[np.ndarray, " P"]]:
    """How much of the convex hull lies in front of and behind each point, along its normal, m."""
    front_m, behind_m = (np.full(len(seen.points_m), np.inf, np.float32) for _ in range(2))
    try:
        hull = ConvexHull(seen.points_m.astype(np.float64))
    except (QhullError, ValueError):
        return np.zeros_like(front_m), behind_m
    for *normal, offset in np.unique(hull.equations.astype(np.float32).round(5), axis=0):
        inside_m = -(seen.points_m @ np.array(normal, np.float32) + offset)
        slope = seen.normals @ np.array(normal, np.float32)
        reach_m = inside_m / np.maximum(np.abs(slope), 1e-6)
        front_m = np.where(slope > 0, np.minimum(front_m, reach_m), front_m)
        behind_m = np.where(slope < 0, np.minimum(behind_m, reach_m), behind_m)
    return front_m, behind_m
