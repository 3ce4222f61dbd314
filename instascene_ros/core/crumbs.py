"""Crumbs: points of an instance that lie apart from its main part."""

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, Integer
from scipy import sparse
from torch import Tensor

from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.upload import uploaded

MIN_PART_SHARE = 0.05  # parts smaller than this share of the largest part are noise
AXIS_BITS = 16  # cells along an axis, in a key of label, x, y, z: 65,536
NEIGHBOURS = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (x, y, z) > (0, 0, 0)]


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
    noise = _noise(*torch.stack([distinct, sizes]).cpu().numpy())
    cleaned = labels.clone()
    cleaned[rows] = torch.where(uploaded(noise, rows.device)[cell_of], 0, labels[rows])
    return cleaned


def _noise(keys: Int64[np.ndarray, " C"], sizes: Int64[np.ndarray, " C"]) -> Bool[np.ndarray, " C"]:
    """Cells of small parts; `keys` ascend."""
    pairs = []
    for x, y, z in NEIGHBOURS:
        neighbour = keys + (((x << AXIS_BITS) + y) << AXIS_BITS) + z
        at = np.minimum(np.searchsorted(keys, neighbour), len(keys) - 1)
        linked = np.nonzero(keys[at] == neighbour)[0]
        pairs.append(np.stack([linked, at[linked]]))
    a, b = np.concatenate(pairs, axis=1)
    graph = sparse.coo_matrix((np.ones(len(a), bool), (a, b)), shape=(len(keys), len(keys)))
    part = sparse.csgraph.connected_components(graph, directed=False)[1]
    size_of_part = np.bincount(part, sizes)[part]
    labels = keys >> (3 * AXIS_BITS)
    largest = np.zeros(int(labels.max()) + 1)
    np.maximum.at(largest, labels, size_of_part)
    return size_of_part < MIN_PART_SHARE * largest[labels]
