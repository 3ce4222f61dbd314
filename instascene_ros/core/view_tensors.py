"""Images of an object as a pixel-space model takes them: colour, depth and silhouette, all within -1..1."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from instascene_ros.core.object_sphere import ObjectSphere
from instascene_ros.core.objects import GeneratedView
from instascene_ros.core.views import PosedCamera

NUM_CHANNELS = 5  # red, green, blue, depth, alpha
BACKGROUND = (0.0, 0.0, 0.0, -1.0, -1.0)  # grey, as far as the sphere reaches, nothing


def tensor_of_images(
    rgb: Float32[np.ndarray, "V H W 3"],
    depth_m: Float32[np.ndarray, "V H W"],
    alpha: Float32[np.ndarray, "V H W"],
    cameras: Sequence[PosedCamera],
    sphere: ObjectSphere,
) -> Float32[Tensor, "V 5 H W"]:
    """Colour 0..1 becomes -1..1. Depth (m along z, 0 = nothing) becomes radii in front of the sphere's middle."""
    distance_m = _distances_m(cameras, sphere)
    nearness = np.clip((distance_m - depth_m) / sphere.radius_m, -1, 1)
    channels = np.concatenate([2 * rgb - 1, nearness[..., None], 2 * alpha[..., None] - 1], axis=-1)
    there = ((alpha > 0.5) & (depth_m > 0))[..., None]
    images = np.where(there, channels, np.array(BACKGROUND)).astype(np.float32)
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def views_of_tensor(
    images: Float32[Tensor, "V 5 H W"], cameras: Sequence[PosedCamera], sphere: ObjectSphere
) -> list[GeneratedView]:
    """The reverse."""
    channels = images.detach().float().cpu().permute(0, 2, 3, 1).numpy()
    alpha = np.clip((channels[..., 4] + 1) / 2, 0, 1).astype(np.float32)
    depth_m = _distances_m(cameras, sphere) - np.clip(channels[..., 3], -1, 1) * sphere.radius_m
    depth_m = np.where(alpha > 0.5, depth_m, 0).astype(np.float32)
    rgb = np.rint(np.clip((channels[..., :3] + 1) / 2, 0, 1) * 255).astype(np.uint8)
    return [GeneratedView(c, T, rgb[i], depth_m[i], alpha[i]) for i, (c, T) in enumerate(cameras)]


def _distances_m(cameras: Sequence[PosedCamera], sphere: ObjectSphere) -> Float32[np.ndarray, "V 1 1"]:
    """Of the sphere's middle along each camera's axis."""
    along = [(sphere.center_m - T[:3, 3]) @ T[:3, 2] for _, T in cameras]
    return np.array(along, np.float32)[:, None, None]
