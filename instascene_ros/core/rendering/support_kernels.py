"""Triton kernels of votes near support surfaces, one launch each. Imported only where tensors live on a GPU."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float32, Int32, Int64
from torch import Tensor

from instascene_ros.core.rendering.vote_slots import heaviest, slots

BLOCK = 256


@triton.jit
@no_type_check
def _off(x, y, z, planes, column, ok):
    """Whether points are off the planes (normal, offset, tolerance) of their columns."""
    plane = planes + 5 * column
    along = x * tl.load(plane, ok, 0.0) + y * tl.load(plane + 1, ok, 0.0) + z * tl.load(plane + 2, ok, 0.0)
    return ok & (tl.abs(along - tl.load(plane + 3, ok, 0.0)) > tl.load(plane + 4, ok, 0.0))


@triton.jit(do_not_specialize=["num_rows", "num_segments", "num_planes"])
@no_type_check
def _count(
    means, ids, weights, plane_of, planes, counts, clear, num_rows, num_segments, num_planes, BLOCK: tl.constexpr
):  # fmt: skip
    """Gaussians that each segment wins, those of them off its plane, and which are off all planes."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = i < num_rows
    x, y, z = tl.load(means + 3 * i, ok, 0.0), tl.load(means + 3 * i + 1, ok, 0.0), tl.load(means + 3 * i + 2, ok, 0.0)
    w0, w1, w2, w3 = slots(weights, i, ok)
    slot, most = heaviest(w0, w1, w2, w3)
    winner = tl.load(ids + 4 * i + slot, ok, 0)
    column = tl.load(plane_of + winner, ok, -1)
    ours = ok & (column >= 0)
    tl.atomic_add(counts + winner, 1, ours, sem="relaxed")
    tl.atomic_add(counts + num_segments + winner, 1, _off(x, y, z, planes, column, ours), sem="relaxed")
    off_all = ok
    for each in range(num_planes):
        off_all = off_all & _off(x, y, z, planes, each + 0 * i, ok)
    tl.store(clear + i, off_all.to(tl.int8), ok)


@triton.jit(do_not_specialize=["num_rows", "num_segments"])
@no_type_check
def _strike(
    means, ids, weights, plane_of, planes, counts, num_rows, num_segments, bent_share, BLOCK: tl.constexpr
):  # fmt: skip
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = i < num_rows
    x, y, z = tl.load(means + 3 * i, ok, 0.0), tl.load(means + 3 * i + 1, ok, 0.0), tl.load(means + 3 * i + 2, ok, 0.0)
    for each in tl.static_range(4):
        segment = tl.load(ids + 4 * i + each, ok, 0)
        column = tl.load(plane_of + segment, ok, -1)
        ours = ok & (column >= 0)
        total = tl.load(counts + segment, ours, 0).to(tl.float32)
        astray = tl.load(counts + num_segments + segment, ours, 0).to(tl.float32)
        void = _off(x, y, z, planes, column, ours) & (astray <= bent_share * total)
        tl.store(ids + 4 * i + each, 0, void)
        tl.store(weights + 4 * i + each, 0.0, void)


def strike(
    means: Float32[Tensor, "N 3"], ids: Int32[Tensor, "N 4"], weights: Float32[Tensor, "N 4"],
    planes: Float32[Tensor, "P 5"], plane_of: Int64[Tensor, " S"], bent_share: float,
) -> Bool[Tensor, " N"]:  # fmt: skip
    """See `support_plane.strike_votes`; the two tables are changed in place."""
    count, num_segments = len(ids), len(plane_of)
    clear = torch.zeros(count, dtype=torch.bool, device=ids.device)
    if count:
        grid, counts = (triton.cdiv(count, BLOCK),), ids.new_zeros(2 * num_segments)
        tables = (means, ids, weights, plane_of, planes, counts)
        _count[grid](*tables, clear.view(torch.uint8), count, num_segments, len(planes), BLOCK=BLOCK)
        _strike[grid](*tables, count, num_segments, bent_share, BLOCK=BLOCK)
    return clear
