"""Sums over the surfels of each instance as one Triton launch. Imported only where tensors live on a GPU."""

from typing import no_type_check

import numpy as np
import torch
import triton
import triton.language as tl
from jaxtyping import Float32, Int64
from torch import Tensor

BLOCK = 256


@triton.jit(do_not_specialize=["num_rows"])
@no_type_check
def _sums(means, quats, log_scales, columns, sums, num_rows, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    column = tl.load(columns + i, i < num_rows, 0)
    ok, row = column > 0, sums + 8 * column
    w, x = tl.load(quats + 4 * i, ok, 1.0), tl.load(quats + 4 * i + 1, ok, 0.0)
    y, z = tl.load(quats + 4 * i + 2, ok, 0.0), tl.load(quats + 4 * i + 3, ok, 0.0)
    area_m2 = tl.exp(tl.load(log_scales + 2 * i, ok, 0.0) + tl.load(log_scales + 2 * i + 1, ok, 0.0))
    share = area_m2 / tl.maximum(w * w + x * x + y * y + z * z, 1e-24)
    tl.atomic_add(row, 1.0 + 0.0 * area_m2, ok, sem="relaxed")
    tl.atomic_add(row + 1, area_m2, ok, sem="relaxed")
    tl.atomic_add(row + 2, share * 2 * (x * z + w * y), ok, sem="relaxed")
    tl.atomic_add(row + 3, share * 2 * (y * z - w * x), ok, sem="relaxed")
    tl.atomic_add(row + 4, share * (w * w - x * x - y * y + z * z), ok, sem="relaxed")
    for c in tl.static_range(3):
        tl.atomic_add(row + 5 + c, tl.load(means + 3 * i + c, ok, 0.0), ok, sem="relaxed")


def ordered(columns: Int64[Tensor, " N"], counts: Int64[np.ndarray, " K"]) -> Int64[Tensor, " N"]:
    """See `cpu_sums.ordered`."""
    return torch.argsort(columns, stable=True)


def surface_sums(
    means: Float32[Tensor, "N 3"], quats: Float32[Tensor, "N 4"], log_scales: Float32[Tensor, "N 2"],
    columns: Int64[Tensor, " N"], num_columns: int,
) -> Float32[Tensor, "K 8"]:  # fmt: skip
    """See `instance_sums.surface_sums`."""
    sums = means.new_zeros(num_columns, 8)
    if len(columns):
        _sums[(triton.cdiv(len(columns), BLOCK),)](
            means, quats, log_scales, columns, sums, len(columns), BLOCK=BLOCK
        )
    return sums
