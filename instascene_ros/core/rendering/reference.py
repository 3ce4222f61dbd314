"""The contract in plain torch, as it is written: the slow oracle of the other backends.

Every pixel meets every Gaussian, as a ray meets a plane, in float64. Memory is bounded by blending a few pixels at a
time; time is not.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from instascene_ros.core.camera import Camera
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import rotation_from_quats
from instascene_ros.core.rendering.contract import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE, NEAR_M, Blended, Trace

PAIRS_AT_ONCE = 1 << 20  # about 100 MB of intermediate results


class ReferenceRasterizer:
    """Plain torch on any device; gradients by autograd."""

    name = "reference"

    def __init__(self, device: str = "cpu") -> None:
        self.device = device

    def __call__(
        self,
        gaussians: GaussianMap,
        features: Float32[Tensor, "N C"],
        camera: Camera,
        T_world_camera: Float64[np.ndarray, "4 4"],
        min_trace_weight: float | None = None,
    ) -> Blended:
        """See `Rasterizer`."""
        columns = (gaussians.means_m, gaussians.quats_wxyz, gaussians.log_scales, gaussians.opacity_logits)
        pose = _pose(T_world_camera, gaussians.device)
        means, axes, log_scales, logits = in_camera(*(column.double() for column in columns), *pose)
        order = torch.argsort(means[:, 2].float(), stable=True)  # equal depths: by row, as the other backends
        order = order[means[order, 2] > NEAR_M]
        sorted_surfels = (means[order], axes[order], log_scales[order], logits[order])
        rays = torch.from_numpy(camera.rays()).to(gaussians.device).double().reshape(-1, 3)
        weights = [weights_of_rays(*sorted_surfels, rays[pixels], camera) for pixels in _chunks(len(rays), len(order))]
        features_sorted = features.double()[order]
        blended = torch.cat([w @ features_sorted for w in weights]).float()
        alpha = torch.cat([w.sum(-1) for w in weights]).float()
        size = (camera.height, camera.width)
        trace = None if min_trace_weight is None else _trace(weights, order, min_trace_weight)
        return Blended(blended.reshape(*size, -1), alpha.reshape(size), trace)


def weights_of_rays(
    means_m: Float[Tensor, "N 3"],
    axes: Float[Tensor, "N 3 3"],
    log_scales: Float[Tensor, "N 2"],
    opacity_logits: Float[Tensor, " N"],
    rays: Float[Tensor, "R 3"],
    camera: Camera,
) -> Float[Tensor, "R N"]:
    """Blend weight alpha*T of every surfel (camera frame, near to far; axes as columns) on every ray (z = 1)."""
    normals = axes[..., 2]
    facing = rays @ normals.T  # [R N]
    parallel = facing == 0
    ray_depth = (normals * means_m).sum(-1) / torch.where(parallel, 1.0, facing)
    offsets = rays[:, None] * ray_depth[..., None] - means_m  # [R N 3] from the centre to the hit, m
    uv = torch.einsum("rni,nij->rnj", offsets, axes[..., :2]) / log_scales.exp()
    rho_disc = torch.where(parallel, torch.inf, (uv * uv).sum(-1))
    focal = rays.new_tensor([camera.fx, camera.fy])
    offsets_px = (rays[:, None, :2] - means_m[:, :2] / means_m[:, 2:]) * focal
    rho = torch.minimum(rho_disc, 2 * (offsets_px * offsets_px).sum(-1))
    alpha = (opacity_logits.sigmoid() * torch.exp(-rho / 2)).clamp_max(MAX_ALPHA)
    alpha = torch.where(alpha < MIN_ALPHA, 0.0, alpha)
    T_after = torch.cumprod(1 - alpha, dim=-1)
    T_before = torch.cat([torch.ones_like(T_after[:, :1]), T_after[:, :-1]], dim=-1)
    return torch.where(T_after > MIN_TRANSMITTANCE, alpha * T_before, 0.0)


def in_camera(
    means_m: Float[Tensor, "N 3"],
    quats_wxyz: Float[Tensor, "N 4"],
    log_scales: Float[Tensor, "N 2"],
    opacity_logits: Float[Tensor, " N"],
    R_camera_world: Float[Tensor, "3 3"],
    t_world_camera: Float[Tensor, " 3"],
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 3 3"], Float[Tensor, "N 2"], Float[Tensor, " N"]]:
    means_camera = (means_m - t_world_camera) @ R_camera_world.T
    return means_camera, R_camera_world @ rotation_from_quats(quats_wxyz), log_scales, opacity_logits


def _pose(T_world_camera: Float64[np.ndarray, "4 4"], device: torch.device) -> tuple[Tensor, Tensor]:
    T = torch.from_numpy(T_world_camera).to(device)
    return T[:3, :3].T, T[:3, 3]


def _chunks(num_rays: int, num_surfels: int) -> Iterator[slice]:
    step = max(1, PAIRS_AT_ONCE // max(1, num_surfels))
    return (slice(start, start + step) for start in range(0, num_rays, step))


def _trace(weights: list[Float[Tensor, "_ N"]], order: Int64[Tensor, " N"], min_weight: float) -> Trace:
    every = torch.cat([w.detach() for w in weights])
    pixels, ranks = torch.nonzero(every > min_weight, as_tuple=True)
    return Trace(order[ranks], pixels, every[pixels, ranks].float())
