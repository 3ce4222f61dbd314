"""What a map holds of each of some instances: points to measure it on, and sums over all of its Gaussians."""

from types import ModuleType

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import z_axis_from_quats
from instascene_ros.core.rendering import cpu_sums
from instascene_ros.core.segment_view import table_of
from instascene_ros.core.shape import Samples
from instascene_ros.core.upload import uploaded

SAMPLES = 512  # points of an instance that its extent is measured on


def columns_of(ids: Int64[np.ndarray, " K"], labels: Int64[Tensor, " N"]) -> Int64[Tensor, " N"]:
    """Column of each label; those that are not listed fall into column 0."""
    table = table_of(ids, int(ids[-1]) + 2)
    return uploaded(table, labels.device)[labels.clamp(max=len(table) - 1)]


def sample(
    gaussians: GaussianMap, columns: Int64[Tensor, " N"], counts: Int64[np.ndarray, " K"],
    chosen: Int64[np.ndarray, " C"],
) -> tuple[Int64[Tensor, "C B"], Samples]:  # fmt: skip
    """Rows of the map, evenly spread over each chosen column, and what is there."""
    order = _kernels(columns.device).ordered(columns, counts)
    starts = np.cumsum(counts) - counts
    taken = np.minimum(counts[chosen], SAMPLES)[:, None]
    index = np.arange(min(SAMPLES, int(taken.max(initial=1))))
    spread = starts[chosen][:, None] + np.minimum(index, taken - 1) * counts[chosen][:, None] // np.maximum(taken, 1)
    rows = order[uploaded(spread, order.device)]
    normals = z_axis_from_quats(gaussians.quats_wxyz[rows])
    both = torch.cat([gaussians.means_m[rows], normals], dim=-1).detach().cpu().numpy()
    return rows, Samples(both[..., :3], both[..., 3:], index < taken)


def surface_sums(gaussians: GaussianMap, columns: Int64[Tensor, " N"], num_columns: int) -> Float32[np.ndarray, "K 8"]:
    """Gaussians, area (m2), area times outward normal (m2) and centres (m), summed for every column but the first."""
    surfels = (gaussians.means_m.detach(), gaussians.quats_wxyz.detach(), gaussians.log_scales.detach())
    return _kernels(gaussians.device).surface_sums(*surfels, columns, num_columns).cpu().numpy()


def _kernels(device: torch.device) -> ModuleType:
    if device.type == "cuda":
        from instascene_ros.core.rendering import sum_kernels

        return sum_kernels
    return cpu_sums
