"""Colour, depth and normals of the map from one view, through any backend."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from instascene_ros.core.camera import Camera
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.rendering.contract import Rasterizer, Trace

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
    R_world_camera, t_world_camera = _pose_tensors(T_world_camera, gaussians.device)
    means_camera = (gaussians.means_m - t_world_camera) @ R_world_camera  # [N 3]
    normals_camera = gaussians.normals @ R_world_camera  # [N 3]
    offsets = (normals_camera * means_camera).sum(-1, keepdim=True)  # [N 1]
    toward = torch.where(offsets > 0, -1.0, 1.0)  # turn each disc to face the camera: n.p < 0
    features = torch.cat([gaussians.colors, normals_camera * toward, offsets * toward], dim=-1)  # [N 7]
    blended = rasterizer(gaussians, features, camera, T_world_camera, min_trace_weight)
    rgb, normal, offset = blended.features.split([3, 3, 1], dim=-1)
    rays = torch.from_numpy(camera.rays()).to(gaussians.device)
    cosine = (normal * rays).sum(-1)  # [H W], negative where a surface faces the camera
    seen = cosine < -MIN_COSINE * blended.alpha * rays.norm(dim=-1)
    depth_m = torch.where(seen, offset[..., 0] / torch.where(seen, cosine, -torch.ones_like(cosine)), 0.0)
    return Rendering(rgb, depth_m, torch.nn.functional.normalize(normal, dim=-1), blended.alpha, blended.trace)


def _pose_tensors(T_a_b: Float64[np.ndarray, "4 4"], device: torch.device) -> tuple[Tensor, Tensor]:
    T = torch.from_numpy(T_a_b.astype(np.float32)).to(device)
    return T[:3, :3], T[:3, 3]
