"""Label votes of every Gaussian: a table of its heaviest segments, updated as frames come in.

The argmax of summed alpha*T is the closed-form optimum of lifting 2D labels to Gaussians (FlashSplat, ECCV 2024),
so streaming sums replace feature training. Four slots bound the memory; a full table gives up its lightest vote.
"""

from collections.abc import Collection
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from instascene_ros.core.gaussian_map import GaussianMap


@dataclass(frozen=True)
class Ballot:
    """Votes of one frame: distinct (Gaussian, segment) pairs with their weight."""

    gaussians: Int64[Tensor, " P"]
    segments: Int64[Tensor, " P"]
    weights: Float32[Tensor, " P"]

    @classmethod
    def tally(
        cls, gaussians: Int64[Tensor, " Q"], segments: Int64[Tensor, " Q"], weights: Float32[Tensor, " Q"]
    ) -> "Ballot":
        """Sum the weights of equal (Gaussian, segment) pairs; segment 0 is no vote."""
        cast = segments > 0
        if not bool(cast.any()):
            none = gaussians.new_zeros(0)
            return cls(none, none, weights.new_zeros(0))
        gaussians, segments, weights = gaussians[cast], segments[cast], weights[cast]
        base = int(segments.max()) + 1
        keys, inverse = torch.unique(gaussians * base + segments, return_inverse=True)
        sums = torch.zeros(len(keys), dtype=weights.dtype, device=weights.device).index_add_(0, inverse, weights)
        return cls(keys // base, keys % base, sums)


def winning_segments(gaussians: GaussianMap) -> Int64[Tensor, " N"]:
    """Segment with the heaviest vote of each Gaussian, 0 = none."""
    best = gaussians.vote_weights.argmax(dim=1, keepdim=True)
    return gaussians.vote_ids.gather(1, best)[:, 0].long()


def cast(gaussians: GaussianMap, ballot: Ballot) -> None:
    """Add a frame's votes to the table."""
    # The ballot is sorted by Gaussian: its votes are cast in rounds, the k-th vote of every Gaussian in round k.
    starts = torch.ones(len(ballot.gaussians), dtype=torch.bool, device=ballot.gaussians.device)
    starts[1:] = ballot.gaussians[1:] != ballot.gaussians[:-1]
    index = torch.arange(len(starts), device=starts.device)
    rank = index - torch.cummax(torch.where(starts, index, 0), dim=0).values
    for round_ in range(int(rank.max()) + 1 if len(rank) else 0):
        chosen = rank == round_
        _cast_one_each(gaussians, ballot.gaussians[chosen], ballot.segments[chosen], ballot.weights[chosen])


def _cast_one_each(
    gaussians: GaussianMap, rows: Int64[Tensor, " R"], segments: Int64[Tensor, " R"], weights: Float32[Tensor, " R"]
) -> None:
    ids, sums = gaussians.vote_ids[rows], gaussians.vote_weights[rows]  # [R 4]
    same = ids == segments[:, None]
    known = same.any(dim=1)
    slot = torch.where(known, same.int().argmax(dim=1), sums.argmin(dim=1))[:, None]  # free slots weigh 0
    before = torch.where(known, sums.gather(1, slot)[:, 0], 0.0)
    stays = ~known & (sums.gather(1, slot)[:, 0] > weights)  # too light to displace a vote of a full table
    ids = torch.where(stays[:, None], ids, ids.scatter(1, slot, segments.int()[:, None]))
    sums = torch.where(stays[:, None], sums, sums.scatter(1, slot, (before + weights)[:, None]))
    gaussians.vote_ids[rows], gaussians.vote_weights[rows] = ids, sums


def move_votes(gaussians: GaussianMap, rows: Int64[Tensor, " R"], old: int, new: int) -> None:
    """Hand the votes that `rows` gave segment `old` to a segment `new` that has none yet."""
    ids = gaussians.vote_ids[rows]
    gaussians.vote_ids[rows] = torch.where(ids == old, new, ids)


def withdraw(gaussians: GaussianMap, segments: Collection[int]) -> None:
    """Take back every vote for some segments."""
    gone = torch.tensor(sorted(segments), dtype=torch.int32, device=gaussians.device)
    void = torch.isin(gaussians.vote_ids, gone)
    gaussians.vote_ids[void], gaussians.vote_weights[void] = 0, 0.0


def votes_for(gaussians: GaussianMap, rows: Int64[Tensor, " R"], segment: int) -> Float32[Tensor, " R"]:
    """Weight that each of `rows` has given to a segment."""
    return (gaussians.vote_weights[rows] * (gaussians.vote_ids[rows] == segment)).sum(dim=1)


def in_segments(winners: Int64[Tensor, " N"], segments: list[int]) -> Bool[Tensor, " N"]:
    """Gaussians whose winning segment is one of `segments`."""
    return torch.isin(winners, torch.tensor(segments, dtype=winners.dtype, device=winners.device))
