"""What the views of one object say about the space around it: free, on its surface, hidden."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int16, UInt8
from scipy import ndimage

from instascene_ros.core.geometry import inverse
from instascene_ros.core.objects import ObjectView
from instascene_ros.core.rendering.cpu_sights import note_sights
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
        return self._through | ((self.clear_views >= 1) & (self.weight == 0))

    @property
    def taken(self) -> Bool[np.ndarray, "X Y Z"]:
        """Voxels on the surface of something else."""
        return self._taken_in(2)

    @property
    def cut(self) -> Bool[np.ndarray, "X Y Z"]:
        """Voxels that a solid cannot fill: seen through by two views, on another's surface in three.

        `taken` asks for two: enough to keep a guess away, but where masks end a pixel early it takes the object's rim.
        """
        return self._through | self._taken_in(3)

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

    @property
    def _through(self) -> Bool[np.ndarray, "X Y Z"]:
        return (self.free_views >= 2) & (np.nan_to_num(self.signed_m, nan=1.0) > 0)

    def _taken_in(self, views: int) -> Bool[np.ndarray, "X Y Z"]:
        return (self.taken_views >= views) & (self.taken_views > self.weight)


def gather_evidence(grid: VoxelGrid, views: Sequence[ObjectView], noise_m: float) -> Evidence:
    """Look at every voxel from every view.

    A voxel that projects in front of the observed depth is free; pixels without depth, and pixels where something
    nearer hides the object, say nothing. `noise_m` is the depth noise to tolerate: surfaces are averaged over
    `3 noise_m` in front of them.
    """
    centers_m = grid.centers_m()
    front_m = max(3 * noise_m, 1.5 * grid.voxel_m)
    total, weight, own = (np.zeros(grid.size, np.float32) for _ in range(3))
    free, clear, taken = (np.zeros(grid.size, np.uint8) for _ in range(3))
    within, within_m = np.zeros(grid.size, np.int16), np.full(grid.size, np.inf, np.float32)
    for view in views:
        note_sights(
            centers_m, view.camera, inverse(view.T_world_camera), (view.depth_m, view.mask, view.cosines),
            (total, weight, own), (free, clear, taken, within), within_m, (front_m, CLEAR_M, BACK_M, WITHIN_M),
        )  # fmt: skip
    with np.errstate(invalid="ignore", divide="ignore"):
        signed_m = np.where(weight > 0, total / weight, np.nan).astype(np.float32)
    columns = (signed_m, own, free, clear, taken, within, within_m)
    return Evidence(grid, *(column.reshape(grid.shape) for column in columns))
