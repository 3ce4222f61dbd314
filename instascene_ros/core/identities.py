"""Stable instance ids over a partition of segments that changes as views come in."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

MAX_ALIASES = 100  # that an instance publishes: clients follow as merges come


@dataclass
class Identities:
    """Which instance each segment belongs to. Ids are never reused.

    A merge keeps the older (smaller) id and remembers the absorbed one; after a split the id stays with the larger
    part and the other parts get new ids.
    """

    instance_of: dict[int, int] = field(default_factory=dict)  # segment -> instance
    segments_of: dict[int, list[int]] = field(default_factory=dict)  # instance -> segments
    merged_into: dict[int, int] = field(default_factory=dict)  # absorbed id -> id that has its Gaussians now
    bond_of: dict[int, int] = field(default_factory=dict)  # segment -> bond: what a user joined, views cannot part
    next_id: int = 1

    def regroup(self, groups: list[list[int]], size_of: Callable[[int], float]) -> set[int]:
        """Adopt a new partition of some segments (whole instances and new segments); ids whose membership changed."""
        before = {s: self.instance_of.get(s) for group in groups for s in group}
        claims = self._claims(groups, before, size_of)
        changed: set[int] = set()
        for instance in {i for i in before.values() if i is not None}:
            del self.segments_of[instance]
        for index, group in enumerate(groups):
            ids = sorted(i for i, claimed in claims.items() if claimed == index)
            instance = ids[0] if ids else self._new_id()
            self._absorb(instance, ids[1:])
            changed.update(ids[1:])
            self.segments_of[instance] = sorted(group)
            if any(before[s] != instance for s in group) or ids[1:]:
                changed.add(instance)
            self.instance_of.update(dict.fromkeys(group, instance))
        changed |= {i for s, i in before.items() if i is not None and self.instance_of[s] != i}
        return changed

    def join(self, ids: Sequence[int]) -> None:
        """Merge instances into the first of `ids` for good: their segments share a bond, its id, from now on."""
        first = ids[0]
        segments = sorted(s for i in ids for s in self.segments_of.pop(i))
        self.segments_of[first] = segments
        self.instance_of.update(dict.fromkeys(segments, first))
        self.bond_of.update(dict.fromkeys(segments, first))
        self._absorb(first, ids[1:])

    def add_part(self, segment: int, whole: int) -> None:
        """A part cut out of segment `whole` belongs to the same instance and bond, until views say otherwise."""
        instance = self.instance_of.get(whole)
        if instance is not None:
            self.instance_of[segment] = instance
            self.segments_of[instance].append(segment)
        if whole in self.bond_of:
            self.bond_of[segment] = self.bond_of[whole]

    def aliases(self) -> dict[int, tuple[int, ...]]:
        """Instance -> every id that it took in, directly or through others, oldest first."""
        found: dict[int, list[int]] = {}
        for old in sorted(self.merged_into):
            found.setdefault(self.merged_into[old], []).append(old)
        return {instance: tuple(ids) for instance, ids in found.items()}

    def _absorb(self, instance: int, absorbed: Iterable[int]) -> None:
        """Publish aliases: of those merged into `instance`, and of what these took in; the oldest are given up."""
        gone = set(absorbed)
        self.merged_into.update({old: instance for old, new in self.merged_into.items() if new in gone})
        self.merged_into.update(dict.fromkeys(gone, instance))
        for old in self.aliases().get(instance, ())[:-MAX_ALIASES]:
            del self.merged_into[old]

    def forget(self, segment: int) -> None:
        """Drop a segment; an instance without segments is gone."""
        self.bond_of.pop(segment, None)
        instance = self.instance_of.pop(segment, None)
        if instance is None:
            return
        self.segments_of[instance].remove(segment)
        if not self.segments_of[instance]:
            del self.segments_of[instance]
            self.merged_into = {old: new for old, new in self.merged_into.items() if new != instance}

    def _claims(
        self, groups: list[list[int]], before: dict[int, int | None], size_of: Callable[[int], float]
    ) -> dict[int, int]:
        """Old instance -> index of the new group that holds the largest part of it."""
        held: dict[int, dict[int, float]] = {}
        for index, group in enumerate(groups):
            for segment in group:
                instance = before[segment]
                if instance is not None:
                    parts = held.setdefault(instance, {})
                    parts[index] = parts.get(index, 0.0) + size_of(segment)
        return {instance: max(parts, key=lambda i: (parts[i], -i)) for instance, parts in held.items()}

    def _new_id(self) -> int:
        self.next_id += 1
        return self.next_id - 1
