"""2D Gaussian splatting offline, as a baseline: all frames at once, in random order, for thousands of steps.

Written from the paper (Huang et al., SIGGRAPH 2024) for RGB-D frames: L1 and D-SSIM in colour, L1 in depth and normals.
It begins with surfels that are back-projected from every frame, so that nothing has to be densified.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from instascene_ros.core.config import MappingConfig
from instascene_ros.core.frame import Frame
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.keyframe import Keyframe
from instascene_ros.core.refinement import DEPTH_WEIGHT, NORMAL_WEIGHT
from instascene_ros.core.rendering.contract import Rasterizer
from instascene_ros.core.rendering.render import plane_features, surface_of

LEARNING_RATES = {"means_m": 1e-4, "quats_wxyz": 1e-3, "log_scales": 5e-3, "opacity_logits": 2e-2, "colors": 2.5e-3}
SSIM_SHARE = 0.2  # of the loss in colour
SSIM_SIGMA_PX, SSIM_RADIUS_PX = 1.5, 5
FINAL_SHARE = 0.01  # of the step size of the means, at the end


def optimised_offline(
    gaussians: GaussianMap, frames: Sequence[Frame], config: MappingConfig, rasterizer: Rasterizer, num_steps: int,
    seed: int = 0,
) -> GaussianMap:  # fmt: skip
    """The map after so many steps, each on one frame."""
    draw = np.random.default_rng(seed)
    leaves = {name: getattr(gaussians, name).detach().clone().requires_grad_() for name in LEARNING_RATES}
    fitted = gaussians.copied()
    for name, leaf in leaves.items():
        setattr(fitted, name, leaf)
    groups = [{"params": [leaf], "lr": LEARNING_RATES[name]} for name, leaf in leaves.items()]
    optimizer = torch.optim.Adam(groups, eps=1e-15)
    order: list[int] = []
    for step in range(num_steps):
        order = order or draw.permutation(len(frames)).tolist()
        groups[0]["lr"] = LEARNING_RATES["means_m"] * FINAL_SHARE ** (step / num_steps)
        loss = loss_of(fitted, Keyframe(frames[order.pop()], config, rasterizer.device), rasterizer)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, leaf in leaves.items():
        setattr(fitted, name, leaf.detach())
    return fitted


def loss_of(gaussians: GaussianMap, keyframe: Keyframe, rasterizer: Rasterizer) -> Float32[Tensor, ""]:
    """Colour over the pixels that have depth; depth and normals where the map shows the surface that was measured."""
    camera, T_world_camera = keyframe.camera, keyframe.frame.T_world_camera
    blended = rasterizer(gaussians, plane_features(gaussians, camera, T_world_camera), camera, T_world_camera)
    rgb, depth_m, normal = surface_of(blended, camera)
    usable = keyframe.usable
    color = (rgb - keyframe.rgb).abs().mean(-1)
    unlike = 1 - ssim(rgb * usable[..., None], keyframe.rgb * usable[..., None])
    residual_m = (depth_m - keyframe.smooth_m).abs()
    near = usable & (residual_m.detach() < 2 * keyframe.tolerance_m)
    off = 1 - (normal * keyframe.normals_camera).sum(-1)
    surface = near * (DEPTH_WEIGHT * residual_m + NORMAL_WEIGHT * off)
    return (usable * ((1 - SSIM_SHARE) * color + SSIM_SHARE * unlike) + surface).mean()


def ssim(a: Float32[Tensor, "H W 3"], b: Float32[Tensor, "H W 3"]) -> Float32[Tensor, "H W"]:
    """Structural similarity (Wang et al. 2004) of two images in 0..1 at every pixel, mean over the channels."""
    offsets = torch.arange(-SSIM_RADIUS_PX, SSIM_RADIUS_PX + 1, device=a.device)
    kernel = torch.exp(-offsets.square() / (2 * SSIM_SIGMA_PX**2))
    kernel = kernel / kernel.sum()
    images = torch.stack([a, b, a * a, b * b, a * b]).movedim(-1, 1).reshape(15, 1, *a.shape[:2])
    pad = (SSIM_RADIUS_PX,) * 4
    smooth = torch.nn.functional.conv2d(torch.nn.functional.pad(images, pad, "reflect"), kernel.reshape(1, 1, -1, 1))
    smooth = torch.nn.functional.conv2d(smooth, kernel.reshape(1, 1, 1, -1)).reshape(5, 3, *a.shape[:2])
    mean_a, mean_b, square_a, square_b, product = smooth
    covariance, variance = product - mean_a * mean_b, square_a + square_b - mean_a**2 - mean_b**2
    luminance = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
    return (luminance * (2 * covariance + 0.03**2) / (variance + 0.03**2)).mean(0)
