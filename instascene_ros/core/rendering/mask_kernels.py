"""Triton kernels that sum traced pairs by mask, one launch each. Imported only where tensors live on a GPU."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from instascene_ros.core.rendering.contract import Trace

BLOCK = 256


@triton.jit(do_not_specialize=["num_pairs", "width"])
@no_type_check
def _sum_pairs(
    gaussians, pixels, weights, rank, labels, pixel_weights, showing, sums, num_pairs, width, BLOCK: tl.constexpr
):  # fmt: skip
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = p < num_pairs
    pixel = tl.load(pixels + p, ok, 0)
    mask = tl.load(labels + pixel, ok, 0)
    ok = ok & (mask > 0) & (tl.load(showing + pixel, ok, 0) != 0)
    weight = tl.load(weights + p, ok, 0.0) * tl.load(pixel_weights + pixel, ok, 0.0)
    row = tl.load(rank + tl.load(gaussians + p, ok, 0), ok, 0)
    tl.atomic_add(sums + row * width + mask, weight, ok, sem="relaxed")


@triton.jit(do_not_specialize=["num_rows", "width"])
@no_type_check
def _two_heaviest(sums, masks, weights, num_rows, width, scale, BLOCK: tl.constexpr):
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = k < num_rows
    first, second = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    mask_1, mask_2 = tl.zeros([BLOCK], tl.int64), tl.zeros([BLOCK], tl.int64)
    for mask in range(1, width):
        weight = tl.load(sums + k * width + mask, ok, 0.0)
        leads, follows = weight > first, weight > second
        second = tl.where(leads, first, tl.where(follows, weight, second))
        mask_2 = tl.where(leads, mask_1, tl.where(follows, mask, mask_2))
        first, mask_1 = tl.where(leads, weight, first), tl.where(leads, mask, mask_1)
    tl.store(masks + 2 * k, mask_1, ok)
    tl.store(masks + 2 * k + 1, mask_2, ok)
    tl.store(weights + 2 * k, first * scale, ok)
    tl.store(weights + 2 * k + 1, second * scale, ok)


@triton.jit(do_not_specialize=["num_rows", "num_columns", "num_cells"])
@no_type_check
def _overlap(
    masks, weights, columns, votes, sums, num_rows, num_columns, num_cells, VOTED: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = k < num_rows
    column = tl.load(columns + k, ok, 0)
    tl.atomic_add(sums + column, 1.0 + 0.0 * column, ok, sem="relaxed")
    for each in tl.static_range(2):
        mask = tl.load(masks + 2 * k + each, ok, 0)
        weight = tl.load(weights + 2 * k + each, ok, 0.0)
        tl.atomic_add(sums + mask * num_columns + column, weight, ok & (mask > 0), sem="relaxed")
        if VOTED and each == 0:
            vote = tl.load(votes + k, ok, 0.0)
            tl.atomic_add(sums + num_cells + mask * num_columns + column, vote, ok & (mask > 0), sem="relaxed")


def traced(
    trace: Trace, num_gaussians: int, labels: Int64[Tensor, "H W"], pixel_weights: Float32[Tensor, "H W"],
    showing: Bool[Tensor, "H W"], num_masks: int, scale: float,
) -> tuple[Int64[Tensor, " V"], Int64[Tensor, "V 2"], Float32[Tensor, "V 2"]]:  # fmt: skip
    """See `segments.MaskTrace.of`."""
    in_view = torch.zeros(num_gaussians, dtype=torch.bool, device=labels.device)
    in_view[trace.gaussians] = True
    rows, rank = torch.nonzero(in_view)[:, 0], torch.cumsum(in_view, dim=0) - 1
    count, width = len(rows), num_masks + 1
    sums = pixel_weights.new_zeros(count * width)
    masks, weights = labels.new_empty(count, 2), pixel_weights.new_empty(count, 2)
    if count:
        num_pairs = len(trace.gaussians)
        images = (labels.contiguous(), pixel_weights.contiguous(), showing.contiguous().view(torch.uint8))
        _sum_pairs[(triton.cdiv(num_pairs, BLOCK),)](
            trace.gaussians, trace.pixels, trace.weights, rank, *images, sums, num_pairs, width, BLOCK=BLOCK
        )
        _two_heaviest[(triton.cdiv(count, BLOCK),)](sums, masks, weights, count, width, scale, BLOCK=BLOCK)
    return rows, masks, weights


def overlap(
    masks: Int64[Tensor, "V 2"], weights: Float32[Tensor, "V 2"], columns: Int64[Tensor, " V"],
    votes: Float32[Tensor, " V"] | None, num_masks: int, num_columns: int,
) -> Float32[Tensor, "2 M S"]:  # fmt: skip
    """See `cpu_masks.overlap`."""
    sums = weights.new_zeros(2, num_masks + 1, num_columns)
    if len(masks):
        _overlap[(triton.cdiv(len(masks), BLOCK),)](
            masks, weights, columns, weights if votes is None else votes, sums, len(masks), num_columns,
            sums[0].numel(), VOTED=votes is not None, BLOCK=BLOCK,
        )  # fmt: skip
    return sums
