"""The CUDA backend: gsplat's 2DGS kernels behind our contract. The only module that imports gsplat (1.5.3).

gsplat sorts surfels into tiles and takes gradients of the blending. Ours are the ways from surfels to the image and
back (`surfel_kernels`) and, where no gradient is asked for, one pass that blends and traces (`tile_kernels`). The
projection of gsplat cuts small surfels off at a radius of one pixel, where the contract's low-pass filter reaches
2.4 px, and measures that filter from the middle of the silhouette instead of the projected centre.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int32
from torch import Tensor

from instascene_ros.core.camera import Camera
from instascene_ros.core.errors import BackendUnavailableError
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.rendering.contract import Blended, Trace
from instascene_ros.core.rendering.splats import Splats, View

TILE_PX = 16
CHANNELS = (1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 512)  # what gsplat compiles


class Tiles(NamedTuple):
    """Which surfels touch which tile, near to far."""

    offsets: Int32[Tensor, " T"]  # first entry of every tile, row by row, and the end
    flat_ids: Int32[Tensor, " E"]


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
        from instascene_ros.core.rendering import surfel_kernels, tile_kernels  # Triton: only where there is CUDA

        self._gsplat: Any = gsplat
        self._surfel_kernels: Any = surfel_kernels
        self._tile_kernels: Any = tile_kernels

    def __call__(
        self,
        gaussians: GaussianMap,
        features: Float32[Tensor, "N C"],
        camera: Camera,
        T_world_camera: Float64[np.ndarray, "4 4"],
        min_trace_weight: float | None = None,
    ) -> Blended:
        """See `Rasterizer`."""
        splats = self._project(gaussians, camera, T_world_camera) if len(gaussians) else None
        tiles = self._tiles(splats, camera) if splats else None
        if splats is None or tiles is None or len(tiles.flat_ids) == 0:
            return _blank(gaussians, features, camera, min_trace_weight is not None)
        if min_trace_weight is None and torch.is_grad_enabled():
            return Blended(*self._differentiable(splats, tiles, features, camera))
        blended = Blended(*self._in_one_pass(splats, tiles, features, camera, min_trace_weight))
        if torch.is_grad_enabled():
            blended = Blended(*self._differentiable(splats, tiles, features, camera), blended.trace)
        return blended

    def _differentiable(
        self, splats: Splats, tiles: Tiles, features: Float32[Tensor, "N C"], camera: Camera
    ) -> tuple[Float32[Tensor, "H W C"], Float32[Tensor, "H W"]]:
        num_channels = features.shape[1]
        # gsplat would pad with uninitialised memory, whose NaN reach the gradient.
        padding = next(c for c in CHANNELS if c >= num_channels) - num_channels
        padded = torch.nn.functional.pad(features, (0, padding))
        image, alpha, *_ = self._gsplat.rasterize_to_pixels_2dgs(
            splats.centers_px[None], splats.ray_transforms.reshape(1, -1, 3, 3), padded[None], splats.opacities[None],
            torch.zeros_like(splats.ray_transforms[:, :3])[None], torch.zeros_like(splats.centers_px)[None],
            camera.width, camera.height, TILE_PX, tiles.offsets[:-1].reshape(1, -(-camera.height // TILE_PX), -1),
            tiles.flat_ids,
        )  # fmt: skip
        return image[0, ..., :num_channels], alpha[0, ..., 0]

    @torch.no_grad()
    def _in_one_pass(
        self, splats: Splats, tiles: Tiles, features: Float32[Tensor, "N C"], camera: Camera, min_weight: float | None
    ) -> tuple[Float32[Tensor, "H W C"], Float32[Tensor, "H W"], Trace | None]:
        size = (camera.height, camera.width)
        return self._tile_kernels.blend(
            splats, features.contiguous(), tiles.flat_ids, tiles.offsets, size, TILE_PX, min_weight
        )

    def _project(self, gaussians: GaussianMap, camera: Camera, T_world_camera: Float64[np.ndarray, "4 4"]) -> Splats:
        view = View.of(camera, T_world_camera)
        columns = (gaussians.means_m, gaussians.quats_wxyz, gaussians.log_scales, gaussians.opacity_logits)
        return Splats(*self._surfel_kernels.Project.apply(*columns, view, (camera.width, camera.height)))

    @torch.no_grad()
    def _tiles(self, splats: Splats, camera: Camera) -> Tiles:
        across, down = -(-camera.width // TILE_PX), -(-camera.height // TILE_PX)
        _, ids, flat_ids = self._gsplat.isect_tiles(
            splats.middles_px[None], splats.radii_px[None], splats.depths_m[None], TILE_PX, across, down
        )
        offsets = self._gsplat.isect_offset_encode(ids, 1, across, down).reshape(-1)
        return Tiles(torch.cat([offsets, offsets.new_full((1,), len(flat_ids))]), flat_ids)


def _blank(gaussians: GaussianMap, features: Float32[Tensor, "N C"], camera: Camera, traced: bool) -> Blended:
    """Nothing in view; still part of the graph of every column, so that a loss can be taken."""
    columns = (gaussians.means_m, gaussians.quats_wxyz, gaussians.log_scales, gaussians.opacity_logits, features)
    zero = sum(column[:0].sum() for column in columns)
    size = (camera.height, camera.width)
    rows = torch.zeros(0, dtype=torch.int64, device=features.device)
    trace = Trace(rows, rows, features.new_zeros(0)) if traced else None
    return Blended(features.new_zeros(*size, features.shape[1]) + zero, features.new_zeros(size) + zero, trace)
