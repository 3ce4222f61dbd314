"""What a map holds of each of some instances: points to measure it on, and sums over all of its Gaussians."""

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import rotation_from_quats
from instascene_ros.core.shape import Samples

SAMPLES = 512  # points of an instance that its extent is measured on


def columns_of(ids: Int64[np.ndarray, " K"], labels: Int64[Tensor, " N"]) -> Int64[Tensor, " N"]:
    """Column of each label; those that are not listed fall into column 0."""
    table = np.zeros(int(ids[-1]) + 2, np.int64)
    table[ids] = np.arange(len(ids))
    return torch.from_numpy(table).to(labels.device)[labels.clamp(max=len(table) - 1)]


def sample(
    gaussians: GaussianMap, columns: Int64[Tensor, " N"], counts: Int64[np.ndarray, " K"],
    chosen: Int64[np.ndarray, " C"],
) -> tuple[Int64[Tensor, "C B"], Samples]:  # fmt: skip
    """Rows of the map, evenly spread over each chosen column, and what is there."""
    order = torch.argsort(columns, stable=True)
    starts = np.cumsum(counts) - counts
    taken = np.minimum(counts[chosen], SAMPLES)[:, None]
    index = np.arange(min(SAMPLES, int(taken.max(initial=1))))
    spread = starts[chosen][:, None] + np.minimum(index, taken - 1) * counts[chosen][:, None] // np.maximum(taken, 1)
    rows = order[torch.from_numpy(spread).to(order.device)]
    normals = rotation_from_quats(gaussians.quats_wxyz[rows])[..., 2]
    both = torch.cat([gaussians.means_m[rows], normals], dim=-1).detach().cpu().numpy()
    return rows, Samples(both[..., :3], both[..., 3:], index < taken)


def surface_sums(gaussians: GaussianMap, columns: Int64[Tensor, " N"], num_columns: int) -> Float32[np.ndarray, "K 8"]:
    """Per column: Gaussians, area (m2), area times outward normal (m2), centres (m), summed."""
    area_m2 = gaussians.log_scales.sum(dim=1).exp()[:, None]
    values = torch.cat([torch.ones_like(area_m2), area_m2, area_m2 * gaussians.normals, gaussians.means_m], dim=1)
    sums = torch.zeros(num_columns, values.shape[1], device=values.device)
    return sums.index_add_(0, columns, values.detach()).cpu().numpy()
