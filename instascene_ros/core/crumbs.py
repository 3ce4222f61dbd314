"""Crumbs: points of an instance that lie apart from its main part."""

import numpy as np
from jaxtyping import Float32, Int32, Integer
from scipy import sparse, spatial

from instascene_ros.core.config import TrackingConfig

MIN_PART_SHARE = 0.05  # parts smaller than this share of the largest part are noise


def without_crumbs(
    points_m: Float32[np.ndarray, "P 3"], labels: Integer[np.ndarray, " P"], config: TrackingConfig
) -> Int32[np.ndarray, " P"]:
    """Labels with isolated crumbs of each instance cleared.

    Points of one label nearer than `link_radius_m` to each other form a part; small parts are noise (the role of
    DBSCAN in the paper's post-process).
    """
    cleaned = labels.astype(np.int32)
    rows = np.nonzero(labels > 0)[0]
    if len(rows) == 0:
        return cleaned
    pairs = spatial.cKDTree(points_m[rows]).query_pairs(config.link_radius_m, output_type="ndarray")
    pairs = pairs[labels[rows[pairs[:, 0]]] == labels[rows[pairs[:, 1]]]]
    graph = sparse.coo_matrix((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(len(rows), len(rows)))
    _, part = sparse.csgraph.connected_components(graph, directed=False)
    sizes = np.bincount(part)
    largest = np.zeros(int(labels.max()) + 1, np.int64)
    np.maximum.at(largest, labels[rows], sizes[part])
    cleaned[rows[sizes[part] < MIN_PART_SHARE * largest[labels[rows]]]] = 0
    return cleaned
