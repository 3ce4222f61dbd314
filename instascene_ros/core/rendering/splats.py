"""Surfels in the image, as the gsplat backend's kernels pass them on."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int32
from torch import Tensor

from instascene_ros.core.camera import Camera


class View(NamedTuple):
    """Camera from world, and intrinsics with pixel centres at half integers, as gsplat has them."""

    R: tuple[float, ...]  # [9] row by row
    t: tuple[float, ...]  # [3] camera centre in the world
    K: tuple[float, float, float, float]  # fx fy cx cy, px

    @classmethod
    def of(cls, camera: Camera, T_world_camera: Float64[np.ndarray, "4 4"]) -> "View":
        R_camera_world, t_world_camera = T_world_camera[:3, :3].T, T_world_camera[:3, 3]
        K = (camera.fx, camera.fy, camera.cx + 0.5, camera.cy + 0.5)
        return cls(tuple(R_camera_world.ravel().tolist()), tuple(t_world_camera.tolist()), K)


class Splats(NamedTuple):
    """Surfels in the image."""

    ray_transforms: Float32[Tensor, "N 9"]  # (u, v, 1) on the disc to homogeneous pixels, row by row
    centers_px: Float32[Tensor, "N 2"]
    opacities: Float32[Tensor, " N"]
    depths_m: Float32[Tensor, " N"]
    middles_px: Float32[Tensor, "N 2"]  # of the box where alpha can reach `MIN_ALPHA`
    radii_px: Int32[Tensor, "N 2"]  # of that box; 0 = not in view
