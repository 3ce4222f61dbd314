"""What the views of one object say about the space around it: free, on its surface, hidden."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int16, Int64, UInt8
from scipy import ndimage

from instascene_ros.core.geometry import inverse, normals_of_depth, project, transform
from instascene_ros.core.objects import MASK_OBJECT, MASK_OTHER, ObjectView
from instascene_ros.core.volume import VoxelGrid

CLEAR_M = 0.02  # no depth noise reaches this far
BACK_M = 0.004  # a surface says nothing about what is further behind it than this
WITHIN_M = 0.02  # so far behind its surface a thing may go on


@dataclass(frozen=True)
class Evidence:
    """Counts and distances per voxel of a grid, gathered from all views."""

    grid: VoxelGrid
    signed_m: Float32[
        np.ndarray, "X Y Z"
    ]  # mean signed distance to the seen surface, + in front; NaN where nothing is known
    weight: Float32[np.ndarray, "X Y Z"]  # how much of the object's own surface was seen right there
    free_views: UInt8[np.ndarray, "X Y Z"]  # views that looked through the voxel
    clear_views: UInt8[np.ndarray, "X Y Z"]  # of those, views that saw nothing until far behind the voxel
    taken_views: UInt8[np.ndarray, "X Y Z"]  # views in which the surface of something else lies there
    within_views: Int16[np.ndarray, "X Y Z"]  # in which it lies in something else, less those in which in the object
    within_m: Float32[np.ndarray, "X Y Z"]  # how deep behind the surface of something else at least; inf: behind none

    @property
    def free(self) -> Bool[np.ndarray, "X Y Z"]:
        """Voxels that are certainly not the object's: seen through, and not by one doubtful view alone.

        One view is enough where it looked far beyond and no view saw the object's surface.
        """
        through = (self.free_views >= 2) & (np.nan_to_num(self.signed_m, nan=1.0) > 0)
        return through | ((self.clear_views >= 1) & (self.weight == 0))

    @property
    def taken(self) -> Bool[np.ndarray, "X Y Z"]:
        """Voxels on the surface of something else."""
        return (self.taken_views >= 2) & (self.taken_views > self.weight)

    @property
    def filled(self) -> Bool[np.ndarray, "X Y Z"]:
        """Voxels of other things: on their surface, or behind it and nearer to it than to what was seen of the object.

        What a neighbour hides can be either's. This is the better guess where nothing tells how the object goes on.
        """
        within = (self.within_views >= 2) & (self.within_views > self.weight)
        own = self.near_surface
        if own.any():
            within &= self.within_m <= self.grid.voxel_m * ndimage.distance_transform_edt(~own)
        return self.taken | within

    @property
    def near_surface(self) -> Bool[np.ndarray, "X Y Z"]:
        """Voxels at the observed surface of the object."""
        return (self.weight > 0.3) & (np.abs(np.nan_to_num(self.signed_m, nan=1.0)) < self.grid.voxel_m)


def gather_evidence(grid: VoxelGrid, views: Sequence[ObjectView], noise_m: float) -> Evidence:
    """Look at every voxel from every view.

    A voxel that projects in front of the observed depth is free; pixels without depth, and pixels where something
    nearer hides the object, say nothing. `noise_m` is the depth noise to tolerate: surfaces are averaged over
    `3 noise_m` in front of them.
    """
    centers_m = grid.centers_m()
    front_m = max(3 * noise_m, 1.5 * grid.voxel_m)
    total, weight = np.zeros(grid.size, np.float32), np.zeros(grid.size, np.float32)
    own = np.zeros(grid.size, np.float32)
    free, clear, taken = (np.zeros(grid.size, np.uint8) for _ in range(3))
    within, within_m = np.zeros(grid.size, np.int16), np.full(grid.size, np.inf, np.float32)
    for view in views:
        sight = _look(view, centers_m)
        rows, distance_m, mask = sight.rows, sight.distance_m, sight.mask
        is_free = distance_m > front_m
        is_own = (mask == MASK_OBJECT) & (distance_m > -BACK_M) & ~is_free
        is_taken = (mask == MASK_OTHER) & (np.abs(distance_m) <= front_m)
        counts = is_free | is_own
        w = np.where(is_own, np.maximum(sight.cosine, 0.1), 0.5).astype(np.float32)
        total[rows[counts]] += (w * np.minimum(distance_m, front_m))[counts]
        weight[rows[counts]] += w[counts]
        own[rows[is_own]] += w[is_own]
        free[rows[is_free]] += 1
        clear[rows[distance_m > CLEAR_M]] += 1
        taken[rows[is_taken]] += 1
        inside, is_object = (sight.depth_m > 0) & (sight.depth_m < WITHIN_M), mask == MASK_OBJECT
        within[rows[inside]] += np.where(is_object[inside], -1, 1).astype(np.int16)
        others = inside & ~is_object
        within_m[rows[others]] = np.minimum(within_m[rows[others]], sight.depth_m[others])
    with np.errstate(invalid="ignore", divide="ignore"):
        signed_m = np.where(weight > 0, total / weight, np.nan).astype(np.float32)
    shape = grid.shape
    return Evidence(
        grid,
        signed_m.reshape(shape),
        own.reshape(shape),
        free.reshape(shape),
        clear.reshape(shape),
        taken.reshape(shape),
        within.reshape(shape),
        within_m.reshape(shape),
    )


@dataclass(frozen=True)
class _Sight:
    """What one view says of the points that fall on a pixel with depth."""

    rows: Int64[np.ndarray, " R"]  # which points
    distance_m: Float32[np.ndarray, " R"]  # how far each lies in front of that depth, along z
    mask: UInt8[np.ndarray, " R"]
    cosine: Float32[np.ndarray, " R"]  # between ray and surface, 0 unknown

    @property
    def depth_m(self) -> Float32[np.ndarray, " R"]:
        """How deep each point lies behind the surface there, square to it; negative in front."""
        return -self.distance_m * np.where(self.cosine > 0, self.cosine, np.float32(1))


def _look(view: ObjectView, points_m: Float32[np.ndarray, "N 3"]) -> _Sight:
    pixels, z = project(transform(inverse(view.T_world_camera), points_m), view.camera)
    with np.errstate(invalid="ignore"):
        u, v = np.rint(pixels[:, 0]), np.rint(pixels[:, 1])
        inside = (z > 0) & (u >= 0) & (v >= 0) & (u < view.camera.width) & (v < view.camera.height)
    rows = np.flatnonzero(inside)
    u, v = u[rows].astype(np.int64), v[rows].astype(np.int64)
    known = view.depth_m[v, u] > 0
    rows, u, v = rows[known], u[known], v[known]
    normals = normals_of_depth(view.depth_m, view.camera)
    rays = view.camera.rays()
    cosine = -(normals * rays).sum(-1) / np.linalg.norm(rays, axis=-1)
    return _Sight(rows, view.depth_m[v, u] - z[rows], view.mask[v, u], cosine[v, u])
