"""CPU backend: label votes, as loops over Gaussians. `gpu_votes` has the same functions."""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int32, Int64
from torch import Tensor

from instascene_ros.core.rendering.cpu_jit import arrays, compiled

_NONE = -1  # a free place of a table of cells


def winners(
    ids: Int32[Tensor, "N 4"], weights: Float32[Tensor, "N 4"], rows: Int64[Tensor, " R"] | None, least: float
) -> tuple[Int64[Tensor, " R"], Float32[Tensor, " R"]]:
    """See `votes.winning_segments`; without `rows`, of all."""
    rows = torch.arange(len(ids)) if rows is None else rows
    found, votes = torch.empty(len(rows), dtype=torch.int64), torch.empty(len(rows))
    _winners(*arrays(ids, weights, rows), np.float32(least), *arrays(found, votes))
    return found, votes


def sizes(ids: Int32[Tensor, "N 4"], weights: Float32[Tensor, "N 4"], num_segments: int) -> Int64[Tensor, " S"]:
    """See `votes.segment_sizes`."""
    found = torch.zeros(num_segments, dtype=torch.int64)
    _sizes(*arrays(ids, weights, found))
    return found


def labels(
    ids: Int32[Tensor, "N 4"], weights: Float32[Tensor, "N 4"], label_of: Int64[Tensor, " S"]
) -> Int64[Tensor, " N"]:
    """See `votes.winning_labels`."""
    found = torch.empty(len(ids), dtype=torch.int64)
    _labels(*arrays(ids, weights, label_of, found))
    return found


def choices(
    winner_of: Int64[Tensor, " V"], column_of: Int64[Tensor, " V"], masks: Int64[Tensor, "V 2"],
    home: Int64[Tensor, " S"], target: Int64[Tensor, " M"],
) -> Int64[Tensor, "V 2"]:  # fmt: skip
    """See `votes.choices`."""
    return torch.where(home[column_of][:, None] == masks, winner_of[:, None], target[masks])


def cast(
    ids: Int32[Tensor, "N 4"], weights: Float32[Tensor, "N 4"], rows: Int64[Tensor, " R"],
    segments: Int64[Tensor, "R K"], added: Float32[Tensor, "R K"],
) -> None:  # fmt: skip
    """See `votes.cast`; the two tables are changed in place."""
    _cast(*arrays(ids, weights, rows, segments, added))


def strike(
    means: Float32[Tensor, "N 3"], ids: Int32[Tensor, "N 4"], weights: Float32[Tensor, "N 4"],
    planes: Float32[Tensor, "P 5"], plane_of: Int64[Tensor, " S"], bent_share: float,
) -> Bool[Tensor, " N"]:  # fmt: skip
    """See `support_plane.strike_votes`; the two tables are changed in place."""
    clear = torch.empty(len(ids), dtype=torch.bool)
    counts = np.zeros((2, len(plane_of)), np.int64)
    _strike(*arrays(means, ids, weights, planes, plane_of), counts, bent_share, clear.numpy())
    return clear


def spread(
    means: Float32[Tensor, "N 3"], quats: Float32[Tensor, "N 4"], ids: Int32[Tensor, "N 4"],
    weights: Float32[Tensor, "N 4"], rows: Int64[Tensor, " R"], clear: Bool[Tensor, " N"], radius_m: float,
    faint: float,
) -> None:  # fmt: skip
    """See `votes.spread`; the two tables are changed in place."""
    room = 1 << int(4 * len(rows)).bit_length()  # a power of two: a quarter filled at most
    cells, surest = np.full(room, _NONE, np.int64), np.zeros(room, np.int64)
    tables = arrays(means, quats, ids, weights, rows, clear)
    _spread(*tables, np.float32(radius_m), np.float32(faint), cells, surest, np.empty(len(rows), np.int64))


@compiled(inline=True)
@no_type_check
def _heaviest(weights, i):
    """Slot of the heaviest vote, the first of equals."""
    best = 0
    for k in range(1, 4):
        if weights[i, k] > weights[i, best]:
            best = k
    return best


@compiled()
@no_type_check
def _winners(ids, weights, rows, least, found, votes):
    for k in range(len(rows)):
        i = rows[k]
        best = _heaviest(weights, i)
        votes[k] = weights[i, best]
        found[k] = ids[i, best] if weights[i, best] > least else 0


@compiled()
@no_type_check
def _sizes(ids, weights, found):
    for i in range(len(ids)):
        found[ids[i, _heaviest(weights, i)]] += 1


