"""What is known of one input topic: does it exist, does it fit, does it flow."""

import time
from collections import deque
from collections.abc import Callable

SILENT_AFTER_S = 2.0


class InputMonitor:
    """Counts the messages of one topic. Subscriptions note, the watchdog asks."""

    def __init__(self, topic: str, required: bool, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.topic, self.required, self._clock_s = topic, required, clock_s
        self.received = 0
        self.last_stamp_ns = 0
        self.qos_problem = ""
        self._bad_stamps = 0  # messages whose stamp is no time, since the last good one
        self._arrivals_s: deque[float] = deque(maxlen=30)

    def note(self, stamp_ns: int) -> None:
        """One message has arrived."""
        self.received, self._bad_stamps = self.received + 1, 0
        self.last_stamp_ns = stamp_ns
        self._arrivals_s.append(self._clock_s())

    def note_bad_stamp(self) -> None:
        """One message has arrived whose stamp is no time."""
        self._bad_stamps += 1

    @property
    def rate_hz(self) -> float:
        """Of the last messages; 0 when the topic is silent."""
        if len(self._arrivals_s) < 2 or self.silent_s > SILENT_AFTER_S:
            return 0.0
        return (len(self._arrivals_s) - 1) / max(self._arrivals_s[-1] - self._arrivals_s[0], 1e-6)

    @property
    def silent_s(self) -> float:
        """Time since the last message; infinite before the first."""
        return self._clock_s() - self._arrivals_s[-1] if self._arrivals_s else float("inf")

    def problem(self, publishers: int) -> str:
        """Why nothing comes, in words; empty when messages flow."""
        if self.qos_problem and self.silent_s > SILENT_AFTER_S:
            return self.qos_problem
        if publishers == 0 and self.silent_s > SILENT_AFTER_S:
            return "no publisher (is the driver running? are topic and namespace right?)"
        if self._bad_stamps and self.silent_s > SILENT_AFTER_S:
            return f"{self._bad_stamps} messages without a usable header.stamp: does the driver set it?"
        if self.received == 0:
            return "publisher found, nothing received yet"
        if self.silent_s > SILENT_AFTER_S:
            return f"silent for {self.silent_s:.0f} s"
        return ""

    def describe(self, publishers: int) -> str:
        """One line for the log."""
        state = self.problem(publishers) or f"{self.rate_hz:.1f} Hz"
        last = f", last stamp {self.last_stamp_ns / 1e9:.3f} s" if self.received else ""
        return f"{self.topic}: {state}{last}"
