"""Crumbs: points of an instance that lie apart from its main part."""

import numpy as np
from jaxtyping import Float32, Int32, Integer
from scipy import sparse, spatial

from instascene_ros.core.config import TrackingConfig

MIN_PART_SHARE = 0.05  # parts smaller than this share of the largest part are noise
VOXELS_PER_LINK = 2  # the link radius is this many voxels


def without_crumbs(
    points_m: Float32[np.ndarray, "P 3"], labels: Integer[np.ndarray, " P"], config: TrackingConfig
) -> Int32[np.ndarray, " P"]:
    """Labels with isolated crumbs of each instance cleared.

    Points of one label nearer than `link_radius_m` to each other (to a voxel of half that size) form a part; small
    parts are noise (the role of DBSCAN in the paper's post-process).
    """
    cleaned = labels.astype(np.int32)
    rows = np.nonzero(labels > 0)[0]
    if len(rows) == 0:
        return cleaned
    voxels = np.floor(points_m[rows] * (VOXELS_PER_LINK / config.link_radius_m)).astype(np.int64)
    apart = 2 * VOXELS_PER_LINK  # labels as a fourth axis, too far apart to link
    cells, cell_of = _distinct(np.column_stack([voxels, labels[rows] * apart]))
    pairs = spatial.cKDTree(cells).query_pairs(VOXELS_PER_LINK, p=np.inf, output_type="ndarray")
    graph = sparse.coo_matrix((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(len(cells), len(cells)))
    part = sparse.csgraph.connected_components(graph, directed=False)[1][cell_of]
    sizes = np.bincount(part)
    largest = np.zeros(int(labels.max()) + 1, np.int64)
    np.maximum.at(largest, labels[rows], sizes[part])
    cleaned[rows[sizes[part] < MIN_PART_SHARE * largest[labels[rows]]]] = 0
    return cleaned


def _distinct(cells: Integer[np.ndarray, "P 4"]) -> tuple[Integer[np.ndarray, "C 4"], Integer[np.ndarray, " P"]]:
    """Distinct rows, and which of them each row is; by one integer key, which sorts much faster than rows do."""
    low = cells.min(axis=0)
    spans = cells.max(axis=0) - low + 1
    keys = np.ravel_multi_index((cells - low).T, spans)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return cells[first], inverse.reshape(-1)