@compiled()
@no_type_check
def _labels(ids, weights, label_of, found):
    for i in range(len(ids)):
        found[i], most = 0, np.float32(0)
        for k in range(4):
            label = label_of[ids[i, k]]
            total = np.float32(0)
            for other in range(4):
                if label_of[ids[i, other]] == label:
                    total += weights[i, other]
            if label > 0 and total > most:
                found[i], most = label, total


@compiled()
@no_type_check
def _cast(ids, weights, rows, segments, added):
    for k in range(len(rows)):
        i = rows[k]
        for each in range(segments.shape[1]):
            segment, weight = segments[k, each], added[k, each]
            if segment <= 0 or weight <= 0:
                continue
            own, free = -1, 0
            for slot in range(4):
                if own < 0 and ids[i, slot] == segment:
                    own = slot
                if weights[i, slot] < weights[i, free]:
                    free = slot
            if own >= 0:
                weights[i, own] += weight
            elif weights[i, free] <= weight:  # too light a vote displaces none of a full table
                ids[i, free], weights[i, free] = segment, weight


@compiled(inline=True)
@no_type_check
def _off(means, i, plane):
    along = means[i, 0] * plane[0] + means[i, 1] * plane[1] + means[i, 2] * plane[2]
    return abs(along - plane[3]) > plane[4]


@compiled()
@no_type_check
def _strike(means, ids, weights, planes, plane_of, counts, bent_share, clear):
    for i in range(len(ids)):
        winner = ids[i, _heaviest(weights, i)]
        column = plane_of[winner]
        if column >= 0:
            counts[0, winner] += 1
            counts[1, winner] += _off(means, i, planes[column])
        clear[i] = True
        for plane in range(len(planes)):
            clear[i] = clear[i] and _off(means, i, planes[plane])
    for i in range(len(ids)):
        for k in range(4):
            segment = ids[i, k]
            column = plane_of[segment]
            if column >= 0 and counts[1, segment] <= bent_share * counts[0, segment] and _off(means, i, planes[column]):
                ids[i, k], weights[i, k] = 0, 0


@compiled(inline=True)
@no_type_check
def _cell(means, quats, i, clear, radius_m):
    """A cube of `radius_m`, and one of six directions that surfels can face unless it is `clear`, as one number."""
    key = np.int64(6)
    if not clear:
        w, x, y, z = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
        n0, n1 = 2 * (x * z + w * y), 2 * (y * z - w * x)
        n2 = w * w - x * x - y * y + z * z  # as long as the quaternion squared, as the others are
        axis, normal = 2, n2
        if abs(n0) >= abs(n1) and abs(n0) >= abs(n2):
            axis, normal = 0, n0
        elif abs(n1) >= abs(n2):
            axis, normal = 1, n1
        key = np.int64(axis + 3 * (normal > 0))
    for c in range(3):
        key = (key << 20) | (np.int64(np.floor(means[i, c] / radius_m)) & 0xFFFFF)
    return key


@compiled(inline=True)
@no_type_check
def _place(cells, key):
    """Where a key is, or is to be, in a table that is never full (open addressing)."""
    last = len(cells) - 1
    at = ((key * np.int64(0x9E3779B97F4A7C15 - (1 << 64))) >> 20) & last
    while cells[at] != _NONE and cells[at] != key:
        at = (at + 1) & last
    return at


@compiled()
@no_type_check
def _spread(means, quats, ids, weights, rows, clear, radius_m, faint, cells, surest, place_of):
    """`surest` is the row (of `rows`, plus 1) with the heaviest vote of each cell."""
    for k in range(len(rows)):
        i = rows[k]
        key = _cell(means, quats, i, clear[i], radius_m)
        at = _place(cells, key)
        cells[at], place_of[k] = key, at
        best = _heaviest(weights, i)
        if weights[i, best] > (faint if clear[i] else np.float32(0)):
            if surest[at] == 0:
                surest[at] = k + 1
                continue
            other = rows[surest[at] - 1]
            leader = _heaviest(weights, other)
            heavier = weights[i, best] > weights[other, leader]
            if heavier or (weights[i, best] == weights[other, leader] and ids[i, best] > ids[other, leader]):
                surest[at] = k + 1
    for k in range(len(rows)):
        i = rows[k]
        if weights[i, _heaviest(weights, i)] == 0 and surest[place_of[k]] > 0:
            other = rows[surest[place_of[k]] - 1]
            ids[i, 0], weights[i, 0] = ids[other, _heaviest(weights, other)], faint
