"""Keeping the map within its bounds: what is far away goes, and a full map makes room where it is least sure."""

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from instascene_ros.core.evidence import in_view
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.keyframe import Keyframe

CONFIRMED = 1.0  # confidence from which a surfel is never given up for a new one


def near(gaussians: GaussianMap, positions_m: Float32[Tensor, "K 3"], radius_m: float) -> Bool[Tensor, " N"]:
    """Surfels within the radius of one of the camera positions."""
    return torch.cdist(gaussians.means_m, positions_m).amin(dim=1) <= radius_m


def with_room_for(count: int, keyframe: Keyframe, gaussians: GaussianMap, max_gaussians: int) -> Bool[Tensor, " N"]:
    """Surfels that stay when `count` more are to fit: the least certain ones go that are out of view and unconfirmed.

    There may be too few of those: the rest of the new surfels has to be refused.
    """
    kept = torch.ones(len(gaussians), dtype=torch.bool, device=gaussians.device)
    excess = min(len(gaussians) + count - max_gaussians, len(gaussians))
    if excess <= 0:
        return kept
    pixels, _ = in_view(keyframe, gaussians)
    confidence = torch.where(pixels < 0, gaussians.confidence, torch.inf)
    doubtful, rows = confidence.topk(excess, largest=False)
    kept[rows] = doubtful >= CONFIRMED
    return kept
