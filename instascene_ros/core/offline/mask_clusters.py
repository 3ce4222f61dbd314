"""Masks of all views that show one object, found by view consensus with a falling demand for observers (method 1.4)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from instascene_ros.core.config import RefinementConfig
from instascene_ros.core.offline.verdicts import Verdicts

PERCENTILES = np.arange(95, -1, -5)
BLOCK = 1024  # rows of the pair matrix that are in memory at once


@dataclass(frozen=True)
class MaskClusters:
    """K clusters of masks."""

    cluster_of: Int32[np.ndarray, " M"]  # of each mask, -1 = none
    observers: Bool[np.ndarray, "K F"]  # views that hold some mask of the cluster inside one of theirs
    containers: sparse.csr_array  # [K M], positive at the masks that hold some mask of the cluster

    def __len__(self) -> int:
        return len(self.observers)

    def masks(self, cluster: int) -> Int64[np.ndarray, " m"]:
        return np.nonzero(self.cluster_of == cluster)[0]

    @classmethod
    def of(cls, verdicts: Verdicts, config: RefinementConfig) -> "MaskClusters":
        """Start with one cluster a mask and merge until the schedule ends."""
        nodes = np.nonzero(verdicts.is_node)[0]
        cluster_of = np.full(len(verdicts.is_node), -1, np.int32)
        cluster_of[nodes] = np.arange(len(nodes))
        clusters = cls(cluster_of, verdicts.observers[nodes], verdicts.containers[nodes])
        for threshold in observer_thresholds(clusters.observers):
            clusters = clusters._merged(threshold, config.min_consensus)
        return clusters

    def _merged(self, min_observers: float, min_consensus: float) -> "MaskClusters":
        """One round: join the connected components of pairs that enough views observe and support."""
        first, second = self._agreeing_pairs(min_observers, min_consensus)
        if len(first) == 0:
            return self
        edges = sparse.coo_array((np.ones(len(first), bool), (first, second)), shape=(len(self), len(self)))
        count, component = connected_components(edges, directed=False)
        members = sparse.csr_array(
            (np.ones(len(self), np.float32), (component, np.arange(len(self)))), shape=(count, len(self))
        )
        cluster_of = np.where(self.cluster_of >= 0, component[self.cluster_of], -1).astype(np.int32)
        observers = (members @ self.observers.astype(np.float32)) > 0
        return MaskClusters(cluster_of, observers, _ones(members @ self.containers))

    def _agreeing_pairs(
        self, min_observers: float, min_consensus: float
    ) -> tuple[Int64[np.ndarray, " E"], Int64[np.ndarray, " E"]]:
        """Pairs with N >= min_observers shared observers of which S / N >= min_consensus support them."""
        found = [np.zeros((2, 0), np.int64)]
        observers = self.observers.astype(np.float32)
        for start in range(0, len(self), BLOCK):
            rows = slice(start, start + BLOCK)
            supporters = sparse.coo_array(self.containers[rows] @ self.containers.T)
            shared = (observers[rows] @ observers.T)[supporters.row, supporters.col]
            agree = (shared >= min_observers) & (supporters.data >= min_consensus * (shared + 1e-7))
            agree &= supporters.row + start < supporters.col
            found.append(np.stack([supporters.row[agree] + start, supporters.col[agree]]).astype(np.int64))
        first, second = np.concatenate(found, axis=1)
        return first, second


def observer_thresholds(observers: Bool[np.ndarray, "K F"]) -> Iterator[float]:
    """Falling demands for shared observers: percentiles 95, 90 ... 0 of all positive pairwise counts.

    A demand of one view or less becomes one, and ends the schedule below the median.
    """
    as_float = observers.astype(np.float32)
    histogram = np.zeros(observers.shape[1] + 1, np.int64)
    for start in range(0, len(observers), BLOCK):
        shared = (as_float[start : start + BLOCK] @ as_float.T).astype(np.int64)
        histogram += np.bincount(shared.reshape(-1), minlength=len(histogram))
    histogram[0] = 0
    if histogram.sum() == 0:
        return
    for percentile, value in zip(PERCENTILES, percentiles_of(histogram, PERCENTILES), strict=True):
        if value <= 1 and percentile < 50:
            return
        yield max(float(value), 1.0)


def percentiles_of(histogram: Int64[np.ndarray, " B"], wanted: Int64[np.ndarray, " Q"]) -> Float64[np.ndarray, " Q"]:
    """Percentiles (linear) of integers given by how often each occurs."""
    ends = np.cumsum(histogram)
    position = (ends[-1] - 1) * wanted / 100
    low, high = (np.searchsorted(ends, np.floor(position) + step, side="right") for step in (0, 1))
    high = np.minimum(high, np.searchsorted(ends, ends[-1] - 1, side="right"))
    return low + (high - low) * (position - np.floor(position))


def _ones(matrix: sparse.csr_array) -> sparse.csr_array:
    return sparse.csr_array((np.ones_like(matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape)
