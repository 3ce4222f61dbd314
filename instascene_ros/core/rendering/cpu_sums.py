"""CPU backend: sums over the surfels of each instance, as loops. `sum_kernels` has the same functions."""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from instascene_ros.core.rendering.cpu_jit import arrays, compiled


def surface_sums(
    means: Float32[Tensor, "N 3"], quats: Float32[Tensor, "N 4"], log_scales: Float32[Tensor, "N 2"],
    columns: Int64[Tensor, " N"], num_columns: int,
) -> Float32[Tensor, "K 8"]:  # fmt: skip
    """See `instance_sums.surface_sums`."""
    sums = np.zeros((num_columns, 8))
    _sums(*arrays(means, quats, log_scales, columns), sums)
    return torch.from_numpy(sums.astype(np.float32))


def ordered(columns: Int64[Tensor, " N"], counts: Int64[np.ndarray, " K"]) -> Int64[Tensor, " N"]:
    """Rows column by column, of which there are `counts`; those of one column as they come."""
    order = torch.empty_like(columns)
    _ordered(*arrays(columns), np.cumsum(counts) - counts, order.numpy())
    return order


@compiled()
@no_type_check
def _ordered(columns, next_place, order):
    for i in range(len(columns)):
        order[next_place[columns[i]]] = i
        next_place[columns[i]] += 1


@compiled()
@no_type_check
def _sums(means, quats, log_scales, columns, sums):
    for i in range(len(columns)):
        if columns[i] == 0:
            continue
        row = sums[columns[i]]
        w, x, y, z = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
        area_m2 = np.exp(log_scales[i, 0] + log_scales[i, 1])
        share = area_m2 / max(w * w + x * x + y * y + z * z, np.float32(1e-24))
        row[0] += 1
        row[1] += area_m2
        row[2] += share * 2 * (x * z + w * y)
        row[3] += share * 2 * (y * z - w * x)
        row[4] += share * (w * w - x * x - y * y + z * z)
        for c in range(3):
            row[5 + c] += means[i, c]
