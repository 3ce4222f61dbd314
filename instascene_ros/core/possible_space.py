"""Where an object may be at all: neither seen through, nor filled by something else, nor below what it stands on."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from scipy import ndimage

from instascene_ros.core.camera import Camera
from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.free_space import gather_evidence
from instascene_ros.core.object_sphere import ObjectSphere
from instascene_ros.core.objects import ObjectObservation
from instascene_ros.core.seen_points import seen_points
from instascene_ros.core.support import Ground
from instascene_ros.core.upright_box import upright_axes
from instascene_ros.core.volume import VoxelGrid

SAMPLES = 48  # of a ray, on its way through the object's sphere
MAX_VOXELS = 60_000
RIM_PX = 1  # silhouettes are not sharper than this


@dataclass(frozen=True)
class PossibleSpace:
    """Voxels of the cube around the object's sphere."""

    sphere: ObjectSphere
    grid: VoxelGrid
    possible: Bool[np.ndarray, "X Y Z"]
    seen: Bool[np.ndarray, "X Y Z"]  # holds surface that was seen of the object
    floor_m: float | None  # height along up that the object cannot reach below, where what it stands on was seen

    @classmethod
    def within(
        cls, sphere: ObjectSphere, observation: ObjectObservation, config: CompletionConfig
    ) -> "PossibleSpace":
        """By the evidence of all views, and what the object stands on where that was seen."""
        corners_m = sphere.center_m + sphere.radius_m * np.array([[-1.0] * 3, [1.0] * 3])
        axes = upright_axes(corners_m, observation.up)
        ends_m = sphere.center_m + sphere.radius_m * np.concatenate([axes.T, -axes.T])
        grid = VoxelGrid.around(ends_m, axes, 0.0, min(config.max_voxels, MAX_VOXELS), config.min_voxel_m)
        evidence = gather_evidence(grid, observation.views, config.depth_noise_m)
        points_m = seen_points(observation.views, config.min_voxel_m).points_m
        seen = _holding(grid, points_m)
        possible = (~evidence.free & ~evidence.taken) | seen
        floor_m = Ground.seen_under(observation, config.min_voxel_m).floor_m
        if floor_m is not None:
            possible &= (grid.centers_m() @ observation.up > floor_m - grid.voxel_m).reshape(grid.shape)
        return cls(sphere, grid, possible, seen, floor_m)

    def holds(self, points_m: Float[np.ndarray, "P 3"]) -> Bool[np.ndarray, " P"]:
        """Which points lie in possible voxels, or one voxel beside: a surface borders on free space."""
        return self.grid.lookup(ndimage.binary_dilation(self.possible), points_m, False)

    def reaches(self, camera: Camera, T_world_camera: Float64[np.ndarray, "4 4"]) -> Bool[np.ndarray, "H W"]:
        """Pixels whose ray meets a possible voxel; a rim around them counts, too."""
        near, _ = self.along(camera, T_world_camera)
        return ndimage.binary_dilation(np.isfinite(near), iterations=RIM_PX)

    def along(self, camera: Camera, T_world_camera: Float64[np.ndarray, "4 4"]) -> Float32[np.ndarray, "2 H W"]:
        """Nearness of the first and of the last possible voxel on each pixel's ray; NaN where there is none.

        Nearness is 1 one radius in front of the sphere's middle, along the optical axis, and -1 as far behind it.
        """
        distance_m = float(np.linalg.norm(T_world_camera[:3, 3] - self.sphere.center_m))
        rays = (camera.rays() @ T_world_camera[:3, :3].T).astype(np.float64)
        ends = np.full((2, *rays.shape[:2]), np.nan, np.float32)
        for nearness in np.linspace(1, -1, SAMPLES):
            points_m = T_world_camera[:3, 3] + (distance_m - nearness * self.sphere.radius_m) * rays
            hit = self.grid.lookup(self.possible, points_m.reshape(-1, 3), False).reshape(rays.shape[:2])
            ends[0][hit & np.isnan(ends[0])] = nearness
            ends[1][hit] = nearness
        return ends


def _holding(grid: VoxelGrid, points_m: Float32[np.ndarray, "P 3"]) -> Bool[np.ndarray, "X Y Z"]:
    """Voxels with seen surface in them, whatever is seen around: a thin wall lies between their centres."""
    index = np.rint(grid.coordinates(points_m)).astype(np.int64)
    index = index[((index >= 0) & (index < grid.shape)).all(-1)]
    holding = np.zeros(grid.shape, bool)
    holding[tuple(index.T)] = True
    return holding
