"""Planes of support surfaces. What clearly stands off its plane is no part of a table, whatever the masks say.

A mask of the table runs over the lower rims of what stands on it, in every view a little elsewhere, and all over an
object whose own mask is missing: those votes would outnumber the object's where it is seen as a whole but rarely.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64
from torch import Tensor

from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.upload import uploaded
from instascene_ros.core.votes import strike

SIGMAS = 4.0  # of the surface's own roughness
MIN_TOLERANCE_M = 0.006  # a mixture of two surfaces lies this far off either
ROUNDS = 4  # of fitting the plane to what lies on it


@dataclass(frozen=True)
class Plane:
    """n.p = offset. Points further from it than the tolerance are off it."""

    normal: Float64[np.ndarray, " 3"]  # unit, world
    offset_m: float
    tolerance_m: float

    def is_off(self, points_m: Float32[np.ndarray, "P 3"]) -> Bool[np.ndarray, " P"]:
        """Which points are off it."""
        return np.abs(points_m @ self.normal - self.offset_m) > self.tolerance_m


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


def strike_votes(
    gaussians: GaussianMap, planes: Sequence[Plane], segments: Sequence[Sequence[int]], num_segments: int,
    config: TrackingConfig,
) -> Bool[Tensor, " N"]:  # fmt: skip
    """Take votes for a support surface's segments back from the Gaussians that are off its plane; which are off all?

    `segments` are those of each plane, all below `num_segments`. A segment that is not flat itself is left alone: it
    is an object that the views have not told from its support yet. Where no plane is known, nothing is off any.
    """
    if not planes:
        return torch.zeros(len(gaussians), dtype=torch.bool, device=gaussians.device)
    plane_of = np.full(num_segments, -1, np.int64)
    for plane, of_plane in enumerate(segments):
        plane_of[of_plane] = plane
    rows = np.array([(*p.normal, p.offset_m, p.tolerance_m) for p in planes], np.float32)
    tables = uploaded(rows, gaussians.device), uploaded(plane_of, gaussians.device)
    return strike(gaussians, *tables, 1 - config.min_flat_share)
