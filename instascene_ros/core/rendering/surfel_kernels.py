"""Triton kernels of the gsplat backend: surfels to the image and, for gradients, back. One launch each.

Imported only with the backend: Triton comes with torch for CUDA.
"""

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from instascene_ros.core.rendering.contract import MIN_ALPHA, NEAR_M

BLOCK = 128
FAR_PX = 1e6  # beyond any image, and still exact as an integer
_MIN_ALPHA, _NEAR_M, _FAR_PX = tl.constexpr(MIN_ALPHA), tl.constexpr(NEAR_M), tl.constexpr(FAR_PX)


@triton.jit
@no_type_check
def _axes(quats, log_scales, i, ok):
    """Unit quaternion, 1 / its length, the two scaled axes in the world, and the scales."""
    w, x = tl.load(quats + 4 * i, ok, 1.0), tl.load(quats + 4 * i + 1, ok, 0.0)
    y, z = tl.load(quats + 4 * i + 2, ok, 0.0), tl.load(quats + 4 * i + 3, ok, 0.0)
    inverse = 1 / tl.sqrt(tl.maximum(w * w + x * x + y * y + z * z, 1e-24))
    w, x, y, z = w * inverse, x * inverse, y * inverse, z * inverse
    s, r = tl.exp(tl.load(log_scales + 2 * i, ok, 0.0)), tl.exp(tl.load(log_scales + 2 * i + 1, ok, 0.0))
    a0, a1, a2 = s * (1 - 2 * (y * y + z * z)), s * 2 * (x * y + w * z), s * 2 * (x * z - w * y)
    b0, b1, b2 = r * 2 * (x * y - w * z), r * (1 - 2 * (x * x + z * z)), r * 2 * (y * z + w * x)
    return w, x, y, z, inverse, a0, a1, a2, b0, b1, b2, s, r


@triton.jit
@no_type_check
def in_camera(x, y, z, R0, R1, R2, R3, R4, R5, R6, R7, R8):
    return R0 * x + R1 * y + R2 * z, R3 * x + R4 * y + R5 * z, R6 * x + R7 * y + R8 * z


@triton.jit
@no_type_check
def _half_box(slope_a, slope_b, tangent_a, tangent_b, limit, rho_max):
    """Middle and half width of the silhouette along one image axis, relative to the projected centre."""
    middle = rho_max * (tangent_a * slope_a + tangent_b * slope_b) / limit
    squared = middle * middle - rho_max * (tangent_a * tangent_a + tangent_b * tangent_b) / limit
    return middle, tl.sqrt(tl.maximum(squared, 0.0))


@triton.jit
@no_type_check
def _row_span(a0, a1, b0, b1, d0, p, r, rho_max, dy, first, last):
    """Leftmost and rightmost dx within [first, last] of a row where the disc can be seen; see `cpu_boxes`."""
    q = d0 + r * dy
    square = b0 * b0 + b1 * b1 - rho_max * p * p
    half = -(a0 * b0 + a1 * b1) * dy - rho_max * p * q
    under = half * half - square * ((a0 * a0 + a1 * a1) * dy * dy - rho_max * q * q)
    root, by = tl.sqrt(tl.maximum(under, 0.0)), tl.where(square == 0, 1.0, square)
    low, high = (-half - root) / by, (-half + root) / by
    inside, start, end = square > 0, tl.maximum(low, first), tl.minimum(high, last)
    # Otherwise seen up to `high` and from `low` on.
    before, after = tl.where(high >= first, first, start), tl.where(low <= last, last, end)
    start, end = tl.where(inside, start, before), tl.where(inside, end, after)
    everywhere, nowhere = (square == 0) | ((under < 0) & ~inside), (under < 0) & inside
    start, end = tl.where(everywhere, first, start), tl.where(everywhere, last, end)
    return tl.where(nowhere, float("inf"), start), tl.where(nowhere, -float("inf"), end)


