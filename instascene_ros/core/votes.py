"""Label votes of every Gaussian: a table of its heaviest segments, updated as frames come in.

The argmax of summed alpha*T is the closed-form optimum of lifting 2D labels to Gaussians (FlashSplat, ECCV 2024),
so streaming sums replace feature training. Four slots bound the memory; a full table gives up its lightest vote.

Votes are for segments, which are finer than any verdict on what is one object: when a late verdict tells objects apart
that shared masks for a while, their segments are regrouped and no vote has to be taken back.
"""

from collections.abc import Collection, Mapping
from types import ModuleType

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, Integer
from torch import Tensor

from instascene_ros.core.gaussian_map import NUM_VOTES, GaussianMap
from instascene_ros.core.rendering import cpu_votes
from instascene_ros.core.upload import uploaded

FAINT = 0.01  # weight of a vote that no mask stands behind


def winning_segments(
    gaussians: GaussianMap, rows: Int64[Tensor, " R"] | None = None, least: float = 0.0
) -> tuple[Int64[Tensor, " R"], Float32[Tensor, " R"]]:
    """Segment with the heaviest vote of each of `rows`, by default all, and the weight of that vote.

    Votes of no more than `least` are for none: segment 0.
    """
    return _kernels(gaussians.device).winners(gaussians.vote_ids, gaussians.vote_weights, rows, least)


def segment_sizes(gaussians: GaussianMap, num_segments: int) -> Integer[Tensor, " S"]:
    """Gaussians that each segment has the heaviest vote of; entry 0: that have none."""
    return _kernels(gaussians.device).sizes(gaussians.vote_ids, gaussians.vote_weights, num_segments)


def winning_labels(gaussians: GaussianMap, label_of: Int64[Tensor, " S"]) -> Int64[Tensor, " N"]:
    """Label with the heaviest votes of each Gaussian (0 = none), where segments of one label count together."""
    return _kernels(gaussians.device).labels(gaussians.vote_ids, gaussians.vote_weights, label_of)


def choices(
    winner_of: Int64[Tensor, " V"], column_of: Int64[Tensor, " V"], masks: Int64[Tensor, "V 2"],
    home: Int64[Tensor, " S"], target: Int64[Tensor, " M"],
) -> Int64[Tensor, "V 2"]:  # fmt: skip
    """Segment that each Gaussian votes for in either mask: its own where the mask is its home, else the mask's target.

    `home` is the mask that holds each column, `target` the segment that each mask's other Gaussians join.
    """
    return _kernels(masks.device).choices(winner_of, column_of, masks, home, target)


def cast(
    gaussians: GaussianMap,
    rows: Int64[Tensor, " R"],
    segments: Int64[Tensor, "R K"],
    weights: Float32[Tensor, "R K"],
) -> None:
    """Add K votes for each of `rows`, which are distinct, one after the other; segment 0 is no vote."""
    _kernels(gaussians.device).cast(gaussians.vote_ids, gaussians.vote_weights, rows, segments, weights)


def spread(gaussians: GaussianMap, rows: Int64[Tensor, " R"], clear: Bool[Tensor, " N"], radius_m: float) -> None:
    """Those of `rows` without a vote faintly vote as the surface around them does: the surest of the same cell.

    So labels reach what is seen while no mask is, frame by frame; any mask has the better of them later. A cell is a
    cube of `radius_m` and one of six directions that surfels can face, so that labels do not run around edges onto a
    support. What is `clear` of all support surfaces keeps to itself, and there directions do not matter: the next face
    of an object is still the object. But only what masks said is passed on there, since noise around the feet of
    objects would carry their labels away over the table.
    """
    columns = gaussians.means_m, gaussians.quats_wxyz, gaussians.vote_ids, gaussians.vote_weights
    _kernels(gaussians.device).spread(*columns, rows, clear, radius_m, FAINT)


def strike(
    gaussians: GaussianMap, planes: Float32[Tensor, "P 5"], plane_of: Int64[Tensor, " S"], bent_share: float
) -> Bool[Tensor, " N"]:
    """Take votes for a segment back from the Gaussians that are off its plane; returns which are off all planes.

    A plane is its normal, offset and tolerance (m); `plane_of` is the one of each segment, -1 = none. A segment of
    which more than `bent_share` is off its plane keeps its votes.
    """
    columns = gaussians.means_m, gaussians.vote_ids, gaussians.vote_weights
    return _kernels(gaussians.device).strike(*columns, planes, plane_of, bent_share)


def move_votes(
    gaussians: GaussianMap, rows: Int64[Tensor, " R"], old: Int64[Tensor, " R"], new: Int64[Tensor, " R"]
) -> None:
    """Hand the votes that each of `rows` gave segment `old` to its segment `new`, which has none there yet."""
    ids = gaussians.vote_ids[rows]
    gaussians.vote_ids[rows] = torch.where(ids == old[:, None], new[:, None].int(), ids)


def fold_votes(gaussians: GaussianMap, into: Mapping[int, int]) -> None:
    """Votes for a segment count for the one that it becomes part of."""
    table = np.arange(1 + max(int(gaussians.vote_ids.max()), *into), dtype=np.int64)
    table[list(into)] = list(into.values())
    ids = uploaded(table, gaussians.device)[gaussians.vote_ids.long()]  # [N 4]
    weights = gaussians.vote_weights.clone()
    for slot in range(1, NUM_VOTES):  # to the first slot of the same segment
        same = (ids[:, :slot] == ids[:, slot, None]) & (ids[:, slot, None] > 0)
        first = same.int().argmax(dim=1, keepdim=True)
        twice = same.any(dim=1)
        weights.scatter_add_(1, first, torch.where(twice, weights[:, slot], 0.0)[:, None])
        weights[:, slot].masked_fill_(twice, 0.0)
        ids[:, slot].masked_fill_(twice, 0)
    gaussians.vote_ids.copy_(ids)
    gaussians.vote_weights.copy_(weights)


def withdraw(gaussians: GaussianMap, segments: Collection[int]) -> None:
    """Take back every vote for some segments."""
    gone = uploaded(np.array(sorted(segments), np.int32), gaussians.device)
    void = torch.isin(gaussians.vote_ids, gone)
    gaussians.vote_ids.masked_fill_(void, 0)
    gaussians.vote_weights.masked_fill_(void, 0.0)


def _kernels(device: torch.device) -> ModuleType:
    if device.type == "cuda":
        from instascene_ros.core.rendering import gpu_votes

        return gpu_votes
    return cpu_votes
