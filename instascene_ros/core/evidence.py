"""What one keyframe says about every surfel in view, as sums over the pixels that show it.

Every traced (surfel, pixel) pair compares the surfel's own plane on the pixel's ray with the depth observed there, so
that a floater in front of a table cannot spoil what the same pixels say about the table.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from instascene_ros.core import depth
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.keyframe import Keyframe
from instascene_ros.core.rendering.contract import Trace
from instascene_ros.core.rendering.render import Rendering, pose_tensors
from instascene_ros.core.rendering.splats import View

MIN_COSINE = 0.05  # a flatter ray does not tell where a surfel's plane is
REFERENCE_M = 1.0  # a head-on look from here weighs 1


@dataclass(frozen=True)
class Evidence:
    """Sums of blend weight over the pixels of one view, and weighted means over those that agree."""

    looked: Float32[Tensor, " N"]  # where the depth observed is free of edges
    agreed: Float32[Tensor, " N"]  # of which: it lies on the surfel's plane
    seen_through: Float32[Tensor, " N"]  # of which: it lies clearly behind
    quality: Float32[Tensor, " N"]  # mean inverse variance of the depth along the normal; 1 head-on from 1 m
    shift_m: Float32[Tensor, " N"]  # mean offset of the observed surface along the surfel's normal
    color_error: Float32[Tensor, "N 3"]  # mean of (observed - rendered)
    texture: Float32[Tensor, " N"]  # variance of that error within the surfel: what no single colour can explain

    @classmethod
    def of(cls, keyframe: Keyframe, rendering: Rendering, gaussians: GaussianMap) -> "Evidence":
        assert rendering.trace is not None
        sums = _sums(keyframe, rendering, rendering.trace, gaussians)
        quality, shift_m, squared_error, *_ = (means := sums[:, 3:] / sums[:, 1:2].clamp(min=1e-6)).unbind(-1)
        error = means[:, 3:]
        texture = (squared_error - error.square().sum(-1)).clamp(min=0)
        return cls(sums[:, 0], sums[:, 1], sums[:, 2], quality, shift_m, error, texture)


def quality_of(depth_m: Float32[Tensor, "*shape"], keyframe: Keyframe) -> Float32[Tensor, "*shape"]:
    """Inverse variance of depth, 1 at a metre."""
    reference = depth.noise_m(torch.full_like(depth_m, REFERENCE_M), keyframe.config)
    return (reference / depth.noise_m(depth_m, keyframe.config).clamp(min=1e-6)) ** 2


class _Seen(NamedTuple):
    """What the frame shows, per pixel."""

    observed_m: Float32[Tensor, "H W"]  # -1 where it cannot be trusted
    tolerance_m: Float32[Tensor, "H W"]
    quality: Float32[Tensor, "H W"]
    error: Float32[Tensor, "H W 3"]  # observed minus rendered colour

    @classmethod
    def of(cls, keyframe: Keyframe, rendering: Rendering) -> "_Seen":
        # Depth beyond the mapped range is not mapped, but it does tell that what lies before it is gone.
        clean = (keyframe.depth_m >= keyframe.config.min_depth_m) & ~keyframe.edges
        observed_m = torch.where(clean, keyframe.smooth_m, -1.0)
        error = keyframe.rgb * (rendering.alpha[..., None] * keyframe.gain) - rendering.rgb
        return cls(observed_m, keyframe.tolerance_m, quality_of(keyframe.smooth_m, keyframe), error)


def _sums(keyframe: Keyframe, rendering: Rendering, trace: Trace, gaussians: GaussianMap) -> Float32[Tensor, "N 9"]:
    """Columns as `Evidence` has them, the means not yet divided by what agreed."""
    if gaussians.device.type == "cuda":
        from instascene_ros.core.rendering.evidence_kernel import sums_of
    else:
        from instascene_ros.core.rendering.cpu_planes import sums_of
    seen, view = _Seen.of(keyframe, rendering), View.of(keyframe.camera, keyframe.frame.T_world_camera)
    return sums_of(trace, gaussians.means_m, gaussians.quats_wxyz, view, tuple(seen), MIN_COSINE)


def in_view(keyframe: Keyframe, gaussians: GaussianMap) -> tuple[Int64[Tensor, " N"], Float32[Tensor, " N"]]:
    """Pixel that each surfel's centre falls on (-1 = outside the image) and its depth, m."""
    R_world_camera, t_world_camera = pose_tensors(keyframe.frame.T_world_camera, keyframe.device)
    x, y, z = ((gaussians.means_m - t_world_camera) @ R_world_camera).unbind(-1)
    camera, ahead = keyframe.camera, z > keyframe.config.min_depth_m
    safe = torch.where(ahead, z, 1.0)
    u, v = (camera.fx * x / safe + camera.cx).round(), (camera.fy * y / safe + camera.cy).round()
    inside = ahead & (u >= 0) & (v >= 0) & (u < camera.width) & (v < camera.height)
    return torch.where(inside, v * camera.width + u, -1.0).long(), z