@triton.jit
@no_type_check
def _scanned(a0, a1, b0, b1, w0, w1, depth, rho_max, center_x, center_y, width, height):
    """Box of discs that reach the camera plane, row by row: their silhouettes have no end but may miss the image."""
    a0, a1, b0, b1 = a0.to(tl.float64), a1.to(tl.float64), b0.to(tl.float64), b1.to(tl.float64)
    rho_max, center_x, center_y = rho_max.to(tl.float64), center_x.to(tl.float64), center_y.to(tl.float64)
    d0, p, r = (a0 * b1 - a1 * b0) / depth, (b0 * w1 - b1 * w0) / depth, (a1 * w0 - a0 * w1) / depth
    first, last, round_2 = 0.5 - center_x, width - 0.5 - center_x, rho_max / 2
    left, right = tl.full(a0.shape, _FAR_PX, tl.float64), tl.full(a0.shape, -_FAR_PX, tl.float64)
    top, bottom = left, right
    for row in range(height):
        dy = row + 0.5 - center_y
        start, end = _row_span(a0, a1, b0, b1, d0, p, r, rho_max, dy, first, last)
        around = tl.sqrt(tl.maximum(round_2 - dy * dy, 0.0))
        low, high = tl.maximum(-around, first), tl.minimum(around, last)
        touched = (round_2 >= dy * dy) & (low <= high)
        start, end = tl.where(touched, tl.minimum(start, low), start), tl.where(touched, tl.maximum(end, high), end)
        seen = start <= end
        left, right = tl.where(seen, tl.minimum(left, start), left), tl.where(seen, tl.maximum(right, end), right)
        top, bottom = tl.where(seen, tl.minimum(top, dy), top), tl.where(seen, tl.maximum(bottom, dy), bottom)
    return left - 0.02, right + 0.02, top - 0.02, bottom + 0.02


