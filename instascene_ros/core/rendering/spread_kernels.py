"""Triton kernels that pass labels on within small cells. Imported only where tensors live on a GPU."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float32, Int32, Int64
from torch import Tensor

from instascene_ros.core.rendering.vote_slots import heaviest, slots

BLOCK = 256


@triton.jit(do_not_specialize=["num_rows"])
@no_type_check
def _keys(means, quats, ids, weights, rows, clear, keys, ballots, num_rows, radius_m, BLOCK: tl.constexpr):
    """Cell of each row, and its heaviest vote: weight (a float's bits order as it does) over segment."""
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = k < num_rows
    i = tl.load(rows + k, ok, 0)
    w, x = tl.load(quats + 4 * i, ok, 1.0), tl.load(quats + 4 * i + 1, ok, 0.0)
    y, z = tl.load(quats + 4 * i + 2, ok, 0.0), tl.load(quats + 4 * i + 3, ok, 0.0)
    n0, n1 = 2 * (x * z + w * y), 2 * (y * z - w * x)
    n2 = w * w - x * x - y * y + z * z  # as long as the quaternion squared, as the others are
    a0, a1, a2 = tl.abs(n0), tl.abs(n1), tl.abs(n2)
    along_x, along_y = (a0 >= a1) & (a0 >= a2), a1 >= a2
    axis = tl.where(along_x, 0, tl.where(along_y, 1, 2))
    normal = tl.where(along_x, n0, tl.where(along_y, n1, n2))
    facing = axis + tl.where(normal > 0, 3, 0)
    key = tl.where(tl.load(clear + i, ok, 0) != 0, 6, facing).to(tl.int64)
    for c in tl.static_range(3):
        cell = tl.floor(tl.load(means + 3 * i + c, ok, 0.0) / radius_m).to(tl.int64)
        key = (key << 20) | (cell & 0xFFFFF)
    w0, w1, w2, w3 = slots(weights, i, ok)
    slot, most = heaviest(w0, w1, w2, w3)
    segment = tl.load(ids + 4 * i + slot, ok, 0).to(tl.int64)
    tl.store(keys + k, key, ok)
    tl.store(ballots + k, (most.to(tl.int32, bitcast=True).to(tl.int64) << 32) | segment, ok)


@triton.jit(do_not_specialize=["num_rows"])
@no_type_check
def _surest(order, cells, ballots, surest, num_rows, BLOCK: tl.constexpr):
    j = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = j < num_rows
    ballot = tl.load(ballots + tl.load(order + j, ok, 0), ok, 0)
    tl.atomic_max(surest + tl.load(cells + j, ok, 0), ballot, ok & (ballot > 0), sem="relaxed")


@triton.jit(do_not_specialize=["num_rows"])
@no_type_check
def _take(ids, weights, rows, clear, order, cells, ballots, surest, num_rows, faint, BLOCK: tl.constexpr):
    j = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = j < num_rows
    k = tl.load(order + j, ok, 0)
    i = tl.load(rows + k, ok, 0)
    best = tl.load(surest + tl.load(cells + j, ok, 0), ok, 0)
    vote = (best >> 32).to(tl.int32).to(tl.float32, bitcast=True)
    segment = (best & 0xFFFFFFFF).to(tl.int32)
    least = tl.where(tl.load(clear + i, ok, 0) != 0, faint, 0.0)
    takes = ok & (tl.load(ballots + k, ok, 0) >> 32 == 0) & (segment > 0) & (vote > least)
    tl.store(ids + 4 * i, segment, takes)  # without a vote all slots are free
    tl.store(weights + 4 * i, faint + tl.zeros_like(vote), takes)


def spread(
    means: Float32[Tensor, "N 3"], quats: Float32[Tensor, "N 4"], ids: Int32[Tensor, "N 4"],
    weights: Float32[Tensor, "N 4"], rows: Int64[Tensor, " R"], clear: Bool[Tensor, " N"], radius_m: float,
    faint: float,
) -> None:  # fmt: skip
    """See `votes.spread`; the two tables are changed in place."""
    count = len(rows)
    if not count:
        return
    grid, clear = (triton.cdiv(count, BLOCK),), clear.view(torch.uint8)
    keys, ballots = torch.empty(2, count, dtype=torch.int64, device=rows.device)
    _keys[grid](means, quats, ids, weights, rows, clear, keys, ballots, count, radius_m, BLOCK=BLOCK)
    keys, order = keys.sort()
    cells = torch.zeros_like(keys)
    torch.cumsum(keys[1:] != keys[:-1], dim=0, out=cells[1:])
    surest = torch.zeros_like(keys)
    _surest[grid](order, cells, ballots, surest, count, BLOCK=BLOCK)
    _take[grid](ids, weights, rows, clear, order, cells, ballots, surest, count, faint, BLOCK=BLOCK)
