"""Label votes of every Gaussian: a table of its heaviest segments, updated as frames come in.

The argmax of summed alpha*T is the closed-form optimum of lifting 2D labels to Gaussians (FlashSplat, ECCV 2024),
so streaming sums replace feature training. Four slots bound the memory; a full table gives up its lightest vote.

Votes are for segments, which are finer than any verdict on what is one object: when a late verdict tells objects apart
that shared masks for a while, their segments are regrouped and no vote has to be taken back.
"""

from collections.abc import Collection

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from instascene_ros.core.gaussian_map import NUM_VOTES, GaussianMap
from instascene_ros.core.geometry import rotation_from_quats

FAINT = 0.01  # weight of a vote that no mask stands behind


def winning_segments(
    gaussians: GaussianMap, rows: Int64[Tensor, " R"] | None = None
) -> tuple[Int64[Tensor, " R"], Float32[Tensor, " R"]]:
    """Segment with the heaviest vote of each of `rows`, by default all (0 = none), and the weight of that vote."""
    if gaussians.device.type == "cuda":
        from instascene_ros.core.rendering import vote_kernels

        return vote_kernels.winners(gaussians.vote_ids, gaussians.vote_weights, rows)
    chosen = slice(None) if rows is None else rows
    weights, best = gaussians.vote_weights[chosen].max(dim=1, keepdim=True)
    return gaussians.vote_ids[chosen].gather(1, best)[:, 0].long(), weights[:, 0]


def winning_labels(gaussians: GaussianMap, label_of: Int64[Tensor, " S"]) -> Int64[Tensor, " N"]:
    """Label with the heaviest votes of each Gaussian (0 = none), where segments of one label count together."""
    if gaussians.device.type == "cuda":
        from instascene_ros.core.rendering import vote_kernels

        return vote_kernels.labels(gaussians.vote_ids, gaussians.vote_weights, label_of)
    labels = label_of[gaussians.vote_ids.long()].unbind(1)  # 4 of [N]
    weights = gaussians.vote_weights.unbind(1)
    best, most = torch.zeros_like(labels[0]), torch.zeros_like(weights[0])
    for label in labels:
        total = sum((labels[k] == label) * weights[k] for k in range(NUM_VOTES)) * (label > 0)
        best, most = torch.where(total > most, label, best), torch.maximum(total, most)
    return best


def cast(
    gaussians: GaussianMap,
    rows: Int64[Tensor, " R"],
    segments: Int64[Tensor, "R K"],
    weights: Float32[Tensor, "R K"],
) -> None:
    """Add K votes for each of `rows`, which are distinct, one after the other; segment 0 is no vote."""
    if gaussians.device.type == "cuda":
        from instascene_ros.core.rendering import vote_kernels

        vote_kernels.cast(gaussians.vote_ids, gaussians.vote_weights, rows, segments, weights)
        return
    for segment, weight in zip(segments.unbind(1), weights.unbind(1), strict=True):
        _cast_one(gaussians, rows, segment, weight)


def _cast_one(
    gaussians: GaussianMap, rows: Int64[Tensor, " R"], segments: Int64[Tensor, " R"], weights: Float32[Tensor, " R"]
) -> None:
    ids, sums = gaussians.vote_ids[rows], gaussians.vote_weights[rows]  # [R 4]
    same = ids == segments[:, None]
    known = same.any(dim=1)
    slot = torch.where(known, same.int().argmax(dim=1), sums.argmin(dim=1))[:, None]  # free slots weigh 0
    held = sums.gather(1, slot)[:, 0]
    # Too light to displace a vote of a full table.
    stays = (segments <= 0) | (weights <= 0) | (~known & (held > weights))
    total = torch.where(known, held, 0.0) + weights
    chosen = torch.where(stays, ids.gather(1, slot)[:, 0].long(), segments)
    gaussians.vote_ids[rows] = ids.scatter(1, slot, chosen.int()[:, None])
    gaussians.vote_weights[rows] = sums.scatter(1, slot, torch.where(stays, held, total)[:, None])


def spread(gaussians: GaussianMap, rows: Int64[Tensor, " R"], clear: Bool[Tensor, " R"], radius_m: float) -> None:
    """Those of `rows` without a vote faintly vote as the surface around them does: the surest of the same cell.

    So labels reach what is seen while no mask is, frame by frame; any mask has the better of them later. A cell is a
    cube of `radius_m` and one of six directions that surfels can face, so that labels do not run around edges onto a
    support. What is `clear` of all support surfaces keeps to itself, and there directions do not matter: the next face
    of an object is still the object. But only what masks said is passed on there, since noise around the feet of
    objects would carry their labels away over the table.
    """
    segments, votes = winning_segments(gaussians, rows)
    cells = (gaussians.means_m[rows].detach() / radius_m).floor().long() & 0xFFFFF
    normals = rotation_from_quats(gaussians.quats_wxyz[rows].detach())[..., 2]
    axis = normals.abs().argmax(dim=1, keepdim=True)
    facing = torch.where(clear, 6, (axis + 3 * (normals.gather(1, axis) > 0))[:, 0])
    keys = ((facing << 20 | cells[:, 0]) << 20 | cells[:, 1]) << 20 | cells[:, 2]
    _, cell_of = torch.unique(keys, return_inverse=True)
    most = torch.zeros(len(rows), device=rows.device).scatter_reduce_(0, cell_of, votes, "amax")
    surest = (votes == most[cell_of]) & (votes > FAINT * clear)
    segment_of = torch.zeros_like(segments).scatter_reduce_(0, cell_of, torch.where(surest, segments, 0), "amax")
    taken = torch.where(votes > 0, 0, segment_of[cell_of])
    cast(gaussians, rows, taken[:, None], torch.full_like(votes, FAINT)[:, None])


def move_votes(
    gaussians: GaussianMap, rows: Int64[Tensor, " R"], old: Int64[Tensor, " R"], new: Int64[Tensor, " R"]
) -> None:
    """Hand the votes that each of `rows` gave segment `old` to its segment `new`, which has none there yet."""
    ids = gaussians.vote_ids[rows]
    gaussians.vote_ids[rows] = torch.where(ids == old[:, None], new[:, None].int(), ids)


def withdraw(gaussians: GaussianMap, segments: Collection[int]) -> None:
    """Take back every vote for some segments."""
    gone = torch.tensor(sorted(segments), dtype=torch.int32, device=gaussians.device)
    void = torch.isin(gaussians.vote_ids, gone)
    gaussians.vote_ids.masked_fill_(void, 0)
    gaussians.vote_weights.masked_fill_(void, 0.0)
