"""What a depth image can be trusted for: noise, edges, smoothing. Tensors of any device; nothing waits for the host."""

import torch
from jaxtyping import Bool, Float32
from torch import Tensor
from torch.nn import functional

from instascene_ros.core.config import MappingConfig

SMOOTH_PX, NORMAL_PX = 2, 2  # reach of smoothing, and of the differences that normals come from
MAX_JUMP = 0.02  # of a pixel's own depth, from one pixel to the next of a surface
LEAST_TOLERANCE_M = 0.005
MISSING_M = 1e3  # pixels without depth are far away


def noise_m(depth_m: Float32[Tensor, "*shape"], config: MappingConfig) -> Float32[Tensor, "*shape"]:
    """One sigma of depth noise: constant plus quadratic in distance, as for stereo and structured light."""
    return config.depth_noise_m + config.depth_noise_quadratic * depth_m**2


def tolerance_m(depth_m: Float32[Tensor, "*shape"], config: MappingConfig) -> Float32[Tensor, "*shape"]:
    """Differences below this are noise."""
    return (config.explained_sigmas * noise_m(depth_m, config)).clamp(min=LEAST_TOLERANCE_M)


def usable(depth_m: Float32[Tensor, "H W"], config: MappingConfig) -> Bool[Tensor, "H W"]:
    """Pixels with depth inside the mapped range."""
    return (depth_m >= config.min_depth_m) & (depth_m <= config.max_depth_m)


def edges(depth_m: Float32[Tensor, "H W"], config: MappingConfig) -> Bool[Tensor, "H W"]:
    """Pixels beside a depth step: their depth may be a mixture of two surfaces (flying pixels).

    A step is what a plane through the pixel cannot explain: the second difference, which slant does not raise.
    """
    missing_far = torch.where(depth_m > 0, depth_m, MISSING_M)
    ahead, behind = highest(missing_far, 1) - missing_far, missing_far + highest(-missing_far, 1)
    return ((ahead - behind).abs() > 2 * tolerance_m(depth_m, config)) & (depth_m > 0)


def highest(image: Float32[Tensor, "H W"], radius_px: int) -> Float32[Tensor, "H W"]:
    """Largest value within `radius_px` (chessboard) of every pixel."""
    return functional.max_pool2d(image[None, None], 2 * radius_px + 1, stride=1, padding=radius_px)[0, 0]


def smooth(
    depth_m: Float32[Tensor, "H W"], config: MappingConfig, radius_px: int = SMOOTH_PX
) -> Float32[Tensor, "H W"]:
    """Mean over the neighbours that lie on the same surface (within tolerance); 0 stays 0."""
    side = 2 * radius_px + 1
    windows = functional.unfold(depth_m[None, None], side, padding=radius_px).reshape(side * side, *depth_m.shape)
    # Opposite neighbours are taken in pairs, so that slant cancels out.
    half = side * side // 2
    one, opposite = windows[:half], windows[half + 1 :].flip(0)
    middle = (one + opposite) / 2
    tolerance = 2 * tolerance_m(depth_m, config)
    near = (one > 0) & (opposite > 0) & ((middle - depth_m).abs() < tolerance)
    total = depth_m + 2 * torch.where(near, middle, 0.0).sum(0)
    return torch.where(depth_m > 0, total / (1 + 2 * near.sum(0)), 0.0)


def normals(
    depth_m: Float32[Tensor, "H W"],
    rays: Float32[Tensor, "H W 3"],
    radius_px: int = NORMAL_PX,
    max_jump: float = MAX_JUMP,
    one_sided: bool = False,
) -> Float32[Tensor, "H W 3"]:
    """Unit surface normals in the camera frame, facing the camera; zero where they cannot be told.

    Central differences over `radius_px`; a pixel whose neighbours are missing or jump in depth by more than
    `max_jump` of its own depth has none. With `one_sided`, one good neighbour along each axis will do, so that
    surfaces have normals up to their borders. `rays` are the camera's, scaled to z = 1.
    """
    height, width = depth_m.shape
    r = radius_px
    points = (rays * depth_m[..., None]).permute(2, 0, 1)
    padded = functional.pad(points[None], (r, r, r, r), mode="replicate")[0]  # [3 H+2r W+2r]
    u, v = slice(r, r + width), slice(r, r + height)
    sides = (padded[:, v, :width], padded[:, v, 2 * r :], padded[:, :height, u], padded[:, 2 * r :, u])
    good = [(side[2] > 0) & ((side[2] - depth_m).abs() < max_jump * depth_m * r) for side in sides]
    if one_sided:
        known = (good[0] | good[1]) & (good[2] | good[3])
        sides = tuple(torch.where(near, side, points) for side, near in zip(sides, good, strict=True))
    else:
        known = good[0] & good[1] & good[2] & good[3]
    left, right, up, down = sides
    across = torch.linalg.cross(down - up, right - left, dim=0)
    toward = torch.where((across * points).sum(0) > 0, -across, across)
    length = toward.norm(dim=0)
    unit = torch.where(known & (depth_m > 0) & (length > 1e-12), toward / length.clamp(min=1e-12), 0.0)
    return unit.permute(1, 2, 0).contiguous()
