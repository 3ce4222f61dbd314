"""Counts of pairs of segments, of which there are few: a table with open addressing, compiled."""

from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numba import njit

FREE, GONE = -1, -2  # no key: places that ended a search never, or no more
LOW = (1 << 31) - 1  # of a key: its smaller segment is above


class PairCounts:
    """Observers and supporters of each pair that some view observed, whichever way round it is given."""

    def __init__(self) -> None:
        self._keys, self._counts, self._taken = np.full(256, FREE, np.int64), np.zeros((256, 2)), 0

    def add(
        self, a: Int64[np.ndarray, " R"], b: Int64[np.ndarray, " R"], counts: Float64[np.ndarray, "R 2"], memory: float
    ) -> None:
        """Old counts fade once there are `memory` observers of a pair."""
        self._reserve(len(a))
        self._taken += _add(self._keys, self._counts, a, b, counts, memory)

    def of(self, a: int, b: int) -> tuple[float, float] | None:
        """None where no view has observed both."""
        at = _find(self._keys, _key(a, b))
        return None if self._keys[at] < 0 else tuple(self._counts[at].tolist())

    def pairs(self) -> Int64[np.ndarray, "P 2"]:
        """The smaller segment first, in order."""
        keys = np.sort(self._keys[self._keys >= 0])
        return np.stack([keys >> 31, keys & LOW], axis=1)

    def forget(self, segment: int) -> None:
        _forget(self._keys, segment)

    def fold(self, segment: int, whole: int) -> None:
        """`segment` becomes part of `whole`: what more views say about either and a third holds for both."""
        mine = (self._keys >= 0) & ((self._keys >> 31 == segment) | (self._keys & LOW == segment))
        keys, counts = self._keys[mine], self._counts[mine]
        for other, given in zip(((keys >> 31) + (keys & LOW) - segment).tolist(), counts, strict=True):
            own = self.of(whole, other) or (0.0, 0.0)
            if other != whole and given[0] > own[0]:
                self.add(np.array([whole]), np.array([other]), (given - own)[None], np.inf)
        self.forget(segment)

    def between(
        self, segments: Int64[np.ndarray, " A"]
    ) -> tuple[Float64[np.ndarray, "A A 2"], Bool[np.ndarray, "A A"]]:
        """Counts of all pairs of some segments, and which of them there are."""
        counts = np.zeros((len(segments), len(segments), 2))
        known = np.zeros((len(segments), len(segments)), bool)
        _between(self._keys, self._counts, segments, counts, known)
        return counts, known

    def _reserve(self, more: int) -> None:
        """Room for more pairs, half of the table free at least: searches stay short."""
        if 2 * (self._taken + more) <= len(self._keys):
            return
        alive = self._keys >= 0
        keys, counts = self._keys[alive], self._counts[alive]
        size = 1 << int(4 * (len(keys) + more)).bit_length()
        self._keys, self._counts = np.full(size, FREE, np.int64), np.zeros((size, 2))
        self._taken = _add(self._keys, self._counts, keys >> 31, keys & LOW, counts, np.inf)


@njit(cache=True)
@no_type_check
def _key(a, b):
    return (np.int64(min(a, b)) << 31) | np.int64(max(a, b))


@njit(cache=True)
@no_type_check
def _find(keys, key):
    """Where a key is, or where its search ended."""
    last = len(keys) - 1
    at = ((key ^ (key >> 31)) * np.int64(0x2545F4914F6CDD1D)) >> 33 & last
    while keys[at] != FREE and keys[at] != key:
        at = (at + 1) & last
    return at


@njit(cache=True)
@no_type_check
def _add(keys, table, a, b, counts, memory):
    """Returns how many places were taken."""
    taken = 0
    for r in range(len(a)):
        key = _key(a[r], b[r])
        at = _find(keys, key)
        if keys[at] == FREE:
            keys[at], taken = key, taken + 1
        observers, supporters = table[at, 0] + counts[r, 0], table[at, 1] + counts[r, 1]
        kept = min(1.0, memory / max(observers, 1e-9))
        table[at, 0], table[at, 1] = observers * kept, supporters * kept
    return taken


@njit(cache=True)
@no_type_check
def _forget(keys, segment):
    for at in range(len(keys)):
        if keys[at] >= 0 and (keys[at] >> 31 == segment or keys[at] & LOW == segment):
            keys[at] = GONE


@njit(cache=True)
@no_type_check
def _between(keys, table, segments, counts, known):
    for i in range(len(segments)):
        for j in range(i):
            at = _find(keys, _key(segments[i], segments[j]))
            if keys[at] >= 0:
                known[i, j] = known[j, i] = True
                counts[i, j, 0] = counts[j, i, 0] = table[at, 0]
                counts[i, j, 1] = counts[j, i, 1] = table[at, 1]