@triton.jit(do_not_specialize=["n", "width", "height"])  # an object's views have as many sizes
@no_type_check
def _project(
    means, quats, log_scales, logits, rays, centers, opacities, depths, middles, radii, n,
    R0, R1, R2, R3, R4, R5, R6, R7, R8, t0, t1, t2, fx, fy, cx, cy, width, height, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = i < n
    w, x, y, z, inverse, a0, a1, a2, b0, b1, b2, s, r = _axes(quats, log_scales, i, ok)
    m0, m1 = tl.load(means + 3 * i, ok, 0.0) - t0, tl.load(means + 3 * i + 1, ok, 0.0) - t1
    m2 = tl.load(means + 3 * i + 2, ok, 0.0) - t2
    a0, a1, a2 = in_camera(a0, a1, a2, R0, R1, R2, R3, R4, R5, R6, R7, R8)
    b0, b1, b2 = in_camera(b0, b1, b2, R0, R1, R2, R3, R4, R5, R6, R7, R8)
    m0, m1, m2 = in_camera(m0, m1, m2, R0, R1, R2, R3, R4, R5, R6, R7, R8)
    u0, u1, u2 = fx * a0 + cx * a2, fx * b0 + cx * b2, fx * m0 + cx * m2
    v0, v1, v2 = fy * a1 + cy * a2, fy * b1 + cy * b2, fy * m1 + cy * m2
    safe = tl.where(m2 > _NEAR_M, m2, 1.0)
    center_x, center_y = u2 / safe, v2 / safe
    opacity = 1 / (1 + tl.exp(-tl.load(logits + i, ok, 0.0)))
    rho_max = tl.maximum(2 * tl.log(opacity / _MIN_ALPHA), 0.0)
    # The silhouette of a circle of the disc is a conic; one that reaches the camera plane is not bounded.
    limit = rho_max * (a2 * a2 + b2 * b2) - m2 * m2
    bounded = limit < -1e-6 * m2 * m2
    limit = tl.where(bounded, limit, -1.0)
    ax, bx, ay, by = u0 - center_x * a2, u1 - center_x * b2, v0 - center_y * a2, v1 - center_y * b2
    across, half_x = _half_box(a2, b2, ax, bx, limit, rho_max)
    down, half_y = _half_box(a2, b2, ay, by, limit, rho_max)
    low_pass = tl.sqrt(rho_max / 2)
    left, right = tl.minimum(across - half_x, -low_pass), tl.maximum(across + half_x, low_pass)
    top, bottom = tl.minimum(down - half_y, -low_pass), tl.maximum(down + half_y, low_pass)
    endless = ok & (m2 > _NEAR_M) & ~bounded
    if tl.max(endless.to(tl.int32), axis=0) > 0:
        x_0, x_1, y_0, y_1 = _scanned(ax, bx, ay, by, a2, b2, safe, rho_max, center_x, center_y, width, height)
        left, right = tl.where(endless, x_0, left).to(tl.float32), tl.where(endless, x_1, right).to(tl.float32)
        top, bottom = tl.where(endless, y_0, top).to(tl.float32), tl.where(endless, y_1, bottom).to(tl.float32)
    left, right, top, bottom = left + center_x, right + center_x, top + center_y, bottom + center_y
    left, right = tl.maximum(left, -_FAR_PX), tl.minimum(right, _FAR_PX)
    top, bottom = tl.maximum(top, -_FAR_PX), tl.minimum(bottom, _FAR_PX)
    seen = (m2 > _NEAR_M) & (opacity > _MIN_ALPHA) & (left < right) & (top < bottom)
    tl.store(rays + 9 * i, u0, ok)
    tl.store(rays + 9 * i + 1, u1, ok)
    tl.store(rays + 9 * i + 2, u2, ok)
    tl.store(rays + 9 * i + 3, v0, ok)
    tl.store(rays + 9 * i + 4, v1, ok)
    tl.store(rays + 9 * i + 5, v2, ok)
    tl.store(rays + 9 * i + 6, a2, ok)
    tl.store(rays + 9 * i + 7, b2, ok)
    tl.store(rays + 9 * i + 8, m2, ok)
    tl.store(centers + 2 * i, center_x, ok)
    tl.store(centers + 2 * i + 1, center_y, ok)
    tl.store(opacities + i, opacity, ok)
    tl.store(depths + i, m2, ok)
    tl.store(middles + 2 * i, (left + right) / 2, ok)
    tl.store(middles + 2 * i + 1, (top + bottom) / 2, ok)
    tl.store(radii + 2 * i, tl.where(seen, tl.ceil((right - left) / 2), 0.0).to(tl.int32), ok)
    tl.store(radii + 2 * i + 1, tl.where(seen, tl.ceil((bottom - top) / 2), 0.0).to(tl.int32), ok)


@triton.jit(do_not_specialize=["n"])
@no_type_check
def _unproject(
    means, quats, log_scales, logits, of_rays, of_centers, of_opacities,
    of_means, of_quats, of_log_scales, of_logits, n,
    R0, R1, R2, R3, R4, R5, R6, R7, R8, t0, t1, t2, fx, fy, cx, cy, BLOCK: tl.constexpr,
):  # fmt: skip
    """Chain rule of `_project`; `of_x` is the gradient of the loss by x."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = i < n
    w, x, y, z, inverse, a0, a1, a2, b0, b1, b2, s, r = _axes(quats, log_scales, i, ok)
    m0, m1 = tl.load(means + 3 * i, ok, 0.0) - t0, tl.load(means + 3 * i + 1, ok, 0.0) - t1
    m2 = tl.load(means + 3 * i + 2, ok, 0.0) - t2
    m0, m1, m2 = in_camera(m0, m1, m2, R0, R1, R2, R3, R4, R5, R6, R7, R8)
    u0, u1 = tl.load(of_rays + 9 * i, ok, 0.0), tl.load(of_rays + 9 * i + 1, ok, 0.0)
    u2, v0 = tl.load(of_rays + 9 * i + 2, ok, 0.0), tl.load(of_rays + 9 * i + 3, ok, 0.0)
    v1, v2 = tl.load(of_rays + 9 * i + 4, ok, 0.0), tl.load(of_rays + 9 * i + 5, ok, 0.0)
    g0, g1, g2 = fx * u0, fy * v0, cx * u0 + cy * v0 + tl.load(of_rays + 9 * i + 6, ok, 0.0)
    h0, h1, h2 = fx * u1, fy * v1, cx * u1 + cy * v1 + tl.load(of_rays + 9 * i + 7, ok, 0.0)
    k0, k1, k2 = fx * u2, fy * v2, cx * u2 + cy * v2 + tl.load(of_rays + 9 * i + 8, ok, 0.0)
    ahead = m2 > _NEAR_M
    per_depth = tl.where(ahead, 1 / tl.where(ahead, m2, 1.0), 0.0)
    center_x = fx * tl.load(of_centers + 2 * i, ok, 0.0) * per_depth
    center_y = fy * tl.load(of_centers + 2 * i + 1, ok, 0.0) * per_depth
    k0, k1, k2 = k0 + center_x, k1 + center_y, k2 - (m0 * center_x + m1 * center_y) * per_depth
    # The transpose takes gradients back to the world.
    g0, g1, g2 = in_camera(g0, g1, g2, R0, R3, R6, R1, R4, R7, R2, R5, R8)
    h0, h1, h2 = in_camera(h0, h1, h2, R0, R3, R6, R1, R4, R7, R2, R5, R8)
    k0, k1, k2 = in_camera(k0, k1, k2, R0, R3, R6, R1, R4, R7, R2, R5, R8)
    tl.store(of_means + 3 * i, k0, ok)
    tl.store(of_means + 3 * i + 1, k1, ok)
    tl.store(of_means + 3 * i + 2, k2, ok)
    tl.store(of_log_scales + 2 * i, g0 * a0 + g1 * a1 + g2 * a2, ok)
    tl.store(of_log_scales + 2 * i + 1, h0 * b0 + h1 * b1 + h2 * b2, ok)
    g0, g1, g2, h0, h1, h2 = s * g0, s * g1, s * g2, r * h0, r * h1, r * h2
    of_w = 2 * (z * g1 - y * g2 - z * h0 + x * h2)
    of_x = 2 * (y * g1 + z * g2 + y * h0 - 2 * x * h1 + w * h2)
    of_y = 2 * (-2 * y * g0 + x * g1 - w * g2 + x * h0 + z * h2)
    of_z = 2 * (-2 * z * g0 + w * g1 + x * g2 - w * h0 - 2 * z * h1 + y * h2)
    radial = w * of_w + x * of_x + y * of_y + z * of_z  # length does not matter
    tl.store(of_quats + 4 * i, (of_w - w * radial) * inverse, ok)
    tl.store(of_quats + 4 * i + 1, (of_x - x * radial) * inverse, ok)
    tl.store(of_quats + 4 * i + 2, (of_y - y * radial) * inverse, ok)
    tl.store(of_quats + 4 * i + 3, (of_z - z * radial) * inverse, ok)
    opacity = 1 / (1 + tl.exp(-tl.load(logits + i, ok, 0.0)))
    tl.store(of_logits + i, tl.load(of_opacities + i, ok, 0.0) * opacity * (1 - opacity), ok)


class Project(torch.autograd.Function):
    """Columns of a map to those of `Splats`, differentiable in the first three (2DGS, Huang et al. 2024, Eq. 7)."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:
        *columns, view, (width, height) = inputs
        columns = [column.contiguous() for column in columns]
        n, new = len(columns[0]), columns[0].new_empty
        rays, centers, opacities, depths, middles = new(n, 9), new(n, 2), new(n), new(n), new(n, 2)
        radii = torch.empty(n, 2, dtype=torch.int32, device=rays.device)
        out = (rays, centers, opacities, depths, middles, radii)
        _project[(triton.cdiv(n, BLOCK),)](
            *columns, *out, n, *view.R, *view.t, *view.K, width, height, BLOCK=BLOCK
        )  # fmt: skip
        ctx.save_for_backward(*columns)
        ctx.view = view
        ctx.mark_non_differentiable(depths, middles, radii)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        columns = ctx.saved_tensors
        n, view = len(columns[0]), ctx.view
        found = [torch.empty_like(column) for column in columns]
        given = [gradient.contiguous() for gradient in gradients[:3]]
        _unproject[(triton.cdiv(n, BLOCK),)](
            *columns, *given, *found, n, *view.R, *view.t, *view.K, BLOCK=BLOCK
        )  # fmt: skip
        return *found, None, None
