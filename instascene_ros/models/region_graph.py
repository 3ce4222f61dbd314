"""How neighbouring patches meet, and which of them belong together."""

import heapq
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32

from instascene_ros.models.superpixels import Superpixels
from instascene_ros.models.surface import Surface

# Log odds per unit, from a logistic fit of labelled boundaries; stable from scene to scene.
STEP, LARGE_STEP = 2.2, 1.0
CONCAVE, CONVEX, STRAIGHT_RAD = 1.5, 0.8, 0.1
COLOR_EDGE, COLOR = 1.8, 2.0
JOINED = 5.0


@dataclass(frozen=True)
class Boundaries:
    """One row per pair of touching patches."""

    first: Int32[np.ndarray, " E"]  # row of Superpixels
    second: Int32[np.ndarray, " E"]
    length_px: Int32[np.ndarray, " E"]
    gap: Float32[np.ndarray, " E"]  # step in depth, depth standard deviations
    concavity_rad: Float32[np.ndarray, " E"]  # turn of the normal; negative where the crease is convex
    color: Float32[np.ndarray, " E"]  # difference across the boundary, Lab


def boundaries_of(patches: Superpixels, surface: Surface, lab: Float32[np.ndarray, "H W 3"]) -> Boundaries:
    """Measure every boundary between 4-connected patches."""
    across = [_across(patches.labels, surface, lab, axis) for axis in (0, 1)]
    a, b, gap, color = (np.concatenate(columns) for columns in zip(*across, strict=True))
    count = len(patches.pixels)
    keys, row = np.unique(np.minimum(a, b).astype(np.int64) * count + np.maximum(a, b), return_inverse=True)
    length = np.bincount(row, minlength=len(keys))
    first, second = keys // max(count, 1), keys % max(count, 1)
    return Boundaries(
        first.astype(np.int32),
        second.astype(np.int32),
        length.astype(np.int32),
        (np.bincount(row, gap, len(keys)) / length).astype(np.float32),
        _concavity(patches, first, second),
        (np.bincount(row, color, len(keys)) / length).astype(np.float32),
    )


def _across(labels, surface, lab, axis):
    """Patch rows, depth step and colour difference of neighbouring pixels along `axis` in different patches."""
    labels, points, normals, sigma, lab = (
        np.moveaxis(x, axis, 0) for x in (labels, surface.points_m, surface.normals, surface.sigma_m, lab)
    )
    here = np.nonzero((labels[:-1] != labels[1:]) & (labels[:-1] > 0) & (labels[1:] > 0))
    there = (here[0] + 1, here[1])
    step = points[there] - points[here]
    # Against both tangent planes: on a curved or slanted surface at least one of them explains the step.
    gap = np.minimum(np.abs((normals[here] * step).sum(-1)), np.abs((normals[there] * step).sum(-1)))
    gap /= np.maximum(np.maximum(sigma[here], sigma[there]), 1e-6)
    # One pixel further out on both sides, where lens blur and JPEG have mixed the two colours less.
    before, after = np.maximum(here[0] - 1, 0), np.minimum(there[0] + 1, len(labels) - 1)
    color = np.linalg.norm(lab[after, here[1]] - lab[before, here[1]], axis=-1)
    return labels[here] - 1, labels[there] - 1, gap, color


def _concavity(patches, first, second):
    """LCCP convexity (Stein et al., CVPR 2014): the crease is concave where the normals lean towards each other."""
    between = patches.points_m[first] - patches.points_m[second]
    n1, n2 = patches.normals[first], patches.normals[second]
    turn = np.arccos(np.clip((n1 * n2).sum(-1), -1, 1))
    convex = ((n1 - n2) * between).sum(-1) > 0
    return np.where(convex, -turn, turn).astype(np.float32)


def cut_strength(edges: Boundaries, patches: Superpixels) -> Float32[np.ndarray, " E"]:
    """Log odds that a boundary separates two objects: depth steps and concave creases cut most, colour helps."""
    paint = np.linalg.norm(patches.lab[edges.first] - patches.lab[edges.second], axis=-1)
    return (
        STEP * np.minimum(edges.gap, 1)
        + LARGE_STEP * np.minimum(edges.gap / 6, 1)
        + CONCAVE * np.clip(edges.concavity_rad - STRAIGHT_RAD, 0, 1)
        - CONVEX * np.clip(-edges.concavity_rad - STRAIGHT_RAD, 0, 1)
        + COLOR_EDGE * np.minimum(edges.color / 60, 1)
        + COLOR * np.minimum(paint / 50, 1)
        - JOINED
    ).astype(np.float32)


def merged(
    edges: Boundaries, strength: Float32[np.ndarray, " E"], pixels: Int32[np.ndarray, " S"], limit: float, least_px: int
) -> Int32[np.ndarray, " S"]:
    """Region of each patch, numbered from 0: neighbours join, weakest mean boundary first, up to `limit`.

    A region below `least_px` joins its weakest boundary up to a limit of 0, even odds.
    """
    parent = np.arange(len(pixels))
    size = pixels.astype(np.int64).copy()
    beside: list[dict[int, list[float]]] = [{} for _ in pixels]  # neighbour -> [length, length * strength]
    heap: list[tuple[float, int, int, float]] = []
    for a, b, n, s in zip(edges.first.tolist(), edges.second.tolist(), edges.length_px.tolist(), strength.tolist(), strict=True):
        beside[a][b] = beside[b][a] = [n, n * s]
        heap.append((s, a, b, n))
    heapq.heapify(heap)
    late = []
    while heap or late:
        if not heap:
            heap, late = [e for e in late if min(size[e[1]], size[e[2]]) < least_px], []
            heapq.heapify(heap)
            limit = 0.0 if limit < 0.0 else np.inf
            continue
        s, a, b, n = heapq.heappop(heap)
        if b not in beside[a] or beside[a][b][0] != n:
            continue  # one of the two has changed since
        if s > limit or limit == 0.0 and min(size[a], size[b]) >= least_px:
            late.append((s, a, b, n)) if limit < 0 else None
            continue
        if len(beside[a]) < len(beside[b]):
            a, b = b, a
        parent[b] = a
        size[a] += size[b]
        del beside[a][b], beside[b][a]
        for c, (length, total) in beside[b].items():
            del beside[c][b]
            old = beside[a].get(c, (0, 0.0))
            edge = [old[0] + length, old[1] + total]
            beside[a][c] = beside[c][a] = edge
            heapq.heappush(heap, (edge[1] / edge[0], a, c, edge[0]))
        beside[b] = {}
    while (parent != parent[parent]).any():
        parent = parent[parent]
    return np.unique(parent, return_inverse=True)[1].astype(np.int32)
