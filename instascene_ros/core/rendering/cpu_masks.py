"""CPU backend: traced pairs summed by mask. `mask_kernels` has the same functions."""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from instascene_ros.core.rendering.contract import Trace
from instascene_ros.core.rendering.cpu_jit import arrays, compiled


def traced(
    trace: Trace, num_gaussians: int, labels: Int64[Tensor, "H W"], pixel_weights: Float32[Tensor, "H W"],
    showing: Bool[Tensor, "H W"], num_masks: int, scale: float,
) -> tuple[Int64[Tensor, " V"], Int64[Tensor, "V 2"], Float32[Tensor, "V 2"]]:  # fmt: skip
    """See `segments.MaskTrace.of`."""
    rank = np.full(num_gaussians, -1, np.int64)
    rows = _ranked(trace.gaussians.numpy(), rank)
    masks, weights = torch.zeros(len(rows), 2, dtype=torch.int64), torch.zeros(len(rows), 2)
    pairs = arrays(trace.gaussians, trace.pixels, trace.weights)
    images = [image.reshape(-1) for image in arrays(labels, pixel_weights, showing)]
    sums = np.zeros((len(rows), num_masks + 1), np.float32)
    _sum(*pairs, rank, *images, sums, np.float32(scale), *arrays(masks, weights))
    return torch.from_numpy(rows), masks, weights


def overlap(
    masks: Int64[Tensor, "V 2"], weights: Float32[Tensor, "V 2"], columns: Int64[Tensor, " V"],
    votes: Float32[Tensor, " V"] | None, num_masks: int, num_columns: int,
) -> Float32[Tensor, "2 M S"]:  # fmt: skip
    """See `segments.Overlap.of`; the weights of row 0, which is no mask, are numbers of Gaussians."""
    sums = torch.zeros(2, num_masks + 1, num_columns)
    _overlap(*arrays(masks, weights, columns, torch.zeros(len(masks)) if votes is None else votes, sums))
    return sums


@compiled()
@no_type_check
def _ranked(gaussians, rank):
    """Rows that are traced, ascending; `rank` becomes their places."""
    for p in range(len(gaussians)):
        rank[gaussians[p]] = 0
    count = 0
    for i in range(len(rank)):
        if rank[i] == 0:
            rank[i] = count
            count += 1
    rows = np.empty(count, np.int64)
    for i in range(len(rank)):
        if rank[i] >= 0:
            rows[rank[i]] = i
    return rows


@compiled()
@no_type_check
def _sum(gaussians, pixels, weights, rank, labels, pixel_weights, showing, sums, scale, masks, found):
    for p in range(len(gaussians)):
        pixel = pixels[p]
        if showing[pixel] and labels[pixel] > 0:
            sums[rank[gaussians[p]], labels[pixel]] += weights[p] * pixel_weights[pixel]
    for k in range(len(masks)):
        for mask in range(1, sums.shape[1]):
            weight = sums[k, mask]
            if weight > found[k, 0]:
                masks[k, 1], found[k, 1] = masks[k, 0], found[k, 0]
                masks[k, 0], found[k, 0] = mask, weight
            elif weight > found[k, 1]:
                masks[k, 1], found[k, 1] = mask, weight
        found[k, 0] *= scale
        found[k, 1] *= scale


@compiled()
@no_type_check
def _overlap(masks, weights, columns, votes, sums):
    for k in range(len(masks)):
        sums[0, 0, columns[k]] += 1
        for each in range(2):
            if masks[k, each] > 0:
                sums[0, masks[k, each], columns[k]] += weights[k, each]
        if masks[k, 0] > 0:
            sums[1, masks[k, 0], columns[k]] += votes[k]
