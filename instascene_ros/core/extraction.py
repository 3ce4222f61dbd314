"""Publishable instances from labelled Gaussians: sizes, boxes, states."""

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64
from scipy import sparse, spatial

from instascene_ros.core.config import TrackingConfig


def upright_box(
    points_m: Float32[np.ndarray, "P 3"], up: Float64[np.ndarray, " 3"]
) -> tuple[Float32[np.ndarray, " 3"], Float32[np.ndarray, "3 3"], Float32[np.ndarray, " 3"]]:
    """Smallest upright box around points: centre (world), axes as columns (z up), full extents (m).

    One percent of the points at either end of every axis counts as noise.
    """
    x, y = _horizontal_axes(up)
    flat = points_m @ np.stack([x, y], axis=-1)
    angle = _tightest_angle(flat)
    c, s = np.cos(angle), np.sin(angle)
    axes = np.stack([c * x + s * y, -s * x + c * y, up], axis=-1)
    low, high = np.percentile(points_m @ axes, [1, 99], axis=0)
    return (axes @ ((low + high) / 2)).astype(np.float32), axes.astype(np.float32), (high - low).astype(np.float32)


def _horizontal_axes(up: Float64[np.ndarray, " 3"]) -> tuple[np.ndarray, np.ndarray]:
    x = np.cross([0.0, 1, 0] if abs(up[1]) < 0.9 else [0, 0, 1.0], up)
    x /= np.linalg.norm(x)
    return x, np.cross(up, x)


def _tightest_angle(flat: Float64[np.ndarray, "P 2"]) -> float:
    """Rotation whose axis-aligned rectangle around the points is smallest; one edge lies on the hull."""
    try:
        hull = flat[spatial.ConvexHull(flat).vertices]
    except (spatial.QhullError, ValueError):  # fewer than three points, or all in a line
        if len(flat) < 2:
            return 0.0
        direction = flat[np.argmax(((flat - flat[0]) ** 2).sum(-1))] - flat[0]
        return float(np.arctan2(direction[1], direction[0]))
    edges = np.roll(hull, -1, axis=0) - hull
    angles = np.unique(np.mod(np.arctan2(edges[:, 1], edges[:, 0]), np.pi / 2))
    c, s = np.cos(angles), np.sin(angles)
    extents = np.ptp(np.stack([c, s], -1) @ hull.T, axis=1) * np.ptp(np.stack([-s, c], -1) @ hull.T, axis=1)
    return float(angles[np.argmin(extents)])


def without_stragglers(
    points_m: Float32[np.ndarray, "P 3"], labels: Int64[np.ndarray, " P"], config: TrackingConfig
) -> Int32[np.ndarray, " P"]:
    """Labels with isolated crumbs of each instance cleared.

    Points of one label nearer than `link_radius_m` to each other form a part; parts smaller than a twentieth of the
    largest part are noise (the role of DBSCAN in the paper's post-process).
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
    cleaned[rows[sizes[part] < 0.05 * largest[labels[rows]]]] = 0
    return cleaned
