"""How neighbouring patches meet, and which of them belong together."""

import heapq
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int, Int32

from instascene_ros.models.superpixels import Superpixels
from instascene_ros.models.surface import Surface

# Log odds per unit. Started as a logistic fit of labelled boundaries (stable from scene to scene); creases and large
# steps weigh more than there, so that things of one colour come apart.
STEP, LARGE_STEP = 2.2, 3.0
CONCAVE, CONVEX = 4.5, 0.8
COLOR_EDGE, COLOR = 1.8, 1.0
JOINED = 5.0
LOOSE, FULL_CONTACT = 3.0, 1.5  # a boundary shorter than 1.5 times the root of the smaller region counts as looser


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


def _across(
    labels: Int32[np.ndarray, "H W"], surface: Surface, lab: Float32[np.ndarray, "H W 3"], axis: int
) -> tuple[Int32[np.ndarray, " B"], Int32[np.ndarray, " B"], Float32[np.ndarray, " B"], Float32[np.ndarray, " B"]]:
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


def _concavity(
    patches: Superpixels, first: Int[np.ndarray, " E"], second: Int[np.ndarray, " E"]
) -> Float32[np.ndarray, " E"]:
    """LCCP convexity (Stein et al., CVPR 2014): the crease is concave where the normals lean towards each other."""
    between = patches.points_m[first] - patches.points_m[second]
    n1, n2 = patches.normals[first], patches.normals[second]
    turn = np.arccos(np.clip((n1 * n2).sum(-1), -1, 1))
    convex = ((n1 - n2) * between).sum(-1) > 0
    return np.where(convex, -turn, turn).astype(np.float32)


def cut_strength(edges: Boundaries, patches: Superpixels) -> Float32[np.ndarray, " E"]:
    """Log odds that a boundary separates two objects: depth steps and concave creases cut most, colour helps."""
    paint = np.linalg.norm(patches.lab[edges.first] - patches.lab[edges.second], axis=-1)
    # Patches on noise or a gentle curve turn by up to 0.3 rad. Across a gap the crease means nothing.
    crease = CONCAVE * np.clip((edges.concavity_rad - 0.3) / 0.7, 0, 1)
    crease -= CONVEX * np.clip(-edges.concavity_rad - 0.1, 0, 1)
    crease *= 1 - np.clip((edges.gap - 1.5) / 3, 0, 1)
    step = STEP * np.minimum(edges.gap, 1) + LARGE_STEP * np.clip((edges.gap - 1) / 11, 0, 1)
    color = COLOR_EDGE * np.minimum(edges.color / 60, 1) + COLOR * np.minimum(paint / 50, 1)
    return (step + crease + color - JOINED).astype(np.float32)


def merged(
    edges: Boundaries, strength: Float32[np.ndarray, " E"], pixels: Int32[np.ndarray, " S"], limit: float, least_px: int
) -> Int32[np.ndarray, " S"]:
    """Region of each patch, numbered from 0: neighbours join, weakest boundary first, up to `limit`.

    What is then still below `least_px` joins its weakest boundary up to even odds.
    """
    graph = _RegionGraph(edges, strength, pixels)
    graph.join_all(limit, np.inf)
    graph.join_all(max(limit, 0.0), least_px)
    return np.unique(graph.roots(), return_inverse=True)[1].astype(np.int32)


class _RegionGraph:
    """Regions that grow by joining neighbours."""

    def __init__(self, edges: Boundaries, strength: Float32[np.ndarray, " E"], pixels: Int32[np.ndarray, " S"]) -> None:
        self._parent = np.arange(len(pixels))
        self._pixels = pixels.tolist()
        self._joins = [0] * len(self._pixels)  # made by each region: outdates its entries in the queue
        # neighbour -> (length, length * strength) of the common boundary
        self._beside: list[dict[int, tuple[float, float]]] = [{} for _ in self._pixels]
        rows = zip(
            edges.first.tolist(), edges.second.tolist(), edges.length_px.tolist(), strength.tolist(), strict=True
        )
        for a, b, length, s in rows:
            self._beside[a][b] = self._beside[b][a] = (length, length * s)

    def roots(self) -> Int[np.ndarray, " S"]:
        """The patch that stands for the region of each patch."""
        while (self._parent != self._parent[self._parent]).any():
            self._parent = self._parent[self._parent]
        return self._parent

    def join_all(self, limit: float, below_px: float) -> None:
        """Join across the weakest boundary until none below `limit` touches a region of fewer than `below_px`."""
        queue = [self._entry(a, b) for a, others in enumerate(self._beside) for b in others if a < b]
        heapq.heapify(queue)
        while queue:
            s, a, b, *joins = heapq.heappop(queue)
            if s >= limit:
                return
            if joins == [self._joins[a], self._joins[b]] and min(self._pixels[a], self._pixels[b]) < below_px:
                self._join(a, b)
                for other in self._beside[a]:
                    heapq.heappush(queue, self._entry(a, other))

    def _entry(self, a: int, b: int) -> tuple[float, int, int, int, int]:
        """Mean strength of the boundary; more where the regions touch only at a corner, as separate objects do."""
        length, total = self._beside[a][b]
        contact = length / (FULL_CONTACT * min(self._pixels[a], self._pixels[b]) ** 0.5)
        return total / length + LOOSE * max(0.0, 1 - contact), a, b, self._joins[a], self._joins[b]

    def _join(self, a: int, b: int) -> None:
        """Make b part of a."""
        self._parent[b] = a
        self._pixels[a] += self._pixels[b]
        self._joins[a] += 1
        self._joins[b] = -1
        for other, (length, total) in self._beside[b].items():
            del self._beside[other][b]
            if other != a:
                old_length, old_total = self._beside[a].get(other, (0.0, 0.0))
                joined = (old_length + length, old_total + total)
                self._beside[a][other] = self._beside[other][a] = joined
        self._beside[b] = {}
