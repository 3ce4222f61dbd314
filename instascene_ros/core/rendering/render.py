"""Colour, depth and normals of the map from one view, through any backend."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from instascene_ros.core.camera import Camera
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.rendering.contract import Blended, Rasterizer, Trace
from instascene_ros.core.rendering.splats import View

MIN_COSINE = 0.05  # rays flatter than 3 degrees to the blended plane have no usable depth


@dataclass(frozen=True)
class Rendering:
    """The map as one camera would see it."""

    rgb: Float32[Tensor, "H W 3"]  # 0..1, on black
    depth_m: Float32[Tensor, "H W"]  # along z; 0 where nothing is
    normal: Float32[Tensor, "H W 3"]  # unit, camera frame, facing the camera; 0 where nothing is
    alpha: Float32[Tensor, "H W"]
    trace: Trace | None = None


def render(
    rasterizer: Rasterizer,
    gaussians: GaussianMap,
    camera: Camera,
    T_world_camera: Float64[np.ndarray, "4 4"],
    min_trace_weight: float | None = None,
) -> Rendering:
    """Render the map. Depth is that of the blended plane on each pixel's ray.

    Blending the centres' depths is biased on slanted surfels; blending each surfel's plane (normal n, offset n.p)
    and intersecting the result with the ray is exact for a plane, and every backend can do it in one pass
    (PGSR, Chen et al. 2024, Eq. 5-6).
    """
    features = plane_features(gaussians, camera, T_world_camera)
    blended = rasterizer(gaussians, features, camera, T_world_camera, min_trace_weight)
    rgb, depth_m, normal = surface_of(blended, camera)
    return Rendering(rgb, depth_m, normal, blended.alpha, blended.trace)


def plane_features(
    gaussians: GaussianMap, camera: Camera, T_world_camera: Float64[np.ndarray, "4 4"]
) -> Float32[Tensor, "N 7"]:
    """What is blended: colour, normal (camera frame, facing the camera) and offset n.p < 0 of every surfel's plane."""
    if gaussians.device.type == "cuda":
        from instascene_ros.core.rendering.plane_kernels import PlaneFeatures
    else:
        from instascene_ros.core.rendering.cpu_planes import PlaneFeatures
    view = View.of(camera, T_world_camera)
    return PlaneFeatures.apply(gaussians.means_m, gaussians.quats_wxyz, gaussians.colors, view)


def surface_of(
    blended: Blended, camera: Camera
) -> tuple[Float32[Tensor, "H W 3"], Float32[Tensor, "H W"], Float32[Tensor, "H W 3"]]:
    """Colour, depth (m) and normal of blended plane features."""
    rays = ray_image(camera, blended.alpha.device)
    if not torch.is_grad_enabled():
        if rays.is_cuda:
            from instascene_ros.core.rendering.surface_kernels import surface
        else:
            from instascene_ros.core.rendering.cpu_surface import surface
        return surface(blended.features, blended.alpha, rays, MIN_COSINE)
    rgb, normal, offset = blended.features.split([3, 3, 1], dim=-1)
    cosine = (normal * rays).sum(-1)  # [H W], negative where a surface faces the camera
    seen = cosine < -MIN_COSINE * blended.alpha * rays.norm(dim=-1)
    depth_m = torch.where(seen, offset[..., 0] / torch.where(seen, cosine, -torch.ones_like(cosine)), 0.0)
    return rgb, depth_m, torch.nn.functional.normalize(normal, dim=-1)


@lru_cache(maxsize=8)
def ray_image(camera: Camera, device: torch.device | str) -> Float32[Tensor, "H W 3"]:
    """Viewing ray of every pixel in the camera frame, scaled to z = 1; made once per camera. Not to be written to."""
    return torch.from_numpy(camera.rays()).to(device)


def pose_tensors(T_a_b: Float64[np.ndarray, "4 4"], device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Rotation [3 3] and translation [3] on a device, float32."""
    T = torch.from_numpy(T_a_b.astype(np.float32)).to(device)
    return T[:3, :3], T[:3, 3]
