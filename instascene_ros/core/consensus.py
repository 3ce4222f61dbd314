"""View consensus between segments, kept as sparse counts that only the segments in view touch.

MaskClustering (CVPR 2024) and InstaScene merge masks when, of the views that observe both, most hold both inside one
mask. Kept per mask that is quadratic in all masks ever seen; kept per segment (the finest parts that masks agree on)
it is a few hundred counts, can be updated frame by frame, and a verdict can be revised when later views disagree.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from instascene_ros.core.config import TrackingConfig


@dataclass(frozen=True)
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

    def pairs(self) -> Iterator[tuple[int, int, PairCount]]:
        """Every pair that some view observed, from both sides, in the order that settles ties."""
        for a, row in self._counts.items():
            yield from ((a, b, pair) for b, pair in row.items())

    @classmethod
    def from_pairs(cls, config: TrackingConfig, pairs: Iterable[tuple[int, int, PairCount]]) -> "ConsensusGraph":
        """The graph that `pairs` told. Raises ValueError: a pair is known from one side only."""
        graph = cls(config)
        for a, b, pair in pairs:
            graph._counts.setdefault(a, {})[b] = pair
        if any(graph.count(b, a) != pair for a, b, pair in graph.pairs()):
            raise ValueError("some pairs of segments count differently from either side")
        return graph

    def observe(self, container_of: dict[int, int]) -> None:
        """Add one view: the mask that holds each observed segment."""
        segments = list(container_of)
        for i, a in enumerate(segments):
            for b in segments[:i]:
                self.add(a, b, observers=1.0, supporters=float(container_of[a] == container_of[b]))

    def add(self, a: int, b: int, observers: float, supporters: float) -> None:
        """Add evidence about a pair. Old evidence fades once `consensus_memory` views are in."""
        pair = self.count(a, b)
        fade = min(1.0, self.config.consensus_memory / max(pair.observers + observers, 1e-9))
        updated = PairCount((pair.observers + observers) * fade, (pair.supporters + supporters) * fade)
        self._counts.setdefault(a, {})[b] = self._counts.setdefault(b, {})[a] = updated

    def inherit(self, child: int, parent: int) -> None:
        """A part cut out of `parent` starts with what is known of the parent."""
        for other, pair in list(self._counts.get(parent, {}).items()):
            if other != child:
                self.add(child, other, pair.observers, pair.supporters)

    def forget(self, segment: int) -> None:
        """Drop a segment that no longer exists."""
        for other in self._counts.pop(segment, {}):
            self._counts[other].pop(segment, None)

    def group(
        self, segments: Iterable[int], group_of: Mapping[int, int], bond_of: Mapping[int, int] = MappingProxyType({})
    ) -> list[list[int]]:
        """Partition segments into objects: average-linkage merging, best consensus first.

        The consensus of two groups is that of all their pairs together, so one bad part cannot chain two objects.
        Groups that are one object already (`group_of`) get the benefit of the doubt, others have to earn it: that
        keeps ids from flickering. Segments of one bond (`bond_of`) stay together whatever the views say.
        """
        groups = {s: [s] for s in sorted(segments)}
        links: dict[int, dict[int, _Link]] = {s: {} for s in groups}
        for a in groups:
            for b, pair in self._counts.get(a, {}).items():
                if b in groups:
                    together = a in group_of and group_of[a] == group_of.get(b)
                    links[a][b] = _Link(pair.observers, pair.supporters, together)
        first_of_bond: dict[int, int] = {}
        for segment in [s for s in groups if s in bond_of]:
            keep = first_of_bond.setdefault(bond_of[segment], segment)
            if keep != segment:
                groups[keep] += groups.pop(segment)
                _join(links, keep, segment)
        while (best := self._best_link(links)) is not None:
            keep, drop = best
            groups[keep] += groups.pop(drop)
            _join(links, keep, drop)
        return list(groups.values())

    def _best_link(self, links: dict[int, dict[int, "_Link"]]) -> tuple[int, int] | None:
        """Groups with the strongest consensus, of those that are one object."""
        best, best_ratio = None, self.config.min_consensus
        for a, row in links.items():
            for b, link in row.items():
                if a < b and (ratio := link.consensus(self.config.consensus_prior_views)) >= best_ratio:
                    best, best_ratio = (a, b), ratio
        return best


@dataclass(frozen=True)
class _Link(PairCount):
    """Evidence between two groups; `together` where they share an object now."""

    together: bool = False

    def consensus(self, prior_views: float) -> float:
        """Share of supporting views, after `prior_views` that support things as they are."""
        return (self.supporters + prior_views * self.together) / (self.observers + prior_views)


def _join(links: dict[int, dict[int, _Link]], keep: int, drop: int) -> None:
    """Fold the links of group `drop` into group `keep`."""
    for other, link in links.pop(drop).items():
        links[other].pop(drop)
        if other == keep:
            continue
        known = links[keep].get(other, _Link())
        links[keep][other] = links[other][keep] = _Link(
            known.observers + link.observers, known.supporters + link.supporters, known.together or link.together
        )
