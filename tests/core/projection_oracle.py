"""What the gsplat backend's kernels compute, in plain torch: the oracle of projection, extents and alpha."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from rendering_cases import CAMERA, pose
from torch import Tensor

from instascene_ros.core.camera import Camera
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import rotation_from_quats
from instascene_ros.core.rendering.contract import MAX_ALPHA, MIN_ALPHA, NEAR_M


class Projected(NamedTuple):
    """Surfels in the image. Pixel centres sit at half integers here, as gsplat has it."""

    ray_transforms: Float32[Tensor, "N 3 3"]  # (u, v, 1) on the disc to homogeneous pixels
    centers_px: Float32[Tensor, "N 2"]
    opacities: Float32[Tensor, " N"]
    depths_m: Float32[Tensor, " N"]


def project(gaussians: GaussianMap, camera: Camera, T_world_camera: Float64[np.ndarray, "4 4"]) -> Projected:
    """Surfels to homographies from disc to image (2DGS, Huang et al. 2024, Eq. 4 and 7)."""
    device = gaussians.device
    R_camera_world = torch.from_numpy(T_world_camera[:3, :3].T.astype(np.float32)).to(device)
    t_world_camera = torch.from_numpy(T_world_camera[:3, 3].astype(np.float32)).to(device)
    K = torch.tensor([[camera.fx, 0, camera.cx + 0.5], [0, camera.fy, camera.cy + 0.5], [0, 0, 1.0]], device=device)
    means = (gaussians.means_m - t_world_camera) @ R_camera_world.T  # [N 3]
    axes = rotation_from_quats(gaussians.quats_wxyz)[..., :2] * gaussians.scales_m[:, None]  # [N 3 2]
    disc_to_camera = torch.cat([R_camera_world @ axes, means[..., None]], dim=-1)  # [N 3 3]
    ray_transforms = K @ disc_to_camera
    depths_m = ray_transforms[:, 2, 2]
    safe = torch.where(depths_m > NEAR_M, depths_m, 1.0)
    return Projected(ray_transforms, ray_transforms[:, :2, 2] / safe[:, None], gaussians.opacities, depths_m.detach())


def extents(splats: Projected) -> tuple[Float32[Tensor, "N 2"], Float32[Tensor, "N 2"]]:
    """Smallest and largest pixel coordinates (x, y) where alpha can reach `MIN_ALPHA`.

    The silhouette of a circle of the disc is a conic; one that reaches the camera plane is not bounded.
    """
    rho_max = (2 * torch.log(splats.opacities / MIN_ALPHA)).clamp_min(0)[:, None]  # [N 1]
    slopes = splats.ray_transforms[:, 2, :2]  # [N 2], depth of the two tangents
    # Relative to the projected centre, the third column of both image rows is zero.
    tangents = splats.ray_transforms[:, :2, :2] - splats.centers_px[..., None] * slopes[:, None]  # [N 2 2]
    depths_m = splats.depths_m[:, None]
    limit = rho_max * (slopes * slopes).sum(-1, keepdim=True) - depths_m * depths_m  # [N 1]
    bounded = limit < -1e-6 * depths_m * depths_m
    limit = torch.where(bounded, limit, -1.0)
    middle = rho_max * (tangents * slopes[:, None]).sum(-1) / limit  # [N 2]
    half = (middle * middle - rho_max * (tangents * tangents).sum(-1) / limit).clamp_min(0).sqrt()
    low_pass = (rho_max / 2).sqrt()
    far = 1e6  # px; beyond any image, and still exact as an integer
    low = torch.where(bounded, torch.minimum(middle - half, -low_pass), -far)
    high = torch.where(bounded, torch.maximum(middle + half, low_pass), far)
    return (splats.centers_px + low).clamp(-far, far), (splats.centers_px + high).clamp(-far, far)


def alpha_of_pairs(
    splats: Projected, gaussians: Int64[Tensor, " P"], pixels: Int64[Tensor, " P"], width: int
) -> Float32[Tensor, " P"]:
    """Alpha of every (Gaussian, pixel) pair, as the contract has it."""
    xy = torch.stack([pixels % width, pixels // width], dim=-1) + 0.5  # [P 2]
    rows = splats.ray_transforms[gaussians]  # [P 3 3]
    planes = xy[..., None] * rows[:, 2:] - rows[:, :2]  # [P 2 3], the pixel's two planes in disc coordinates
    hit = torch.linalg.cross(planes[:, 0], planes[:, 1])
    rho_disc = (hit[:, :2] / hit[:, 2:]).square().sum(-1)
    rho_pixel = 2 * (xy - splats.centers_px[gaussians]).square().sum(-1)
    return (splats.opacities[gaussians] * torch.exp(-torch.minimum(rho_disc, rho_pixel) / 2)).clamp_max(MAX_ALPHA)


def every_pair(gaussians: GaussianMap) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Every Gaussian before the camera with every pixel, pixel by pixel, near to far: Gaussians, pixels, alpha."""
    projected = project(gaussians, CAMERA, pose())
    order = torch.argsort(projected.depths_m, stable=True)
    order = order[projected.depths_m[order] > NEAR_M]
    num_pixels = CAMERA.width * CAMERA.height
    rows, pixels = order.repeat(num_pixels), torch.arange(num_pixels).repeat_interleave(len(order))
    return rows, pixels, alpha_of_pairs(projected, rows, pixels, CAMERA.width)
