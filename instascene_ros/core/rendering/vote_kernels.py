"""Triton kernels of label votes, one launch each. Imported only where tensors live on a GPU."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float32, Int32, Int64
from torch import Tensor

from instascene_ros.core.rendering.vote_slots import heaviest, slots

BLOCK = 256


@triton.jit(do_not_specialize=["num_rows"])
@no_type_check
def _winners(ids, weights, rows, winners, votes, num_rows, least, ALL: tl.constexpr, BLOCK: tl.constexpr):
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = k < num_rows
    i = k
    if not ALL:
        i = tl.load(rows + k, ok, 0)
    w0, w1, w2, w3 = slots(weights, i, ok)
    slot, most = heaviest(w0, w1, w2, w3)
    winner = tl.load(ids + 4 * i + slot, ok, 0).to(tl.int64)
    tl.store(winners + k, tl.where(most > least, winner, 0), ok)
    tl.store(votes + k, most, ok)


@triton.jit(do_not_specialize=["num_rows"])
@no_type_check
def _sizes(ids, weights, sizes, num_rows, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = i < num_rows
    w0, w1, w2, w3 = slots(weights, i, ok)
    slot, _ = heaviest(w0, w1, w2, w3)
    tl.atomic_add(sizes + tl.load(ids + 4 * i + slot, ok, 0), 1, ok, sem="relaxed")


@triton.jit(do_not_specialize=["num_rows"])
@no_type_check
def _choices(winner_of, column_of, masks, home, target, choices, num_rows, BLOCK: tl.constexpr):
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = k < num_rows
    winner, at = tl.load(winner_of + k, ok, 0), tl.load(home + tl.load(column_of + k, ok, 0), ok, 0)
    for each in tl.static_range(2):
        mask = tl.load(masks + 2 * k + each, ok, 0)
        tl.store(choices + 2 * k + each, tl.where(at == mask, winner, tl.load(target + mask, ok, 0)), ok)


@triton.jit(do_not_specialize=["num_rows"])
@no_type_check
def _labels(ids, weights, label_of, labels, num_rows, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = i < num_rows
    s0, s1, s2, s3 = slots(ids, i, ok)
    w0, w1, w2, w3 = slots(weights, i, ok)
    l0, l1 = tl.load(label_of + s0, ok, 0), tl.load(label_of + s1, ok, 0)
    l2, l3 = tl.load(label_of + s2, ok, 0), tl.load(label_of + s3, ok, 0)
    best, most = tl.zeros_like(l0), tl.zeros_like(w0)
    for k in tl.static_range(4):
        label = l0 if k == 0 else l1 if k == 1 else l2 if k == 2 else l3
        total = tl.where(l0 == label, w0, 0.0) + tl.where(l1 == label, w1, 0.0)
        total = total + tl.where(l2 == label, w2, 0.0) + tl.where(l3 == label, w3, 0.0)
        better = (label > 0) & (total > most)
        best, most = tl.where(better, label, best), tl.where(better, total, most)
    tl.store(labels + i, best, ok)


@triton.jit(do_not_specialize=["num_rows"])
@no_type_check
def _cast(ids, weights, rows, segments, added, num_rows, EACH: tl.constexpr, BLOCK: tl.constexpr):
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = k < num_rows
    i = tl.load(rows + k, ok, 0)
    s0, s1, s2, s3 = slots(ids, i, ok)
    w0, w1, w2, w3 = slots(weights, i, ok)
    for each in tl.static_range(EACH):
        segment = tl.load(segments + EACH * k + each, ok, 0).to(tl.int32)
        weight = tl.load(added + EACH * k + each, ok, 0.0)
        least = tl.minimum(tl.minimum(w0, w1), tl.minimum(w2, w3))
        free = tl.where(w0 == least, 0, tl.where(w1 == least, 1, tl.where(w2 == least, 2, 3)))
        known = (s0 == segment) | (s1 == segment) | (s2 == segment) | (s3 == segment)
        own = tl.where(s0 == segment, 0, tl.where(s1 == segment, 1, tl.where(s2 == segment, 2, 3)))
        counts = (segment > 0) & (weight > 0) & (known | (least <= weight))
        slot = tl.where(counts, tl.where(known, own, free), 4)
        w0 = tl.where(slot == 0, tl.where(known, w0, 0.0) + weight, w0)
        w1 = tl.where(slot == 1, tl.where(known, w1, 0.0) + weight, w1)
        w2 = tl.where(slot == 2, tl.where(known, w2, 0.0) + weight, w2)
        w3 = tl.where(slot == 3, tl.where(known, w3, 0.0) + weight, w3)
        s0, s1 = tl.where(slot == 0, segment, s0), tl.where(slot == 1, segment, s1)
        s2, s3 = tl.where(slot == 2, segment, s2), tl.where(slot == 3, segment, s3)
    tl.store(ids + 4 * i, s0, ok)
    tl.store(ids + 4 * i + 1, s1, ok)
    tl.store(ids + 4 * i + 2, s2, ok)
    tl.store(ids + 4 * i + 3, s3, ok)
    tl.store(weights + 4 * i, w0, ok)
    tl.store(weights + 4 * i + 1, w1, ok)
    tl.store(weights + 4 * i + 2, w2, ok)
    tl.store(weights + 4 * i + 3, w3, ok)


def winners(
    ids: Int32[Tensor, "N 4"], weights: Float32[Tensor, "N 4"], rows: Int64[Tensor, " R"] | None, least: float
) -> tuple[Int64[Tensor, " R"], Float32[Tensor, " R"]]:
    """See `votes.winning_segments`; without `rows`, of all."""
    count = len(ids) if rows is None else len(rows)
    found, votes = torch.empty(count, dtype=torch.int64, device=ids.device), weights.new_empty(count)
    if count:
        chosen, grid = ids if rows is None else rows, (triton.cdiv(count, BLOCK),)
        _winners[grid](ids, weights, chosen, found, votes, count, least, ALL=rows is None, BLOCK=BLOCK)
    return found, votes


def sizes(ids: Int32[Tensor, "N 4"], weights: Float32[Tensor, "N 4"], num_segments: int) -> Int32[Tensor, " S"]:
    """See `votes.segment_sizes`."""
    found = ids.new_zeros(num_segments)
    if len(ids):
        _sizes[(triton.cdiv(len(ids), BLOCK),)](ids, weights, found, len(ids), BLOCK=BLOCK)
    return found


def choices(
    winner_of: Int64[Tensor, " V"], column_of: Int64[Tensor, " V"], masks: Int64[Tensor, "V 2"],
    home: Int64[Tensor, " S"], target: Int64[Tensor, " M"],
) -> Int64[Tensor, "V 2"]:  # fmt: skip
    """See `votes.choices`."""
    found = torch.empty_like(masks)
    if len(masks):
        _choices[(triton.cdiv(len(masks), BLOCK),)](
            winner_of, column_of, masks, home, target, found, len(masks), BLOCK=BLOCK
        )
    return found


def labels(
    ids: Int32[Tensor, "N 4"], weights: Float32[Tensor, "N 4"], label_of: Int64[Tensor, " S"]
) -> Int64[Tensor, " N"]:
    """See `votes.winning_labels`."""
    found = label_of.new_empty(len(ids))
    if len(ids):
        _labels[(triton.cdiv(len(ids), BLOCK),)](ids, weights, label_of, found, len(ids), BLOCK=BLOCK)
    return found


def cast(
    ids: Int32[Tensor, "N 4"], weights: Float32[Tensor, "N 4"], rows: Int64[Tensor, " R"],
    segments: Int64[Tensor, "R K"], added: Float32[Tensor, "R K"],
) -> None:  # fmt: skip
    """See `votes.cast`; the two tables are changed in place."""
    if len(rows):
        _cast[(triton.cdiv(len(rows), BLOCK),)](
            ids, weights, rows, segments.contiguous(), added.contiguous(), len(rows), EACH=segments.shape[1],
            BLOCK=BLOCK,
        )  # fmt: skip
