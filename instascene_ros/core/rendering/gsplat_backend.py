"""The CUDA backend: gsplat's 2DGS kernels behind our contract. The only module that imports gsplat (1.5.3).

gsplat's own projection is not used. It cuts small surfels off at a radius of one pixel, where the contract's low-pass
filter reaches 2.4 px, and measures that filter from the middle of the silhouette instead of the projected centre.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from instascene_ros.core.camera import Camera
from instascene_ros.core.errors import BackendUnavailableError
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import rotation_from_quats
from instascene_ros.core.rendering.contract import MAX_ALPHA, MIN_ALPHA, NEAR_M, Blended, Trace

TILE_PX = 16
PAIRS_AT_ONCE = 1 << 20  # pairs whose alpha is computed in one go: about 120 MB
CHANNELS = (1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 512)  # what gsplat compiles


class Splats(NamedTuple):
    """Surfels in the image. Pixel centres sit at half integers here, as gsplat has it."""

    ray_transforms: Float32[Tensor, "N 3 3"]  # (u, v, 1) on the disc to homogeneous pixels
    centers_px: Float32[Tensor, "N 2"]
    opacities: Float32[Tensor, " N"]
    depths_m: Float32[Tensor, " N"]


class Tiles(NamedTuple):
    """Which surfels touch which tile, near to far."""

    offsets: Tensor  # [1 TH TW] int32
    flat_ids: Tensor  # [E] int32


class GsplatRasterizer:
    """gsplat on a CUDA device; the first use on a machine compiles its kernels (about a minute).

    Raises:
        BackendUnavailableError: no GPU, no gsplat, or no CUDA compiler for its first use.
    """

    name = "gsplat"
    device = "cuda"

    def __init__(self) -> None:
        if not torch.cuda.is_available():
            raise BackendUnavailableError("backend gsplat needs a CUDA GPU and torch finds none: use device cpu")
        try:
            import gsplat
            from gsplat.cuda._backend import _C as kernels
        except ImportError as error:
            raise BackendUnavailableError(f"gsplat cannot be imported ({error}): pip install gsplat==1.5.3") from error
        if kernels is None:
            raise BackendUnavailableError(
                "gsplat finds no CUDA compiler for its kernels: install the CUDA toolkit (nvcc)"
            )
        self._gsplat: Any = gsplat

    def __call__(
        self,
        gaussians: GaussianMap,
        features: Float32[Tensor, "N C"],
        camera: Camera,
        T_world_camera: Float64[np.ndarray, "4 4"],
        min_trace_weight: float | None = None,
    ) -> Blended:
        """See `Rasterizer`."""
        splats = project(gaussians, camera, T_world_camera)
        tiles = self._tiles(splats, camera) if len(gaussians) else None
        if tiles is None or len(tiles.flat_ids) == 0:
            return _blank(gaussians, features, camera, min_trace_weight is not None)
        num_channels = features.shape[1]
        # gsplat would pad with uninitialised memory, whose NaN reach the gradient.
        padding = next(c for c in CHANNELS if c >= num_channels) - num_channels
        padded = torch.nn.functional.pad(features, (0, padding))
        image, alpha, *_ = self._gsplat.rasterize_to_pixels_2dgs(
            splats.centers_px[None], splats.ray_transforms[None], padded[None], splats.opacities[None],
            torch.zeros_like(gaussians.means_m)[None], torch.zeros_like(splats.centers_px)[None],
            camera.width, camera.height, TILE_PX, tiles.offsets, tiles.flat_ids,
        )  # fmt: skip
        trace = None if min_trace_weight is None else self._trace(splats, tiles, camera, min_trace_weight)
        return Blended(image[0, ..., :num_channels], alpha[0, ..., 0], trace)

    @torch.no_grad()
    def _tiles(self, splats: Splats, camera: Camera) -> Tiles:
        low, high = extents(splats)
        seen = (splats.depths_m > NEAR_M) & (splats.opacities > MIN_ALPHA)
        radii = torch.where(seen[:, None], ((high - low) / 2).ceil(), 0.0)
        across, down = -(-camera.width // TILE_PX), -(-camera.height // TILE_PX)
        _, ids, flat_ids = self._gsplat.isect_tiles(
            ((low + high) / 2)[None], radii.int()[None], splats.depths_m[None], TILE_PX, across, down
        )
        return Tiles(self._gsplat.isect_offset_encode(ids, 1, across, down), flat_ids)

    @torch.no_grad()
    def _trace(self, splats: Splats, tiles: Tiles, camera: Camera, min_weight: float) -> Trace:
        gaussians, pixels, _ = self._gsplat.rasterize_to_indices_in_range_2dgs(
            0, 2**31 - 1, splats.centers_px.new_ones(1, camera.height, camera.width),
            splats.centers_px[None], splats.ray_transforms[None], splats.opacities[None],
            camera.width, camera.height, TILE_PX, tiles.offsets, tiles.flat_ids,
        )  # fmt: skip
        pairs = zip(gaussians.split(PAIRS_AT_ONCE), pixels.split(PAIRS_AT_ONCE), strict=True)
        alpha = torch.cat([alpha_of_pairs(splats, g, p, camera.width) for g, p in pairs])
        weights = weights_of_pairs(alpha, pixels, camera.width * camera.height)
        heavy = weights > min_weight
        return Trace(gaussians[heavy], pixels[heavy], weights[heavy])


def project(gaussians: GaussianMap, camera: Camera, T_world_camera: Float64[np.ndarray, "4 4"]) -> Splats:
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
    return Splats(ray_transforms, ray_transforms[:, :2, 2] / safe[:, None], gaussians.opacities, depths_m.detach())


def extents(splats: Splats) -> tuple[Float32[Tensor, "N 2"], Float32[Tensor, "N 2"]]:
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
    splats: Splats, gaussians: Int64[Tensor, " P"], pixels: Int64[Tensor, " P"], width: int
) -> Float32[Tensor, " P"]:
    """Alpha of every (Gaussian, pixel) pair, as the kernels have it."""
    xy = torch.stack([pixels % width, pixels // width], dim=-1) + 0.5  # [P 2]
    rows = splats.ray_transforms[gaussians]  # [P 3 3]
    planes = xy[..., None] * rows[:, 2:] - rows[:, :2]  # [P 2 3], the pixel's two planes in disc coordinates
    hit = torch.linalg.cross(planes[:, 0], planes[:, 1])
    rho_disc = (hit[:, :2] / hit[:, 2:]).square().sum(-1)
    rho_pixel = 2 * (xy - splats.centers_px[gaussians]).square().sum(-1)
    return (splats.opacities[gaussians] * torch.exp(-torch.minimum(rho_disc, rho_pixel) / 2)).clamp_max(MAX_ALPHA)


def weights_of_pairs(
    alpha: Float32[Tensor, " P"], pixels: Int64[Tensor, " P"], num_pixels: int
) -> Float32[Tensor, " P"]:
    """alpha*T of pairs that come pixel by pixel, near to far: T is a running product that starts anew at each pixel."""
    log_passed = torch.log1p(-alpha.double())
    log_before = log_passed.cumsum(0) - log_passed
    counts = torch.bincount(pixels, minlength=num_pixels)
    firsts = (counts.cumsum(0) - counts)[pixels]
    return (alpha * torch.exp(log_before - log_before[firsts])).float()


def _blank(gaussians: GaussianMap, features: Float32[Tensor, "N C"], camera: Camera, traced: bool) -> Blended:
    """Nothing in view; still part of the graph of every column, so that a loss can be taken."""
    columns = (gaussians.means_m, gaussians.quats_wxyz, gaussians.log_scales, gaussians.opacity_logits, features)
    zero = sum(column[:0].sum() for column in columns)
    size = (camera.height, camera.width)
    rows = torch.zeros(0, dtype=torch.int64, device=features.device)
    trace = Trace(rows, rows, features.new_zeros(0)) if traced else None
    return Blended(features.new_zeros(*size, features.shape[1]) + zero, features.new_zeros(size) + zero, trace)
