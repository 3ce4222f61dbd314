"""The backend for machines without a GPU: numba kernels behind one autograd function."""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from instascene_ros.core.camera import Camera
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.rendering.contract import Blended, Trace
from instascene_ros.core.rendering.cpu_blend import BAND_ROWS, Bins, Canvas, Pairs, Scene, blend, fill_bins
from instascene_ros.core.rendering.cpu_gradient import SUMS, Adjoint, Partials, blend_gradient, gather
from instascene_ros.core.rendering.cpu_jit import on_all_cores
from instascene_ros.core.rendering.cpu_projection import RECORD, Projected, Surfels, View, project, unproject
from instascene_ros.core.rendering.cpu_vectors import LANES

PAIRS_PER_PIXEL = 5  # room for trace pairs at first; blended again with more room where that is too little


class CpuRasterizer:
    """Renders maps that live on the CPU, on all cores. The same map and view give the same bits every time."""

    name = "cpu"
    device = "cpu"

    def __call__(
        self,
        gaussians: GaussianMap,
        features: Float32[Tensor, "N C"],
        camera: Camera,
        T_world_camera: Float64[np.ndarray, "4 4"],
        min_trace_weight: float | None = None,
    ) -> Blended:
        """See `Rasterizer`."""
        traces: list[Trace] = []
        blended, alpha = _Blend.apply(
            gaussians.means_m, gaussians.quats_wxyz, gaussians.log_scales, gaussians.opacity_logits, features,
            _view(camera, T_world_camera), min_trace_weight, traces,
        )  # fmt: skip
        return Blended(blended, alpha, traces[0] if traces else None)


class _Pass(NamedTuple):
    """What the gradient needs of a forward pass."""

    surfels: Surfels
    view: View
    bins: Bins
    scene: Scene
    canvas: Canvas


class _Blend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        *columns, features, view, min_trace_weight, traces = inputs
        surfels = Surfels(*(np.ascontiguousarray(column.detach().numpy()) for column in columns))
        n = len(surfels.means_m)
        records, boxes = np.empty((n, RECORD), np.float32), np.zeros((n, 4), np.int32)
        depths_m = np.empty(n, np.float32)
        on_all_cores(project, surfels, view, Projected(records, boxes, depths_m))
        bins = fill_bins(boxes, _near_to_far(boxes, depths_m), -(-view.height // BAND_ROWS))
        scene = Scene(records, boxes, _padded(features.detach().numpy()))
        canvas, pairs = _blended(bins, scene, view, min_trace_weight)
        if min_trace_weight is not None:
            traces.append(_trace(pairs))
        ctx.forward_pass = _Pass(surfels, view, bins, scene, canvas)
        num_channels = features.shape[1]
        # The last used channel blends the constant 1: alpha.
        image = torch.from_numpy(canvas.image).reshape(view.height, view.width, -1)
        return image[..., :num_channels].contiguous(), image[..., num_channels].contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        surfels, view, bins, scene, canvas = ctx.forward_pass
        of_features, of_alpha = (g.numpy() for g in gradients)
        num_channels = of_features.shape[-1]
        image = np.zeros_like(canvas.image)
        image[:, :num_channels] = of_features.reshape(-1, num_channels)
        image[:, num_channels] = of_alpha.reshape(-1)
        adjoint = Adjoint(image, np.abs(canvas.T), np.zeros_like(canvas.T), canvas.last, view.width)
        partials = _zero_partials(len(bins.gaussians), image.shape[-1])
        on_all_cores(blend_gradient, bins, scene, adjoint, partials, most=len(bins.starts) - 1)
        sums = _zero_partials(len(scene.boxes), image.shape[-1])
        on_all_cores(gather, bins, partials, sums)
        columns = Surfels(*(np.zeros_like(column) for column in surfels))
        on_all_cores(unproject, surfels, view, sums.records, scene.boxes, columns)
        features = np.ascontiguousarray(sums.features[:, :num_channels])
        return *(torch.from_numpy(column) for column in columns), torch.from_numpy(features), None, None, None


def _zero_partials(num_rows: int, num_channels: int) -> Partials:
    return Partials(np.zeros((num_rows, SUMS), np.float32), np.zeros((num_rows, num_channels), np.float32))


def _view(camera: Camera, T_world_camera: Float64[np.ndarray, "4 4"]) -> View:
    return View(
        np.ascontiguousarray(T_world_camera[:3, :3].T), np.ascontiguousarray(T_world_camera[:3, 3]),
        float(camera.fx), float(camera.fy), float(camera.cx), float(camera.cy), camera.width, camera.height,
    )  # fmt: skip


def _near_to_far(boxes: np.ndarray, depths_m: np.ndarray) -> np.ndarray:
    """Visible rows by depth, then row. One sort of 64-bit keys is faster than a stable argsort."""
    rows = np.nonzero(boxes[:, 1] > 0)[0]
    keys = (depths_m[rows].view(np.uint32).astype(np.uint64) << np.uint64(32)) | rows.astype(np.uint64)
    keys.sort()
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _padded(features: np.ndarray) -> np.ndarray:
    """Features, the constant 1, and zeros up to whole vectors: [N K]."""
    n, num_channels = features.shape
    padded = np.zeros((n, -(-(num_channels + 1) // LANES) * LANES), np.float32)
    padded[:, :num_channels] = features
    padded[:, num_channels] = 1
    return padded


def _blended(bins: Bins, scene: Scene, view: View, min_trace_weight: float | None) -> tuple[Canvas, Pairs]:
    num_bands = len(bins.starts) - 1
    num_pixels = view.height * view.width
    room = 0 if min_trace_weight is None else PAIRS_PER_PIXEL * BAND_ROWS * view.width
    min_weight = np.inf if min_trace_weight is None else min_trace_weight
    while True:
        canvas = Canvas(
            np.zeros((num_pixels, scene.features.shape[1]), np.float32), np.ones(num_pixels, np.float32),
            np.full(num_pixels, -1, np.int32), view.width,
        )  # fmt: skip
        pairs = Pairs(
            np.empty((num_bands, room), np.int32), np.empty((num_bands, room), np.int32),
            np.empty((num_bands, room), np.float32), np.zeros(num_bands, np.int64), np.float32(min_weight),
        )  # fmt: skip
        on_all_cores(blend, bins, scene, canvas, pairs, most=num_bands)
        if min_trace_weight is None or pairs.counts.max() <= room:
            return canvas, pairs
        room = int(pairs.counts.max())


def _trace(pairs: Pairs) -> Trace:
    used = np.arange(pairs.weights.shape[1]) < pairs.counts[:, None]
    return Trace(
        torch.from_numpy(pairs.gaussians[used].astype(np.int64)), torch.from_numpy(pairs.pixels[used].astype(np.int64)),
        torch.from_numpy(pairs.weights[used]),
    )  # fmt: skip
