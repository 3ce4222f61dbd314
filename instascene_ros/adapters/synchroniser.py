"""Bring together the images of one instant. Callbacks only `add`; the owner calls `take` and gets whole sets.

Our own instead of message_filters: its callback runs inside the queue lock, and its approximate policy emits the
first partner within the slop rather than the best.
"""

from bisect import insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, NamedTuple


@dataclass(frozen=True)
class MatchedSet:
    """One message of each asked stream; `stamp_ns` is that of the reference stream."""

    stamp_ns: int
    messages: dict[str, Any]


class _Queued(NamedTuple):
    stamp_ns: int
    arrival: int  # breaks ties when sorting, so that messages are never compared
    arrival_ns: int
    message: Any
    num_bytes: int


def size_of(message: Any) -> int:
    """Bytes of an image's pixels."""
    return len(getattr(message, "data", b""))


class Synchroniser:
    """Bounded queues, one a stream. A set belongs to a message of the `reference` stream.

    A partner with the same stamp is taken at once. Otherwise the nearest within `slop_ns` is taken as soon as its
    stream has moved past the reference stamp, or when the reference has waited `wait_ns`; without one, the
    reference message is dropped and `misses` counts the stream that failed it.
    """

    def __init__(
        self, reference: str, slop_ns: int, queue_size: int, wait_ns: int, jump_back_ns: int, max_bytes: int = 2**40
    ) -> None:  # fmt: skip
        self._max_bytes = max_bytes
        self._reference, self.slop_ns, self._queue_size = reference, slop_ns, queue_size
        self.wait_ns, self._jump_back_ns = wait_ns, jump_back_ns
        self._lock = Lock()
        self._queues: dict[str, list[_Queued]] = {}
        self._newest_ns: dict[str, int] = {}
        self._taken_ns: int | None = None
        self._arrivals = 0
        self.misses: Counter[str] = Counter()  # stream -> reference messages dropped for want of it
        self.unmatched = 0  # reference messages dropped for want of any
        self.duplicates = 0  # same stamp twice on one stream
        self.stale = 0  # reference messages not newer than the last one taken
        self.time_jumps = 0  # stamps went back by more than `jump_back_ns` (a bag looped): queues cleared

    def add(self, stream: str, stamp_ns: int, message: Any, now_ns: int) -> bool:
        """Enqueue; False when time jumped back and everything queued was discarded first."""
        with self._lock:
            in_order = stamp_ns >= self._newest_ns.get(stream, stamp_ns) - self._jump_back_ns
            if not in_order:
                self.time_jumps += 1
                self._clear()
            self._newest_ns[stream] = max(stamp_ns, self._newest_ns.get(stream, stamp_ns))
            if not self._is_repeated(stream, stamp_ns):
                self._enqueue(stream, stamp_ns, message, now_ns)
            return in_order

    def take(self, streams: Sequence[str], now_ns: int) -> list[MatchedSet]:
        """Every set that is complete, oldest first; `streams` are the partners that a set needs now."""
        with self._lock:
            matched, queue = [], self._queues.setdefault(self._reference, [])
            while queue:
                partners = {stream: self._partner(stream, queue[0], now_ns) for stream in streams}
                if "wait" in partners.values():
                    break
                head = queue.pop(0)
                missing = [stream for stream, partner in partners.items() if partner is None]
                self.misses.update(missing)
                self.unmatched += bool(missing)
                if not missing:
                    messages = {stream: partner.message for stream, partner in partners.items()}
                    matched.append(MatchedSet(head.stamp_ns, {self._reference: head.message, **messages}))
                    self._taken_ns = head.stamp_ns
                    self._forget(head.stamp_ns, partners)
            return matched

    def clear(self) -> None:
        """Forget what is queued and what was taken."""
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        self.unmatched += len(self._queues.get(self._reference, []))
        self._queues.clear()
        self._newest_ns.clear()
        self._taken_ns = None

    def _is_repeated(self, stream: str, stamp_ns: int) -> bool:
        if any(item.stamp_ns == stamp_ns for item in self._queues.get(stream, [])):
            self.duplicates += 1
            return True
        if stream == self._reference and self._taken_ns is not None and stamp_ns <= self._taken_ns:
            self.duplicates += stamp_ns == self._taken_ns
            self.stale += stamp_ns < self._taken_ns
            return True
        return False

    def _enqueue(self, stream: str, stamp_ns: int, message: Any, now_ns: int) -> None:
        queue = self._queues.setdefault(stream, [])
        self._arrivals += 1
        insort(queue, _Queued(stamp_ns, self._arrivals, now_ns, message, size_of(message)))
        while len(queue) > self._queue_size or (len(queue) > 1 and self._num_bytes() > self._max_bytes):
            queue.pop(0)
            self.misses["overflow"] += stream == self._reference
            self.unmatched += stream == self._reference

    def _num_bytes(self) -> int:
        return sum(item.num_bytes for queue in self._queues.values() for item in queue)

    def _partner(self, stream: str, head: _Queued, now_ns: int) -> _Queued | str | None:
        """The stream's message for `head`; "wait" while a better one may come; None when none will."""
        queue = self._queues.get(stream, [])
        for item in queue:
            if item.stamp_ns == head.stamp_ns:
                return item
        moved_past = self._newest_ns.get(stream, head.stamp_ns) > head.stamp_ns
        if not moved_past and now_ns - head.arrival_ns < self.wait_ns:
            return "wait"
        others = {item.stamp_ns for item in self._queues[self._reference]}  # leave each its exact partner
        near = [q for q in queue if abs(q.stamp_ns - head.stamp_ns) <= self.slop_ns and q.stamp_ns not in others]
        return min(near, key=lambda item: abs(item.stamp_ns - head.stamp_ns), default=None)

    def _forget(self, stamp_ns: int, used: dict[str, Any]) -> None:
        """Drop the partners just used and everything too old for any later reference message."""
        for stream, queue in self._queues.items():
            if stream != self._reference:
                taken = used.get(stream)
                queue[:] = [q for q in queue if q is not taken and q.stamp_ns > stamp_ns - self.slop_ns]
