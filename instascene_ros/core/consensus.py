"""View consensus between segments, kept as sparse counts that only the segments in view touch.

MaskClustering (CVPR 2024) and InstaScene merge masks when, of the views that observe both, most hold both inside one
mask. Kept per mask that is quadratic in all masks ever seen; kept per segment (the finest parts that masks agree on)
it is a few hundred counts, can be updated frame by frame, and a verdict can be revised when later views disagree.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from instascene_ros.core.config import TrackingConfig


@dataclass
class PairCount:
    """What views say about two segments being one object."""

    observers: float = 0.0  # views in which each lay inside one mask
    supporters: float = 0.0  # of these, views in which it was the same mask


@dataclass
class ConsensusGraph:
    """Observer and supporter counts of segment pairs, and the grouping they imply."""

    config: TrackingConfig
    _counts: dict[int, dict[int, PairCount]] = field(default_factory=dict)  # symmetric: both directions share a count

    def count(self, a: int, b: int) -> PairCount:
        """Counts of a pair; zero where no view has observed both."""
        return self._counts.get(a, {}).get(b) or PairCount()

    def observe(self, container_of: dict[int, int]) -> None:
        """Add one view: the mask that holds each observed segment."""
        segments = list(container_of)
        for i, a in enumerate(segments):
            for b in segments[:i]:
                self.add(a, b, observers=1.0, supporters=float(container_of[a] == container_of[b]))

    def add(self, a: int, b: int, observers: float, supporters: float) -> None:
        """Add evidence about a pair. Old evidence fades once `consensus_memory` views are in."""
        pair = self._pair(a, b)
        fade = min(1.0, self.config.consensus_memory / (pair.observers + observers))
        pair.observers = (pair.observers + observers) * fade
        pair.supporters = (pair.supporters + supporters) * fade

    def inherit(self, child: int, parent: int) -> None:
        """A part cut out of `parent` starts with what is known of the parent."""
        for other, pair in list(self._counts.get(parent, {}).items()):
            if other != child:
                self.add(child, other, pair.observers, pair.supporters)

    def forget(self, segment: int) -> None:
        """Drop a segment that no longer exists."""
        for other in self._counts.pop(segment, {}):
            self._counts[other].pop(segment, None)

    def _pair(self, a: int, b: int) -> PairCount:
        row = self._counts.setdefault(a, {})
        if b not in row:
            row[b] = self._counts.setdefault(b, {})[a] = PairCount()
        return row[b]

    def group(self, segments: Iterable[int], group_of: dict[int, int]) -> list[list[int]]:
        """Partition segments into objects: average-linkage merging, best consensus first.

        The consensus of two groups is that of all their pairs together, so one bad part cannot chain two objects.
        Pairs that are grouped already (`group_of`) get the benefit of the doubt, others have to earn it: that keeps
        ids from flickering.
        """
        groups = {s: [s] for s in sorted(segments)}
        links: dict[int, dict[int, PairCount]] = {s: {} for s in groups}
        for a in groups:
            for b, pair in self._counts.get(a, {}).items():
                if b in groups:
                    links[a][b] = self._with_prior(pair, together=group_of.get(a, -1) == group_of.get(b, -2))
        while (best := self._best_link(links)) is not None:
            keep, drop = best
            groups[keep] += groups.pop(drop)
            _join(links, keep, drop)
        return list(groups.values())

    def _with_prior(self, pair: PairCount, together: bool) -> PairCount:
        doubt = self.config.consensus_prior_views
        return PairCount(pair.observers + doubt, pair.supporters + (doubt if together else 0.0))

    def _best_link(self, links: dict[int, dict[int, PairCount]]) -> tuple[int, int] | None:
        best, best_ratio = None, self.config.min_consensus
        for a, row in links.items():
            for b, pair in row.items():
                if a < b and pair.supporters >= best_ratio * pair.observers:
                    best, best_ratio = (a, b), pair.supporters / pair.observers
        return best


def _join(links: dict[int, dict[int, PairCount]], keep: int, drop: int) -> None:
    """Fold the links of group `drop` into group `keep`."""
    for other, pair in links.pop(drop).items():
        del links[other][drop]
        if other == keep:
            continue
        known = links[keep].get(other, PairCount())
        links[keep][other] = links[other][keep] = PairCount(
            known.observers + pair.observers, known.supporters + pair.supporters
        )
