"""What is derived from a frame's depth and masks alone: surfaces, their noise, and where surfels may be seeded."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from instascene_ros.core import depth
from instascene_ros.core.config import MappingConfig
from instascene_ros.core.replay import Replayed

MAX_RIM_SHARE = 0.5  # masks of which more is border are thin
BINS = 256  # label counts come in multiples of this, so that one recording fits most frames


class FrameImages(NamedTuple):
    """All [H W], on the map's device."""

    smooth_m: Float32[Tensor, "H W"]  # depth without the noise that neighbours do not share
    normals: Float32[Tensor, "H W 3"]  # unit, camera frame, facing the camera; 0 = unknown
    edges: Bool[Tensor, "H W"]  # beside a depth step
    usable: Bool[Tensor, "H W"]  # depth inside the mapped range
    tolerance_m: Float32[Tensor, "H W"]  # differences below this are noise
    seedable: Bool[Tensor, "H W"]  # neither on an edge, nor on the rim of a mask that has an inside
    fine: Bool[Tensor, "H W"]  # inside a small mask
    reach_px: Float32[Tensor, "H W"]  # how far a surfel may reach: it ends where its mask does


class Around(NamedTuple):
    """What the pixels around each pixel decide, all [H W]."""

    smooth_m: Float32[Tensor, "H W"]
    normals: Float32[Tensor, "H W 3"]
    edges: Bool[Tensor, "H W"]
    tolerance_m: Float32[Tensor, "H W"]
    rim: Bool[Tensor, "H W"]  # beside another label
    wide_rim: Bool[Tensor, "H W"]  # at most a pixel from it


def derive(
    depth_m: Float32[Tensor, "H W"],
    labels: Int64[Tensor, "H W"],
    rays: Float32[Tensor, "H W 3"],
    *,
    config: MappingConfig,
    num_bins: int,
) -> FrameImages:
    """Everything at once. Labels are below `num_bins`."""
    around = around_on_cpu if depth_m.device.type == "cpu" else around_of
    smooth_m, normals, edges, tolerance_m, rim, wide_rim = around(depth_m, labels, rays, config)
    area_px = _areas_px(labels, num_bins)
    rim_px = _areas_px(torch.where(rim, labels, -1), num_bins)
    # Other views show better what is on the rim. Thin things are all rim.
    broad_rim = rim & (rim_px < MAX_RIM_SHARE * area_px)[labels]
    fine = (area_px < config.fine_mask_share * labels.numel())[labels] & (labels > 0)
    stride_px = torch.where(fine, float(config.fine_stride_px), float(config.seed_stride_px))
    border_px = torch.where(rim, 0.5, torch.where(wide_rim, 1.5, torch.inf))
    return FrameImages(
        smooth_m, normals, edges, depth.usable(depth_m, config), tolerance_m,
        ~edges & (normals != 0).any(-1) & ~broad_rim, fine, torch.minimum(stride_px, border_px),
    )  # fmt: skip


def around_of(
    depth_m: Float32[Tensor, "H W"], labels: Int64[Tensor, "H W"], rays: Float32[Tensor, "H W 3"], config: MappingConfig
) -> Around:
    """In operations of torch, which a GPU records as one."""
    smooth_m = depth.smooth(depth_m, config)
    return Around(
        smooth_m, depth.normals(smooth_m, rays, one_sided=True), depth.edges(depth_m, config),
        depth.tolerance_m(depth_m, config), _rim(labels, 1), _rim(labels, 2),
    )  # fmt: skip


def around_on_cpu(
    depth_m: Float32[Tensor, "H W"], labels: Int64[Tensor, "H W"], rays: Float32[Tensor, "H W 3"], config: MappingConfig
) -> Around:
    """The same in compiled loops over rows, which are six times faster on a CPU."""
    from instascene_ros.core.rendering import cpu_images

    noise = cpu_images.Noise.of(config.depth_noise_m, config.depth_noise_quadratic, config.explained_sigmas)
    found = cpu_images.derive(depth_m.numpy(), labels.numpy(), rays.numpy(), noise)
    smooth_m, tolerance_m, edges, rim_px, normals = (torch.from_numpy(image) for image in found)
    return Around(smooth_m, normals, edges, tolerance_m, rim_px == 1, rim_px > 0)


replayed = Replayed(derive)


def images_of(
    depth_m: Float32[Tensor, "H W"],
    labels: Int64[Tensor, "H W"],
    rays: Float32[Tensor, "H W 3"],
    config: MappingConfig,
    num_masks: int,
) -> FrameImages:
    """`derive`, in one launch on a GPU."""
    num_bins = BINS * (1 + num_masks // BINS)
    return replayed(depth_m, labels, rays, config=config, num_bins=num_bins)


def _rim(labels: Int64[Tensor, "H W"], radius_px: int) -> Bool[Tensor, "H W"]:
    """Pixels within `radius_px` (chessboard) of a pixel with another label."""
    image = labels.float()  # exact: labels are below 2^24
    return depth.highest(image, radius_px) != -depth.highest(-image, radius_px)


def _areas_px(labels: Int64[Tensor, "H W"], num_bins: int) -> Float32[Tensor, " M"]:
    """Pixels of every label; labels below 0 are not counted. `bincount` would wait for the largest label."""
    return torch.histc(labels.float(), num_bins, min=-0.5, max=num_bins - 0.5)
