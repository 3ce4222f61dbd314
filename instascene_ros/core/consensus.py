"""View consensus between segments, kept as sparse counts that only the segments in view touch.

MaskClustering (CVPR 2024) and InstaScene merge masks when, of the views that observe both, most hold both inside one
mask. Kept per mask that is quadratic in all masks ever seen; kept per segment (the finest parts that masks agree on)
it is a few hundred counts, can be updated frame by frame, and a verdict can be revised when later views disagree.

Masks of neighbouring keyframes share their errors, so each is worth less than one that comes after a while: a view with
masks counts as those without before it, too (`max_view_weight`).

A pair's counts are a Beta posterior: `supporters` views found the two together, the other `observers` found a border
between them, and the prior is that things are as they stand.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.linkage import linked
from instascene_ros.core.pair_counts import PairCounts


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
        self._counts = PairCounts()

    def count(self, a: int, b: int) -> PairCount:
        """Counts of a pair; zero where no view has observed both."""
        found = self._counts.of(a, b)
        return PairCount() if found is None else PairCount(*found)

    def pairs(self) -> Iterator[tuple[int, int, PairCount]]:
        """Every pair that some view observed, smaller segment first, in order."""
        for a, b in self._counts.pairs().tolist():
            yield a, b, self.count(a, b)

    def begin_view(self, has_masks: bool) -> None:
        """The next view comes: what is observed from now on counts as it does."""
        self.view_weight = min(1.0 + self.unmasked, self.config.max_view_weight)
        self.unmasked = 0 if has_masks else self.unmasked + 1

    def observe(self, container_of: Mapping[int, int]) -> None:
        """Add one view: the mask that holds each observed segment."""
        segments = np.array(list(container_of), np.int64)
        masks = np.array(list(container_of.values()), np.int64)
        first, second = np.triu_indices(len(segments), 1)
        same = (masks[first] == masks[second]).astype(np.float64)
        counts = self.view_weight * np.stack([np.ones_like(same), same], axis=1)
        self._counts.add(segments[first], segments[second], counts, self.config.consensus_memory)

    def add(self, a: int, b: int, observers: float, supporters: float) -> None:
        """Add evidence about one pair; old evidence fades once `consensus_memory` views are in."""
        counts = np.array([[observers, supporters]], np.float64)
        self._counts.add(np.array([a]), np.array([b]), counts, self.config.consensus_memory)

    def cheapest_weld(self, segments: Sequence[int], sizes: Sequence[int]) -> tuple[int, int]:
        """The two of some segments that are best made one, the smaller one first.

        If they are of two objects after all, it is the smaller one that is lost: that risk, in Gaussians, is least.
        """
        order = np.argsort(np.array(sizes), kind="stable")
        counts, _ = self._counts.between(np.array(segments, np.int64)[order])
        apart = (counts[..., 0] - counts[..., 1] + 1) / (counts[..., 0] + 2)  # Laplace's rule of succession
        risk = np.array(sizes)[order][:, None] * apart
        risk[np.tril_indices(len(order))] = np.inf
        small, large = np.unravel_index(int(risk.argmin()), risk.shape)
        return segments[order[small]], segments[order[large]]

    def fold(self, segment: int, whole: int) -> None:
        """A segment becomes part of another."""
        self._counts.fold(segment, whole)

    def forget(self, segment: int) -> None:
        """Drop a segment that no longer exists."""
        self._counts.forget(segment)

    def group(
        self, segments: Iterable[int], group_of: Mapping[int, int], bond_of: Mapping[int, int] = MappingProxyType({})
    ) -> list[list[int]]:
        """Partition segments into objects: average-linkage merging, best consensus first.

        The consensus of two groups is that of all their pairs together, so one bad part cannot chain two objects.
        Groups that are one object already (`group_of`) get the benefit of the doubt, others have to earn it: that
        keeps ids from flickering. Segments of one bond (`bond_of`) stay together whatever the views say.
        """
        order = sorted(segments)
        first_of_bond: dict[int, int] = {}
        bond = [first_of_bond.setdefault(bond_of[s], i) if s in bond_of else i for i, s in enumerate(order)]
        of_group = np.array([group_of.get(s, -1 - i) for i, s in enumerate(order)], np.int64)
        root_of = linked(
            *self._counts.between(np.array(order, np.int64)), of_group[:, None] == of_group, np.array(bond, np.int64),
            self.config.consensus_prior_views, self.config.min_consensus,
        )  # fmt: skip
        groups: dict[int, list[int]] = {}
        for segment, root in zip(order, root_of.tolist(), strict=True):
            groups.setdefault(root, []).append(segment)
        return list(groups.values())
