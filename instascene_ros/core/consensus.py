"""View consensus between segments, kept as sparse counts that only the segments in view touch.

MaskClustering (CVPR 2024) and InstaScene merge masks when, of the views that observe both, most hold both inside one
mask. Kept per mask that is quadratic in all masks ever seen; kept per segment (the finest parts that masks agree on)
it is a few hundred counts, can be updated frame by frame, and a verdict can be revised when later views disagree.

A pair's counts are a Beta posterior: `supporters` views found the two together, the other `observers` found a border
between them, and the prior is that things are as they stand.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float64, Int64

from instascene_ros.core.config import TrackingConfig

KEY_BITS = 32  # a pair's key is its smaller segment shifted by this, plus its larger


@dataclass(frozen=True)
class PairCount:
    """What views say about two segments being one object."""

    observers: float = 0.0  # views in which each lay inside one mask
    supporters: float = 0.0  # of these, views in which it was the same mask


class ConsensusGraph:
    """Observer and supporter counts of segment pairs, and the grouping they imply."""

    def __init__(self, config: TrackingConfig) -> None:
        self.config = config
        self._counts: Float64[np.ndarray, "R 2"] = np.zeros((64, 2))  # observers, supporters
        self._row_of: dict[int, int] = {}  # key of a pair -> its row of the counts
        self._free: list[int] = list(range(63, -1, -1))
        self._partners: dict[int, set[int]] = {}

    def count(self, a: int, b: int) -> PairCount:
        """Counts of a pair; zero where no view has observed both."""
        row = self._row_of.get(_key(a, b))
        return PairCount() if row is None else PairCount(*self._counts[row].tolist())

    def pairs(self) -> Iterator[tuple[int, int, PairCount]]:
        """Every pair that some view observed, smaller segment first, in order."""
        for key in sorted(self._row_of):
            a, b = key >> KEY_BITS, key & ((1 << KEY_BITS) - 1)
            yield a, b, self.count(a, b)

    def observe(self, container_of: Mapping[int, int]) -> None:
        """Add one view: the mask that holds each observed segment."""
        segments = np.array(sorted(container_of), np.int64)
        masks = np.array([container_of[s] for s in segments.tolist()], np.int64)
        first, second = np.triu_indices(len(segments), 1)
        same = (masks[first] == masks[second]).astype(np.float64)
        self._add(segments[first], segments[second], np.stack([np.ones_like(same), same], axis=1))

    def add(self, a: int, b: int, observers: float, supporters: float) -> None:
        """Add evidence about one pair."""
        self._add(np.array([min(a, b)]), np.array([max(a, b)]), np.array([[observers, supporters]], np.float64))

    def _add(self, a: Int64[np.ndarray, " R"], b: Int64[np.ndarray, " R"], counts: Float64[np.ndarray, "R 2"]) -> None:
        """Old evidence fades once `consensus_memory` views are in."""
        rows = [self._row(key) for key in ((a << KEY_BITS) + b).tolist()]
        total = self._counts[rows] + counts
        total *= np.minimum(1.0, self.config.consensus_memory / np.maximum(total[:, :1], 1e-9))
        self._counts[rows] = total

    def _row(self, key: int) -> int:
        row = self._row_of.get(key)
        if row is not None:
            return row
        if not self._free:
            size = len(self._counts)
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
            self._free = list(range(2 * size - 1, size - 1, -1))
        a, b = key >> KEY_BITS, key & ((1 << KEY_BITS) - 1)
        self._partners.setdefault(a, set()).add(b)
        self._partners.setdefault(b, set()).add(a)
        self._row_of[key] = row = self._free.pop()
        return row

    def forget(self, segment: int) -> None:
        """Drop a segment that no longer exists."""
        for other in self._partners.pop(segment, ()):
            row = self._row_of.pop(_key(segment, other))
            self._counts[row] = 0
            self._free.append(row)
            self._partners[other].discard(segment)

    def group(
        self, segments: Iterable[int], group_of: Mapping[int, int], bond_of: Mapping[int, int] = MappingProxyType({})
    ) -> list[list[int]]:
        """Partition segments into objects: average-linkage merging, best consensus first.

        The consensus of two groups is that of all their pairs together, so one bad part cannot chain two objects.
        Groups that are one object already (`group_of`) get the benefit of the doubt, others have to earn it: that
        keeps ids from flickering. Segments of one bond (`bond_of`) stay together whatever the views say.
        """
        order = sorted(segments)
        links = self._links(order, group_of)
        groups = {i: [s] for i, s in enumerate(order)}
        first_of_bond: dict[int, int] = {}
        for i, segment in enumerate(order):
            if segment in bond_of and (keep := first_of_bond.setdefault(bond_of[segment], i)) != i:
                links.join(keep, i)
                groups[keep] += groups.pop(i)
        while (best := links.strongest(self.config.min_consensus)) is not None:
            keep, drop = best
            links.join(keep, drop)
            groups[keep] += groups.pop(drop)
        return list(groups.values())

    def _links(self, order: list[int], group_of: Mapping[int, int]) -> "_Links":
        index_of = {s: i for i, s in enumerate(order)}
        found = [
            (i, index_of[b], self._row_of[_key(a, b)])
            for i, a in enumerate(order)
            for b in self._partners.get(a, set()) & index_of.keys()
            if a < b
        ]
        i, j, rows = np.array(found, np.int64).reshape(-1, 3).T
        groups = np.array([group_of.get(s, -1 - k) for k, s in enumerate(order)])
        counts, together = np.zeros((2, len(order), len(order))), np.zeros((len(order), len(order)), bool)
        counts[:, i, j] = counts[:, j, i] = self._counts[rows].T
        together[i, j] = together[j, i] = groups[i] == groups[j]
        known = np.zeros_like(together)
        known[i, j] = known[j, i] = True
        return _Links(counts, together, known, self.config.consensus_prior_views)


def _key(a: int, b: int) -> int:
    return (min(a, b) << KEY_BITS) + max(a, b)


class _Links:
    """Evidence between groups, as symmetric matrices that shrink in place as groups are joined."""

    def __init__(
        self, counts: Float64[np.ndarray, "2 A A"], together: Bool[np.ndarray, "A A"], known: Bool[np.ndarray, "A A"],
        prior_views: float,
    ) -> None:  # fmt: skip
        self._counts, self._together, self._known, self._prior = counts, together, known, prior_views
        self._ratio = self._consensus(slice(None))
        self._best = self._ratio.argmax(axis=1) if len(known) else np.zeros(0, np.int64)

    def _consensus(self, rows: slice | int) -> Float64[np.ndarray, "..."]:
        """Share of supporting views, after `prior_views` that support things as they are; -1 where nothing is known."""
        observers, supporters = self._counts[0, rows], self._counts[1, rows]
        ratio = (supporters + self._prior * self._together[rows]) / np.maximum(observers + self._prior, 1e-9)
        return np.where(self._known[rows], ratio, -1.0)

    def strongest(self, least: float) -> tuple[int, int] | None:
        """The two groups of the strongest consensus, the one of the smaller index first; None below `least`."""
        if not len(self._best):
            return None
        row = int(self._ratio[np.arange(len(self._best)), self._best].argmax())
        pair = sorted((row, int(self._best[row])))
        return (pair[0], pair[1]) if self._ratio[row, self._best[row]] >= least else None

    def join(self, keep: int, drop: int) -> None:
        """Fold group `drop` into group `keep`."""
        self._counts[:, keep] += self._counts[:, drop]
        self._counts[:, :, keep] = self._counts[:, keep]
        for matrix in (self._together, self._known):
            matrix[keep] |= matrix[drop]
            matrix[keep, [keep, drop]] = False
            matrix[:, keep] = matrix[keep]
            matrix[drop] = matrix[:, drop] = False
        stale = (self._best == keep) | (self._best == drop)
        self._ratio[drop] = self._ratio[:, drop] = -1.0
        self._ratio[keep] = self._ratio[:, keep] = self._consensus(keep)
        stale[keep] = True
        self._best[stale] = self._ratio[stale].argmax(axis=1)
        # A group whose best lay elsewhere may now find a better one in `keep`.
        self._best = np.where(
            self._ratio[:, keep] > self._ratio[np.arange(len(self._best)), self._best], keep, self._best
        )
