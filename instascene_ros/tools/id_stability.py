"""How stable instance ids are over a sequence, against ground truth: switches, fragments, label churn.

Fed with one snapshot a keyframe. An id is matched to an object at IoU above 0.5 over the Gaussians that the keyframe
shows; a switch is a change of the matched id between matched keyframes (CLEAR-MOT, Bernardin and Stiefelhagen 2008).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int32, Integer

from instascene_ros.tools.figures import Cell

MATCH_IOU = 0.5
FRAGMENT_SHARE = 0.1  # an id that covers this share of an object is a fragment of it
SETTLED_AFTER = 10  # keyframes before label churn counts


@dataclass(frozen=True)
class Snapshot:
    """The map at one keyframe."""

    frame: int
    labels: Integer[np.ndarray, " N"]  # published instance of every Gaussian, 0 = none
    truth: Integer[np.ndarray, " N"]  # object that each shows in this frame: 0 = background, -1 = not in view
    objects: frozenset[int]  # in view, large enough to be expected
    survivors: Bool[np.ndarray, " P"]  # of the Gaussians of the snapshot before, which still live: the first rows here


@dataclass
class IdTimeline:
    """Collects snapshots; figures come out raw, or after the published merge aliases."""

    _views: list[tuple[int, np.ndarray, np.ndarray, frozenset[int]]] = field(default_factory=list)
    _churn: list[float] = field(default_factory=list)
    _labels: Integer[np.ndarray, " N"] = field(default_factory=lambda: np.zeros(0, np.int32))

    def add(self, snapshot: Snapshot) -> None:
        """One more keyframe."""
        in_view = snapshot.truth >= 0
        self._views.append((snapshot.frame, snapshot.labels[in_view], snapshot.truth[in_view], snapshot.objects))
        before = self._labels[snapshot.survivors]
        if len(before):
            self._churn.append(float((before != snapshot.labels[: len(before)]).mean()))
        self._labels = snapshot.labels.copy()

    def figures(self, aliases: Mapping[int, int] | None = None) -> dict[str, Cell]:
        """Means over objects and keyframes; `aliases`: absorbed id -> id that has its Gaussians now."""
        switches: dict[int, int] = {}
        fragments: list[int] = []
        matched_of: dict[int, int] = {}
        first_seen: dict[int, int] = {}
        last_change: dict[int, int] = {}
        num_seen = num_matched = 0
        for frame, labels, truth, objects in self._views:
            labels = _following(labels, aliases or {})
            for target in sorted(objects & set(np.unique(truth).tolist())):
                num_seen += 1
                first_seen.setdefault(target, frame)
                found, pieces = _matched(labels, truth == target)
                fragments.append(pieces)
                if found == 0:
                    continue
                num_matched += 1
                if matched_of.get(target, found) != found:
                    switches[target] = switches.get(target, 0) + 1
                    last_change[target] = frame
                matched_of[target] = found
        settled = self._churn[SETTLED_AFTER:]
        waits = [last_change.get(target, frame) - frame for target, frame in first_seen.items()]
        return {
            "switches per object": sum(switches.values()) / max(len(matched_of), 1),
            "matched share": num_matched / max(num_seen, 1),
            "fragments per object": float(np.mean(fragments)) if fragments else 0.0,
            "frames to last id change": float(np.mean(waits)) if waits else 0.0,
            "churn mean %": 100 * float(np.mean(settled)) if settled else 0.0,
            "churn max %": 100 * max(settled, default=0.0),
        }


def _matched(labels: Integer[np.ndarray, " V"], target: Bool[np.ndarray, " V"]) -> tuple[int, int]:
    """(id that matches an object, or 0; number of its fragments)."""
    ids, counts = np.unique(labels[target], return_counts=True)
    size, found = int(target.sum()), 0
    for instance, shared in zip(ids.tolist(), counts.tolist(), strict=True):
        union = size + int((labels == instance).sum()) - shared
        if instance > 0 and shared > MATCH_IOU * union:
            found = instance
    return found, int(((counts >= FRAGMENT_SHARE * size) & (ids > 0)).sum())


def _following(labels: Integer[np.ndarray, " V"], aliases: Mapping[int, int]) -> Int32[np.ndarray, " V"]:
    """Labels with every absorbed id replaced by the one that has its Gaussians in the end."""
    table = np.arange(1 + max([int(labels.max(initial=0)), *aliases]), dtype=np.int32)
    for old in aliases:
        heir = old
        while heir in aliases:
            heir = aliases[heir]
        table[old] = heir
    return table[labels]
