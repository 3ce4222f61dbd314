"""A dense voxel grid placed anywhere in the world."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Shaped

from instascene_ros.core.geometry import inverse, transform


@dataclass(frozen=True)
class VoxelGrid:
    """Voxel (i, j, k) has its centre at `T_world_grid @ (voxel_m * (i, j, k))`."""

    T_world_grid: Float64[np.ndarray, "4 4"]  # rigid: grid axes in the world, origin at the centre of voxel (0, 0, 0)
    voxel_m: float
    shape: tuple[int, int, int]

    @classmethod
    def around(
        cls,
        points_m: Float[np.ndarray, "P 3"],
        R_world_grid: Float64[np.ndarray, "3 3"],
        margin_m: float,
        max_voxels: int,
        smallest_m: float,
    ) -> "VoxelGrid":
        """The grid along the given axes that holds the points and a margin, as fine as `max_voxels` allows."""
        local = points_m @ R_world_grid
        low, high = local.min(0) - margin_m, local.max(0) + margin_m
        voxel_m = max(smallest_m, float((np.prod(high - low) / max_voxels) ** (1 / 3)))
        shape = tuple(int(n) for n in np.ceil((high - low) / voxel_m).astype(int) + 1)
        T_world_grid = np.eye(4)
        T_world_grid[:3, :3], T_world_grid[:3, 3] = R_world_grid, R_world_grid @ low
        return cls(T_world_grid, voxel_m, shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def centers_m(self) -> Float32[np.ndarray, "N 3"]:
        """World position of every voxel centre, in C order."""
        axes = [np.arange(n, dtype=np.float32) * self.voxel_m for n in self.shape]
        local = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        return transform(self.T_world_grid, local)

    def coordinates(self, points_m: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 3"]:
        """Fractional voxel indices of world points."""
        return transform(inverse(self.T_world_grid), points_m) / self.voxel_m

    def lookup(
        self, volume: Shaped[np.ndarray, "X Y Z"], points_m: Float[np.ndarray, "P 3"], outside: float | bool
    ) -> Shaped[np.ndarray, " P"]:
        """Value of the voxel that holds each world point; `outside` for points beyond the grid."""
        index = np.rint(self.coordinates(points_m)).astype(np.int64)
        inside = ((index >= 0) & (index < self.shape)).all(-1)
        index[~inside] = 0
        return np.where(inside, volume[tuple(index.T)], outside).astype(volume.dtype)
