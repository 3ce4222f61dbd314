"""Fewer segments: those that need not be told apart any more become one."""

from collections.abc import Iterable

from instascene_ros.core.consensus import ConsensusGraph
from instascene_ros.core.identities import Identities


def weld(
    instances: Iterable[int], identities: Identities, consensus: ConsensusGraph, sizes: dict[int, int], most: int
) -> dict[int, int]:
    """Keep each instance to `most` segments; returns those that are gone, and the segments that they are part of now.

    Errors of masks go on to cut segments, and each costs time in every view that shows its instance. `sizes`, the
    Gaussians of each segment, follow.
    """
    into: dict[int, int] = {}
    for instance in instances:
        parts = list(identities.segments_of[instance])
        while len(parts) > most:
            part, whole = consensus.cheapest_weld(parts, [sizes[s] for s in parts])
            consensus.fold(part, whole)
            identities.forget(part)
            sizes[whole] += sizes.pop(part)
            parts.remove(part)
            into |= {part: whole} | {s: whole for s, w in into.items() if w == part}
    return into
