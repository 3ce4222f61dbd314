"""New surfels for what the map does not explain yet. All on the map's device; the count of seeds is the only wait."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from instascene_ros.core.config import MappingConfig
from instascene_ros.core.evidence import quality_of
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import quats_from_rotations
from instascene_ros.core.keyframe import Keyframe
from instascene_ros.core.rendering.render import Rendering, pose_tensors
from instascene_ros.core.rendering.splats import View
from instascene_ros.core.replay import Replayed

FULL_COVERAGE = 0.8  # standard deviation of a surfel per surfel spacing: what is behind must not shine through
MIN_COSINE = 0.2  # flatter views stretch a surfel too far


def unexplained(keyframe: Keyframe, rendering: Rendering | None) -> Bool[Tensor, "H W"]:
    """Pixels whose depth the map does not explain: nothing there, or a surface behind the one observed."""
    if rendering is None:
        return keyframe.usable
    in_front = keyframe.depth_m < rendering.depth_m - keyframe.tolerance_m
    return keyframe.usable & ((rendering.alpha < keyframe.config.explained_alpha) | in_front)


def seed_surfels(keyframe: Keyframe, new: Bool[Tensor, "H W"]) -> GaussianMap:
    """One surfel per grid cell of `new` pixels, on the observed surface, never across a depth or mask edge."""
    config, images = keyframe.config, keyframe.images
    chosen = _replayed_choice(new, images.seedable, images.fine, config=config).pixels
    pixels = chosen.reshape(-1).nonzero()[:, 0]
    placed = (_placed_on_gpu if pixels.is_cuda else _placed)(pixels, keyframe)
    opacities = torch.full_like(placed.confidence, config.seed_opacity)
    surfels = GaussianMap.from_surfels(placed.means_m, placed.quats_wxyz, placed.scales_m, opacities, placed.colors)
    surfels.birth_ns.fill_(keyframe.frame.stamp_ns)
    surfels.confidence = placed.confidence
    return surfels


class _Placed(NamedTuple):
    """New surfels as `GaussianMap.from_surfels` takes them, and their confidence: their own first observation."""

    means_m: Float32[Tensor, "P 3"]
    quats_wxyz: Float32[Tensor, "P 4"]
    scales_m: Float32[Tensor, "P 2"]
    colors: Float32[Tensor, "P 3"]
    confidence: Float32[Tensor, " P"]


def _placed(pixels: Int64[Tensor, " P"], keyframe: Keyframe) -> _Placed:
    camera, images = keyframe.camera, keyframe.images
    rays, z = keyframe.rays.reshape(-1, 3)[pixels], keyframe.smooth_m.reshape(-1)[pixels]
    axes_camera, cosine = _surfel_axes(keyframe.normals_camera.reshape(-1, 3)[pixels], rays)
    spacing_m = images.reach_px.reshape(-1)[pixels] * FULL_COVERAGE * z / camera.fx
    R_world_camera, t_world_camera = pose_tensors(keyframe.frame.T_world_camera, keyframe.device)
    return _Placed(
        means_m=(rays * z[:, None]) @ R_world_camera.T + t_world_camera,
        quats_wxyz=quats_from_rotations((axes_camera @ R_world_camera.T).mT),
        scales_m=torch.stack([spacing_m / cosine, spacing_m], dim=-1),
        colors=(keyframe.rgb.reshape(-1, 3)[pixels] * keyframe.gain).clamp(max=1),
        confidence=quality_of(z, keyframe) * cosine,
    )


def _placed_on_gpu(pixels: Int64[Tensor, " P"], keyframe: Keyframe) -> _Placed:
    from instascene_ros.core.rendering import seed_kernel

    config, images = keyframe.config, keyframe.images
    seen = (keyframe.smooth_m, keyframe.normals_camera, images.reach_px, keyframe.rgb, keyframe.gain)
    noise = (config.depth_noise_m, config.depth_noise_quadratic)
    view = View.of(keyframe.camera, keyframe.frame.T_world_camera)
    return _Placed(*seed_kernel.placed(pixels, seen, view, (FULL_COVERAGE, MIN_COSINE, *noise)))


class _Choice(NamedTuple):
    pixels: Bool[Tensor, "H W"]


def _choice(
    new: Bool[Tensor, "H W"], seedable: Bool[Tensor, "H W"], fine: Bool[Tensor, "H W"], *, config: MappingConfig
) -> _Choice:
    allowed = new & seedable
    finer = _one_per_cell(allowed & fine, config.fine_stride_px)
    return _Choice(finer | _one_per_cell(allowed & ~fine, config.seed_stride_px))


_replayed_choice = Replayed(_choice)


def _one_per_cell(allowed: Bool[Tensor, "H W"], stride_px: int) -> Bool[Tensor, "H W"]:
    """Of every stride x stride cell the allowed pixel nearest to the cell's middle, the upper left of equals."""
    if stride_px == 1:
        return allowed
    height, width = allowed.shape
    s, down, across = stride_px, -(-height // stride_px), -(-width // stride_px)
    padded = torch.nn.functional.pad(allowed, (0, across * s - width, 0, down * s - height))
    cells = padded.reshape(down, s, across, s).permute(0, 2, 1, 3).reshape(down, across, s * s)
    index = torch.arange(s * s, device=allowed.device)
    off_middle = (index // s - (s - 1) / 2).abs() + (index % s - (s - 1) / 2).abs()
    cost = torch.where(cells, off_middle + index * 1e-4, torch.inf)
    best = (index == cost.argmin(-1, keepdim=True)) & cells
    return best.reshape(down, across, s, s).permute(0, 2, 1, 3).reshape(down * s, across * s)[:height, :width]


def _surfel_axes(
    normals: Float32[Tensor, "P 3"], rays: Float32[Tensor, "P 3"]
) -> tuple[Float32[Tensor, "P 3 3"], Float32[Tensor, " P"]]:
    """Rows: direction in which slant stretches a pixel, the one across it, the normal; and the view cosine."""
    view = torch.nn.functional.normalize(rays, dim=-1)
    along = view - (view * normals).sum(-1, keepdim=True) * normals
    x, y, z = normals.unbind(-1)
    zero = torch.zeros_like(x)
    # Seen head-on, any direction within the surface will do.
    helper = torch.where((x.abs() < 0.9)[:, None], torch.stack([zero, z, -y], -1), torch.stack([-z, zero, x], -1))
    along = torch.nn.functional.normalize(torch.where(along.norm(dim=-1, keepdim=True) > 1e-3, along, helper), dim=-1)
    across = torch.linalg.cross(normals, along, dim=-1)
    cosine = (-(view * normals).sum(-1)).clamp(MIN_COSINE, 1.0)
    return torch.stack([along, across, normals], dim=1), cosine
