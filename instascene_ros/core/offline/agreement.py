"""The better of several decompositions, region by region, by what the masks of all views say."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from instascene_ros.core.offline.evidence import Evidence
from instascene_ros.core.offline.traced_views import TracedViews

SAME_REGION_SHARE = 0.25  # sets that share more than this of the smaller one compete
MARGIN = 0.02  # by which a later decomposition has to be better than the first


def best_of(
    decompositions: Sequence[Int64[np.ndarray, " N"]], views: TracedViews, min_visible_px: float
) -> Int64[np.ndarray, " N"]:
    """One decomposition (1..K, 0 = none) put together from several, one after the other.

    In pairs, so that a decomposition that lumps everything together makes one region of the scene only for itself.
    """
    best = _renumbered(decompositions[0])
    for other in decompositions[1:]:
        best = _better_of(best, _renumbered(other), views, min_visible_px)
    return best


def _better_of(
    first: Int64[np.ndarray, " N"], second: Int64[np.ndarray, " N"], views: TracedViews, min_visible_px: float
) -> Int64[np.ndarray, " N"]:
    """Sets that share Gaussians form a region, which takes the sets that the masks show best as wholes, by size.

    Those of the first unless the second's are clearly better, so that what is settled does not flicker.
    """
    counts = [int(first.max(initial=0)), int(second.max(initial=0))]
    region = _regions(first, second)
    num_regions = int(region.max(initial=-1)) + 1
    support = np.concatenate(
        [_support(views, first, counts[0], min_visible_px), _support(views, second, counts[1], min_visible_px)]
    )
    totals = np.zeros((2, num_regions))
    np.add.at(totals, (np.repeat([0, 1], counts), region), support)
    takes_second = totals[1] - MARGIN * totals.max(axis=0, initial=0) > totals[0]
    from_first = np.concatenate([[False], ~takes_second[region[: counts[0]]]])[first]
    from_second = np.concatenate([[False], takes_second[region[counts[0] :]]])[second] & ~from_first
    return _renumbered(np.where(from_first, first, np.where(from_second, counts[0] + second, 0)))


def _renumbered(labels: Int64[np.ndarray, " N"]) -> Int64[np.ndarray, " N"]:
    """The same sets as 1..K; 0 stays 0."""
    return np.unique(np.concatenate([[0], labels]), return_inverse=True)[1].reshape(-1)[1:]


def _support(
    views: TracedViews, labels: Int64[np.ndarray, " N"], count: int, min_visible_px: float
) -> Float64[np.ndarray, " K"]:
    """How whole the masks show each set, times the number of its Gaussians."""
    sizes = np.bincount(labels, minlength=count + 1)[1:]
    return Evidence.of(views, labels, count).wholeness(min_visible_px) * sizes


def _regions(first: Int64[np.ndarray, " N"], second: Int64[np.ndarray, " N"]) -> Int64[np.ndarray, " S"]:
    """Region of every set of the first, then of every set of the second."""
    sizes = np.concatenate([np.bincount(labels, minlength=1)[1:] for labels in (first, second)])
    both = (first > 0) & (second > 0)
    pairs = np.stack([first[both] - 1, second[both] - 1 + int(first.max(initial=0))])
    distinct, shared = np.unique(pairs, axis=1, return_counts=True)
    a, b = distinct[:, shared > SAME_REGION_SHARE * sizes[distinct].min(axis=0)]
    graph = sparse.coo_array((np.ones(len(a), bool), (a, b)), shape=(len(sizes), len(sizes)))
    return connected_components(graph, directed=False)[1].astype(np.int64)
