"""Triton kernels of surfels' planes: the features that are blended, and their gradient. One launch each.

Imported only where tensors live on a GPU: Triton comes with torch for CUDA.
"""

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from instascene_ros.core.rendering.surfel_kernels import BLOCK, in_camera


@triton.jit
@no_type_check
def plane(means, quats, i, ok, R0, R1, R2, R3, R4, R5, R6, R7, R8, t0, t1, t2):
    """Unit quaternion, 1 / its length, the normal in the world and in the camera, and the mean from the camera."""
    w, x = tl.load(quats + 4 * i, ok, 1.0), tl.load(quats + 4 * i + 1, ok, 0.0)
    y, z = tl.load(quats + 4 * i + 2, ok, 0.0), tl.load(quats + 4 * i + 3, ok, 0.0)
    inverse = 1 / tl.sqrt(tl.maximum(w * w + x * x + y * y + z * z, 1e-24))
    w, x, y, z = w * inverse, x * inverse, y * inverse, z * inverse
    n0, n1, n2 = 2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)
    c0, c1, c2 = in_camera(n0, n1, n2, R0, R1, R2, R3, R4, R5, R6, R7, R8)
    m0, m1 = tl.load(means + 3 * i, ok, 0.0) - t0, tl.load(means + 3 * i + 1, ok, 0.0) - t1
    m2 = tl.load(means + 3 * i + 2, ok, 0.0) - t2
    return w, x, y, z, inverse, n0, n1, n2, c0, c1, c2, m0, m1, m2


@triton.jit(do_not_specialize=["n"])
@no_type_check
def _plane_features(
    means, quats, colors, features, n,
    R0, R1, R2, R3, R4, R5, R6, R7, R8, t0, t1, t2, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = i < n
    w, x, y, z, inverse, n0, n1, n2, c0, c1, c2, m0, m1, m2 = plane(
        means, quats, i, ok, R0, R1, R2, R3, R4, R5, R6, R7, R8, t0, t1, t2
    )
    offset = n0 * m0 + n1 * m1 + n2 * m2
    toward = tl.where(offset > 0, -1.0, 1.0)
    out = features + 7 * i
    tl.store(out, tl.load(colors + 3 * i, ok, 0.0), ok)
    tl.store(out + 1, tl.load(colors + 3 * i + 1, ok, 0.0), ok)
    tl.store(out + 2, tl.load(colors + 3 * i + 2, ok, 0.0), ok)
    tl.store(out + 3, c0 * toward, ok)
    tl.store(out + 4, c1 * toward, ok)
    tl.store(out + 5, c2 * toward, ok)
    tl.store(out + 6, offset * toward, ok)


@triton.jit(do_not_specialize=["n"])
@no_type_check
def _plane_features_backward(
    means, quats, of_features, of_means, of_quats, of_colors, n,
    R0, R1, R2, R3, R4, R5, R6, R7, R8, t0, t1, t2, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = i < n
    w, x, y, z, inverse, n0, n1, n2, c0, c1, c2, m0, m1, m2 = plane(
        means, quats, i, ok, R0, R1, R2, R3, R4, R5, R6, R7, R8, t0, t1, t2
    )
    toward = tl.where(n0 * m0 + n1 * m1 + n2 * m2 > 0, -1.0, 1.0)
    given = of_features + 7 * i
    tl.store(of_colors + 3 * i, tl.load(given, ok, 0.0), ok)
    tl.store(of_colors + 3 * i + 1, tl.load(given + 1, ok, 0.0), ok)
    tl.store(of_colors + 3 * i + 2, tl.load(given + 2, ok, 0.0), ok)
    g0, g1 = tl.load(given + 3, ok, 0.0) * toward, tl.load(given + 4, ok, 0.0) * toward
    g2, of_offset = tl.load(given + 5, ok, 0.0) * toward, tl.load(given + 6, ok, 0.0) * toward
    tl.store(of_means + 3 * i, of_offset * n0, ok)
    tl.store(of_means + 3 * i + 1, of_offset * n1, ok)
    tl.store(of_means + 3 * i + 2, of_offset * n2, ok)
    g0, g1, g2 = in_camera(g0, g1, g2, R0, R3, R6, R1, R4, R7, R2, R5, R8)
    g0, g1, g2 = g0 + of_offset * m0, g1 + of_offset * m1, g2 + of_offset * m2
    of_w, of_x = 2 * (y * g0 - x * g1), 2 * (z * g0 - w * g1 - 2 * x * g2)
    of_y, of_z = 2 * (w * g0 + z * g1 - 2 * y * g2), 2 * (x * g0 + y * g1)
    radial = w * of_w + x * of_x + y * of_y + z * of_z
    tl.store(of_quats + 4 * i, (of_w - w * radial) * inverse, ok)
    tl.store(of_quats + 4 * i + 1, (of_x - x * radial) * inverse, ok)
    tl.store(of_quats + 4 * i + 2, (of_y - y * radial) * inverse, ok)
    tl.store(of_quats + 4 * i + 3, (of_z - z * radial) * inverse, ok)


class PlaneFeatures(torch.autograd.Function):
    """See `render.plane_features`, of which this is one launch each way."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        *columns, view = inputs
        means, quats, colors = (column.contiguous() for column in columns)
        features = means.new_empty(len(means), 7)
        _plane_features[(triton.cdiv(len(means), BLOCK),)](
            means, quats, colors, features, len(means), *view.R, *view.t, BLOCK=BLOCK
        )
        ctx.save_for_backward(means, quats)
        ctx.view = view
        return features

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        means, quats = ctx.saved_tensors
        found = torch.empty_like(means), torch.empty_like(quats), torch.empty_like(means)
        _plane_features_backward[(triton.cdiv(len(means), BLOCK),)](
            means, quats, gradients[0].contiguous(), *found, len(means), *ctx.view.R, *ctx.view.t, BLOCK=BLOCK
        )
        return *found, None
