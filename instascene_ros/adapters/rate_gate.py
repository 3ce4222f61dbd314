"""Publishing at most so often."""

import time
from collections.abc import Callable


class RateGate:
    """Says when something may be published again: at most `rate_hz` times a second, never at 0."""

    def __init__(self, rate_hz: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.rate_hz, self._clock_s = rate_hz, clock_s  # the rate may be changed
        self._last_s = float("-inf")
        self._owed = False

    def owe(self) -> None:
        """There is something new."""
        self._owed = True

    def take(self) -> bool:
        """True when something is owed and enough time has passed; then it counts as published."""
        now_s = self._clock_s()
        if not self._owed or self.rate_hz <= 0 or now_s - self._last_s < 1 / self.rate_hz:
            return False
        self._last_s, self._owed = now_s, False
        return True
