"""Triton kernels of what a view says about the surfels that are there, one launch each.

Imported only where tensors live on a GPU: Triton comes with torch for CUDA.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from instascene_ros.core.rendering.plane_kernels import plane
from instascene_ros.core.rendering.splats import View
from instascene_ros.core.rendering.surfel_kernels import in_camera

BLOCK = 256


@triton.jit(do_not_specialize=["n"])
@no_type_check
def _fuse(
    means, quats, colors, confidence, agreed, quality, shift, error, n, min_color_share, max_confidence,
    BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    seen = (i < n) & (tl.load(agreed + i, i < n, 0.0) > 0)
    w, x, y, z, inverse, n0, n1, n2, c0, c1, c2, m0, m1, m2 = plane(
        means, quats, i, seen, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0
    )
    before, added = tl.load(confidence + i, seen, 0.0), tl.load(quality + i, seen, 0.0)
    share = added / tl.maximum(before + added, 1e-6)
    step = share * tl.load(shift + i, seen, 0.0)
    tl.store(means + 3 * i, m0 + step * n0, seen)
    tl.store(means + 3 * i + 1, m1 + step * n1, seen)
    tl.store(means + 3 * i + 2, m2 + step * n2, seen)
    color_share = tl.maximum(share, min_color_share)
    for c in tl.static_range(3):
        color = tl.load(colors + 3 * i + c, seen, 0.0) + color_share * tl.load(error + 3 * i + c, seen, 0.0)
        tl.store(colors + 3 * i + c, tl.minimum(tl.maximum(color, 0.0), 1.0), seen)
    tl.store(confidence + i, tl.minimum(before + added, max_confidence), seen)


@triton.jit(do_not_specialize=["n"])
@no_type_check
def _carve(
    means, quats, log_scales, confidence, looked, seen_through, kept, surface, tolerances, n, width, height,
    min_share, through_leaves, hidden_leaves, min_confidence, min_sigma_px, min_depth,
    R0, R1, R2, R3, R4, R5, R6, R7, R8, t0, t1, t2, fx, fy, cx, cy, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = i < n
    w, x, y, z, inverse, n0, n1, n2, c0, c1, c2, m0, m1, m2 = plane(
        means, quats, i, ok, R0, R1, R2, R3, R4, R5, R6, R7, R8, t0, t1, t2
    )
    p0, p1, p2 = in_camera(m0, m1, m2, R0, R1, R2, R3, R4, R5, R6, R7, R8)
    ahead = ok & (p2 > min_depth)
    safe = tl.where(ahead, p2, 1.0)
    u, v = tl.floor(fx * p0 / safe + cx), tl.floor(fy * p1 / safe + cy)  # pixel centres sit at half integers
    inside = ahead & (u >= 0) & (v >= 0) & (u < width) & (v < height)
    pixel = tl.where(inside, v * width + u, 0.0).to(tl.int64)
    off = tl.abs(p2 - tl.load(surface + pixel, inside, 0.0))
    on_surface = inside & (off < tl.load(tolerances + pixel, inside, 0.0))
    distance = tl.sqrt(m0 * m0 + m1 * m1 + m2 * m2)
    facing = -(n0 * m0 + n1 * m1 + n2 * m2) > 0.5 * distance
    smaller = tl.minimum(tl.load(log_scales + 2 * i, ok, 0.0), tl.load(log_scales + 2 * i + 1, ok, 0.0))
    fine = tl.exp(smaller) * fx < min_sigma_px * p2
    looks = tl.load(looked + i, ok, 0.0)
    hidden = on_surface & facing & (fine == 0) & (looks == 0)
    through = tl.load(seen_through + i, ok, 0.0) > min_share * looks
    doubted = tl.where(through, through_leaves, tl.where(hidden, hidden_leaves, 1.0))
    left = tl.load(confidence + i, ok, 0.0) * doubted
    tl.store(confidence + i, left, ok)
    tl.store(kept + i, ((through | hidden) & (left < min_confidence)) == 0, ok)


@triton.jit(do_not_specialize=["n"])
@no_type_check
def _coarse(
    means, quats, log_scales, texture, agreed, seen_through, coarse, axis, n, min_texture, min_looked, split_sigma_px,
    min_depth, fx, t0, t1, t2, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = i < n
    w, x, y, z, inverse, n0, n1, n2, c0, c1, c2, m0, m1, m2 = plane(
        means, quats, i, ok, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, t0, t1, t2
    )
    distance = tl.maximum(tl.sqrt(m0 * m0 + m1 * m1 + m2 * m2), min_depth)
    a = ((1 - 2 * (y * y + z * z)) * m0 + 2 * (x * y + w * z) * m1 + 2 * (x * z - w * y) * m2) / distance
    b = (2 * (x * y - w * z) * m0 + (1 - 2 * (x * x + z * z)) * m1 + 2 * (y * z + w * x) * m2) / distance
    sigma_a = tl.exp(tl.load(log_scales + 2 * i, ok, 0.0)) * tl.sqrt(tl.maximum(1 - a * a, 0.0))
    sigma_b = tl.exp(tl.load(log_scales + 2 * i + 1, ok, 0.0)) * tl.sqrt(tl.maximum(1 - b * b, 0.0))
    sure = tl.load(agreed + i, ok, 0.0)
    wanted = (tl.load(texture + i, ok, 0.0) > min_texture) & (sure > min_looked)
    wanted = wanted & (sure > tl.load(seen_through + i, ok, 0.0))
    wanted = wanted & (tl.maximum(sigma_a, sigma_b) * (fx / distance) > split_sigma_px)
    tl.store(coarse + i, wanted, ok)
    tl.store(axis + i, (sigma_b > sigma_a).to(tl.int64), ok)


def fuse(
    columns: tuple[Tensor, ...], evidence: tuple[Tensor, ...], min_color_share: float, max_confidence: float
) -> None:
    """See `fusion.fuse`. Columns are means, quaternions, colours and confidence; evidence is agreed, quality, shift and
    colour error."""
    n = len(columns[0])
    evidence = tuple(each.contiguous() for each in evidence)
    _fuse[(triton.cdiv(n, BLOCK),)](*columns, *evidence, n, min_color_share, max_confidence, BLOCK=BLOCK)


def carve(
    columns: tuple[Tensor, ...], evidence: tuple[Tensor, ...], images: tuple[Float32[Tensor, "H W"], ...], view: View,
    numbers: tuple[float, ...],
) -> Bool[Tensor, " N"]:  # fmt: skip
    """See `carving.carve`. Columns are means, quaternions, scales (log) and confidence; evidence is looked and seen
    through; images are the surface (infinite where it cannot be told) and its tolerance."""
    n, (height, width) = len(columns[0]), images[0].shape
    kept = torch.empty(n, dtype=torch.bool, device=columns[0].device)
    evidence, images = (tuple(each.contiguous() for each in part) for part in (evidence, images))
    _carve[(triton.cdiv(n, BLOCK),)](
        *columns, *evidence, kept, *images, n, width, height, *numbers, *view.R, *view.t, *view.K, BLOCK=BLOCK
    )
    return kept


def coarse(
    columns: tuple[Tensor, ...], evidence: tuple[Tensor, ...], view: View, numbers: tuple[float, ...]
) -> tuple[Bool[Tensor, " N"], Int64[Tensor, " N"]]:
    """See `splitting.coarse`. Columns are means, quaternions and scales (log); evidence is texture, agreed and seen
    through."""
    n = len(columns[0])
    found = torch.empty(n, dtype=torch.bool, device=columns[0].device)
    axis = torch.empty(n, dtype=torch.int64, device=columns[0].device)
    evidence = tuple(each.contiguous() for each in evidence)
    _coarse[(triton.cdiv(n, BLOCK),)](*columns, *evidence, found, axis, n, *numbers, view.K[0], *view.t, BLOCK=BLOCK)
    return found, axis
