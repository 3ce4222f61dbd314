"""Crumbs: points of an instance that lie apart from its main part."""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float32, Integer
from numba import njit
from torch import Tensor

from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.upload import uploaded

MIN_PART_SHARE = 0.05  # parts smaller than this share of the largest part are noise
AXIS_BITS = 16  # cells along an axis, in a key of label, x, y, z: 65,536
LABEL_BITS = 3 * AXIS_BITS  # below its label
NEIGHBOURS = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (x, y, z) > (0, 0, 0)]
STEPS = np.array([(((x << AXIS_BITS) + y) << AXIS_BITS) + z for x, y, z in NEIGHBOURS])  # between their keys


def without_crumbs(
    points_m: Float32[Tensor, "P 3"], labels: Integer[Tensor, " P"], config: TrackingConfig
) -> Integer[Tensor, " P"]:
    """Labels (below 32,768) with isolated crumbs of each instance cleared.

    Cells of `link_radius_m` that hold points of one label are linked when they touch, so that points nearer than the
    radius always are; small parts are noise (the role of DBSCAN in the paper's post-process).
    """
    rows = torch.nonzero(labels > 0)[:, 0]
    if len(rows) == 0:
        return labels.clone()
    middle = 1 << (AXIS_BITS - 1)
    # Two cells of margin at either end: no neighbour of a cell spills into another axis of its key.
    cells = (points_m[rows] / config.link_radius_m).floor().long().clamp(2 - middle, middle - 3) + middle
    keys = labels[rows].long()
    for axis in range(3):
        keys = (keys << AXIS_BITS) | cells[:, axis]
    distinct, cell_of, sizes = torch.unique(keys, return_inverse=True, return_counts=True)
    noise = _noise(*torch.stack([distinct, sizes]).cpu().numpy(), STEPS)
    cleaned = labels.clone()
    cleaned[rows] = torch.where(uploaded(noise, rows.device)[cell_of], 0, labels[rows])
    return cleaned


@njit(cache=True)
@no_type_check
def _noise(keys, sizes, steps):
    """Cells of small parts; `keys` ascend, `steps` lead to half of a cell's neighbours: the others find it."""
    parent = np.arange(len(keys))
    for step in steps:
        other = 0
        for cell in range(len(keys)):
            while other < len(keys) and keys[other] < keys[cell] + step:
                other += 1
            if other < len(keys) and keys[other] == keys[cell] + step:
                a, b = _root(parent, cell), _root(parent, other)
                parent[max(a, b)] = min(a, b)
    size_of_part, largest = np.zeros(len(keys), np.int64), np.zeros((keys[-1] >> LABEL_BITS) + 1, np.int64)
    for cell in range(len(keys)):
        size_of_part[_root(parent, cell)] += sizes[cell]
    for cell in range(len(keys)):
        label = keys[cell] >> LABEL_BITS
        largest[label] = max(largest[label], size_of_part[cell])
    noise = np.zeros(len(keys), np.bool_)
    for cell in range(len(keys)):
        noise[cell] = size_of_part[_root(parent, cell)] < MIN_PART_SHARE * largest[keys[cell] >> LABEL_BITS]
    return noise


@njit(cache=True)
@no_type_check
def _root(parent, cell):
    while parent[cell] != cell:
        parent[cell] = parent[parent[cell]]
        cell = parent[cell]
    return cell
