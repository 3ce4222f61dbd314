"""Finer surfels where the texture is finer than those that are there.

A surfel keeps one colour. Where the image varies more within its footprint than one colour explains, and it is large
enough in the image for that to matter, it becomes two on the same plane, side by side along its longer axis. They
inherit all it knows: position, votes, confidence.
"""

import math

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from instascene_ros.core.evidence import Evidence
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import rotation_from_quats
from instascene_ros.core.keyframe import Keyframe
from instascene_ros.core.rendering.splats import View

MIN_TEXTURE = 0.04**2  # variance of colour (sum over channels) from which a surfel is worth two
STEP, SHRINK = 0.5, 0.65  # of the standard deviation: two such halves cover no less than the whole out to 1.5 of them
MIN_LOOKED_PX = 1.0  # blend weight that has to speak for it


@torch.no_grad()
def split(
    keyframe: Keyframe, evidence: Evidence, gaussians: GaussianMap, max_new: int
) -> tuple[Bool[Tensor, " N"], GaussianMap]:
    """(which surfels are replaced, their halves), at most `max_new` rows more than before."""
    wanted, axis = coarse(keyframe, evidence, gaussians)
    rows = wanted.nonzero()[: max(max_new, 0), 0]
    both = rows.repeat(2)
    halves = gaussians.select(both)
    side = torch.ones(2, len(rows), device=gaussians.device)
    side[1] = -1.0
    along = axis[both, None]
    step_m = STEP * side.reshape(-1, 1) * halves.log_scales.gather(1, along).exp()
    axes = rotation_from_quats(halves.quats_wxyz)
    halves.means_m += step_m * axes.gather(2, along[:, None].expand(-1, 3, 1))[..., 0]
    halves.log_scales.scatter_add_(1, along, torch.full_like(step_m, math.log(SHRINK)))
    replaced = torch.zeros_like(wanted)
    replaced[rows] = True
    return replaced, halves


def coarse(
    keyframe: Keyframe, evidence: Evidence, gaussians: GaussianMap
) -> tuple[Bool[Tensor, " N"], Int64[Tensor, " N"]]:
    """Which surfels are coarser than the texture that the view shows in them, and each one's longer axis there."""
    if gaussians.device.type == "cuda":
        from instascene_ros.core.rendering import revision_kernels

        config, view = keyframe.config, View.of(keyframe.camera, keyframe.frame.T_world_camera)
        return revision_kernels.coarse(
            (gaussians.means_m, gaussians.quats_wxyz, gaussians.log_scales),
            (evidence.texture, evidence.agreed, evidence.seen_through), view,
            (MIN_TEXTURE, MIN_LOOKED_PX, config.split_sigma_px, config.min_depth_m),
        )  # fmt: skip
    axes = rotation_from_quats(gaussians.quats_wxyz)[..., :2]
    sigma_px, axis = _sigmas_px(keyframe, gaussians, axes).max(dim=1)
    wanted = (evidence.texture > MIN_TEXTURE) & (sigma_px > keyframe.config.split_sigma_px)
    return wanted & (evidence.agreed > MIN_LOOKED_PX) & (evidence.agreed > evidence.seen_through), axis


def _sigmas_px(keyframe: Keyframe, gaussians: GaussianMap, axes: Float32[Tensor, "N 3 2"]) -> Float32[Tensor, "N 2"]:
    """Standard deviation of each surfel along its two axes as this camera sees them, px."""
    toward = keyframe.position_m - gaussians.means_m
    distance_m = toward.norm(dim=-1, keepdim=True).clamp(min=keyframe.config.min_depth_m)
    along_view = (axes * (toward / distance_m)[..., None]).sum(1)
    across_view = (1 - along_view.square()).clamp(min=0).sqrt()
    return gaussians.scales_m * across_view * (keyframe.camera.fx / distance_m)
