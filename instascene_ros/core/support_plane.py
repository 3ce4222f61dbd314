"""Planes of support surfaces. What clearly stands off its plane is no part of a table, whatever the masks say.

A mask of the table runs over the lower rims of what stands on it, in every view a little elsewhere, and all over an
object whose own mask is missing: those votes would outnumber the object's where it is seen as a whole but rarely.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.votes import winning_segments

SIGMAS = 4.0  # of the surface's own roughness
MIN_TOLERANCE_M = 0.006  # a mixture of two surfaces lies this far off either
ROUNDS = 4  # of fitting the plane to what lies on it


@dataclass(frozen=True)
class Plane:
    """n.p = offset. Points further from it than the tolerance are off it."""

    normal: Float64[np.ndarray, " 3"]  # unit, world
    offset_m: float
    tolerance_m: float


def plane_of(points_m: Float32[np.ndarray, "P 3"], config: TrackingConfig) -> Plane | None:
    """The plane that most of the points lie on; None: they are not flat."""
    points = near = points_m.astype(np.float64)
    for _ in range(ROUNDS):
        centred = near - near.mean(axis=0)
        normal = np.linalg.eigh(centred.T @ centred)[1][:, 0]
        offset = float(np.median(near @ normal))
        near = points[np.abs(points @ normal - offset) < config.flat_thickness_m]
        if len(near) < config.min_flat_share * len(points):
            return None
    sigma_m = 1.4826 * float(np.median(np.abs(near @ normal - offset)))
    return Plane(normal, offset, max(SIGMAS * sigma_m, MIN_TOLERANCE_M))


def off_planes(gaussians: GaussianMap, planes: Sequence[Plane]) -> Bool[Tensor, "N P"]:
    """Which Gaussians are off which planes."""
    normals = torch.tensor(np.array([p.normal for p in planes]), dtype=torch.float32, device=gaussians.device)
    limits = torch.tensor([(p.offset_m, p.tolerance_m) for p in planes], dtype=torch.float32, device=gaussians.device)
    return (gaussians.means_m.detach() @ normals.T - limits[:, 0]).abs() > limits[:, 1]


def strike_votes(
    gaussians: GaussianMap, off: Bool[Tensor, "N P"], plane_of_segment: Int64[Tensor, " S"], config: TrackingConfig
) -> None:
    """Take votes for a support surface's segments back from the Gaussians that are off its plane.

    `plane_of_segment` is the column of each segment's plane, -1 = of none. A segment that is not flat itself is left
    alone: it is an object that the views have not told from its support yet.
    """
    num_segments = len(plane_of_segment)
    winners, _ = winning_segments(gaussians)
    column = plane_of_segment[winners]
    astray = (column >= 0) & off.gather(1, column.clamp(min=0)[:, None])[:, 0]
    total = torch.bincount(winners, minlength=num_segments)
    flat = torch.bincount(winners[astray], minlength=num_segments) <= (1 - config.min_flat_share) * total
    columns = torch.where(flat, plane_of_segment, -1)[gaussians.vote_ids.long()]  # [N 4]
    void = (columns >= 0) & off.gather(1, columns.clamp(min=0))
    gaussians.vote_ids.masked_fill_(void, 0)
    gaussians.vote_weights.masked_fill_(void, 0.0)
