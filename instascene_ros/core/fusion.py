"""Closed-form refinement: every surfel keeps a running mean of what the camera says about it.

The heaviest surfel of a pixel answers for it. Its distance to the observed surface is averaged over its pixels and it
moves along its viewing rays by the share that a running mean gives the new view, as in surfel fusion (Keller et al.,
3DV 2013): noise falls with the square root of the views, at the price of one render. What the camera looks through
loses confidence.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.keyframe import Keyframe
from instascene_ros.core.rendering.contract import Trace
from instascene_ros.core.rendering.render import Rendering


@dataclass(frozen=True)
class _Answers:
    """Pixels of a view with the one surfel that answers for each."""

    gaussians: Int64[Tensor, " P"]
    pixels: Int64[Tensor, " P"]
    weights: Float32[Tensor, " P"]


def fuse(keyframe: Keyframe, rendering: Rendering, gaussians: GaussianMap) -> None:
    """Move surfels towards what the frame shows, recolour them, and update their confidence."""
    assert rendering.trace is not None
    device = gaussians.device
    observed_m = torch.from_numpy(keyframe.smooth_m).to(device).reshape(-1)
    tolerance = torch.from_numpy(keyframe.tolerance_m).to(device).reshape(-1)
    clean = torch.from_numpy(keyframe.usable & ~keyframe.edges).to(device).reshape(-1)
    mapped_m = rendering.depth_m.reshape(-1)
    residual_m = observed_m - mapped_m
    agrees = clean & (mapped_m > 0) & (residual_m.abs() < tolerance)
    seen_through = clean & (mapped_m > 0) & (residual_m > 2 * tolerance)
    answers = _answers(rendering.trace, len(observed_m))
    _confirm(_only(answers, agrees), residual_m, keyframe, gaussians)
    _contradict(_only(answers, seen_through), gaussians)


def _answers(trace: Trace, num_pixels: int) -> _Answers:
    heaviest = torch.zeros(num_pixels, device=trace.weights.device)
    heaviest.scatter_reduce_(0, trace.pixels, trace.weights, "amax")
    top = trace.weights >= heaviest[trace.pixels]
    return _Answers(trace.gaussians[top], trace.pixels[top], trace.weights[top])


def _only(answers: _Answers, pixels: Tensor) -> _Answers:
    kept = pixels[answers.pixels]
    return _Answers(answers.gaussians[kept], answers.pixels[kept], answers.weights[kept])


def _mean_of(answers: _Answers, values: Float32[Tensor, "P C"], rows: int) -> Float32[Tensor, "N C"]:
    total = values.new_zeros(rows, values.shape[1]).index_add_(0, answers.gaussians, values * answers.weights[:, None])
    weight = values.new_zeros(rows).index_add_(0, answers.gaussians, answers.weights)
    return total / weight.clamp(min=1e-6)[:, None]


def _confirm(
    answers: _Answers, residual_m: Float32[Tensor, " P"], keyframe: Keyframe, gaussians: GaussianMap
) -> None:
    n, device, frame = len(gaussians), gaussians.device, keyframe.frame
    rays = torch.from_numpy(frame.camera.rays()).to(device).reshape(-1, 3)[answers.pixels]
    R_world_camera = torch.from_numpy(frame.T_world_camera[:3, :3].astype(np.float32)).to(device)
    shift_m = _mean_of(answers, (rays * residual_m[answers.pixels, None]) @ R_world_camera.T, n)
    rgb = torch.from_numpy(frame.rgb.reshape(-1, 3).astype(np.float32) / 255).to(device)[answers.pixels]
    color = _mean_of(answers, rgb, n)
    seen = torch.zeros(n, dtype=torch.bool, device=device)
    seen[answers.gaussians] = True
    share = (1 / (gaussians.confidence + 1))[:, None] * seen[:, None]
    # Only along the normal: sliding within the surface would bunch surfels up.
    normals = gaussians.normals
    gaussians.means_m += share * (shift_m * normals).sum(-1, keepdim=True) * normals
    gaussians.colors += share * (color - gaussians.colors)
    gaussians.confidence = (gaussians.confidence + seen.float()).clamp(max=keyframe.config.max_confidence)


def _contradict(answers: _Answers, gaussians: GaussianMap) -> None:
    seen_through = torch.zeros(len(gaussians), device=gaussians.device)
    seen_through[answers.gaussians] = 1.0
    # Three views through a surfel undo one of it: the doubt has to outweigh noise, not history.
    gaussians.confidence -= seen_through * torch.clamp(gaussians.confidence / 3, min=1.0)
