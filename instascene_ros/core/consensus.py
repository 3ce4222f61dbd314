"""View consensus between segments, kept as sparse counts that only the segments in view touch.

MaskClustering (CVPR 2024) and InstaScene merge masks when, of the views that observe both, most hold both inside one
mask. Kept per mask that is quadratic in all masks ever seen; kept per segment (the finest parts that masks agree on)
it is a few hundred counts, can be updated frame by frame, and a verdict can be revised when later views disagree.

Masks of neighbouring keyframes share their errors, so each is worth less than one that comes after a while: a view with
masks counts as those without before it, too (`max_view_weight`).

A pair's counts are a Beta posterior: `supporters` views found the two together, the other `observers` found a border
between them, and the prior is that things are as they stand.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float64, Int64

from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.linkage import linked


@dataclass(frozen=True)
class PairCount:
    """What views say about two segments being one object."""

    observers: float = 0.0  # views in which each lay inside one mask
    supporters: float = 0.0  # of these, views in which it was the same mask


class ConsensusGraph:
    """Observer and supporter counts of segment pairs, and the grouping they imply."""

    def __init__(self, config: TrackingConfig) -> None:
        self.config = config
        self.unmasked = 0  # views without masks since the last one with some
        self.view_weight = 1.0  # views that this one counts as
        self._counts: Float64[np.ndarray, "R 2"] = np.zeros((64, 2))  # observers, supporters
        self._rows: dict[int, dict[int, int]] = {}  # segment -> partner -> row of their counts
        self._free: list[int] = list(range(63, -1, -1))

    def count(self, a: int, b: int) -> PairCount:
        """Counts of a pair; zero where no view has observed both."""
        row = self._rows.get(a, {}).get(b)
        return PairCount() if row is None else PairCount(*self._counts[row].tolist())

    def pairs(self) -> Iterator[tuple[int, int, PairCount]]:
        """Every pair that some view observed, smaller segment first, in order."""
        for a in sorted(self._rows):
            for b in sorted(other for other in self._rows[a] if other > a):
                yield a, b, self.count(a, b)

    def begin_view(self, has_masks: bool) -> None:
        """The next view comes: what is observed from now on counts as it does."""
        self.view_weight = min(1.0 + self.unmasked, self.config.max_view_weight)
        self.unmasked = 0 if has_masks else self.unmasked + 1

    def observe(self, container_of: Mapping[int, int]) -> None:
        """Add one view: the mask that holds each observed segment."""
        segments = np.array(sorted(container_of), np.int64)
        masks = np.array([container_of[s] for s in segments.tolist()], np.int64)
        first, second = np.triu_indices(len(segments), 1)
        same = (masks[first] == masks[second]).astype(np.float64)
        self._add(segments[first], segments[second], self.view_weight * np.stack([np.ones_like(same), same], axis=1))

    def add(self, a: int, b: int, observers: float, supporters: float) -> None:
        """Add evidence about one pair."""
        self._add(np.array([min(a, b)]), np.array([max(a, b)]), np.array([[observers, supporters]], np.float64))

    def _add(self, a: Int64[np.ndarray, " R"], b: Int64[np.ndarray, " R"], counts: Float64[np.ndarray, "R 2"]) -> None:
        """Old evidence fades once `consensus_memory` views are in."""
        rows = [self._row(*pair) for pair in zip(a.tolist(), b.tolist(), strict=True)]
        total = self._counts[rows] + counts
        total *= np.minimum(1.0, self.config.consensus_memory / np.maximum(total[:, :1], 1e-9))
        self._counts[rows] = total

    def _row(self, a: int, b: int) -> int:
        partners = self._rows.setdefault(a, {})
        if b in partners:
            return partners[b]
        if not self._free:
            size = len(self._counts)
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
            self._free = list(range(2 * size - 1, size - 1, -1))
        partners[b] = self._rows.setdefault(b, {})[a] = row = self._free.pop()
        return row

    def forget(self, segment: int) -> None:
        """Drop a segment that no longer exists."""
        for other, row in self._rows.pop(segment, {}).items():
            self._counts[row] = 0
            self._free.append(row)
            del self._rows[other][segment]

    def group(
        self, segments: Iterable[int], group_of: Mapping[int, int], bond_of: Mapping[int, int] = MappingProxyType({})
    ) -> list[list[int]]:
        """Partition segments into objects: average-linkage merging, best consensus first.

        The consensus of two groups is that of all their pairs together, so one bad part cannot chain two objects.
        Groups that are one object already (`group_of`) get the benefit of the doubt, others have to earn it: that
        keeps ids from flickering. Segments of one bond (`bond_of`) stay together whatever the views say.
        """
        order = sorted(segments)
        index_of = {s: i for i, s in enumerate(order)}
        first_of_bond: dict[int, int] = {}
        bond = [first_of_bond.setdefault(bond_of[s], i) if s in bond_of else i for i, s in enumerate(order)]
        of_group = np.array([group_of.get(s, -1 - i) for i, s in enumerate(order)], np.int64)
        root_of = linked(
            *self._between(order, index_of), of_group[:, None] == of_group, np.array(bond, np.int64),
            self.config.consensus_prior_views, self.config.min_consensus,
        )  # fmt: skip
        groups: dict[int, list[int]] = {}
        for segment, root in zip(order, root_of.tolist(), strict=True):
            groups.setdefault(root, []).append(segment)
        return list(groups.values())

    def _between(
        self, order: list[int], index_of: Mapping[int, int]
    ) -> tuple[Float64[np.ndarray, "A A 2"], Bool[np.ndarray, "A A"]]:
        """Counts of all pairs of some segments, and which of them there are."""
        rows = np.full((len(order), len(order)), -1, np.int64)
        for i, segment in enumerate(order):
            partners = self._rows.get(segment, {})
            found = partners.keys() & index_of.keys()
            rows[i, [index_of[other] for other in found]] = [partners[other] for other in found]
        return self._counts[rows], rows >= 0
