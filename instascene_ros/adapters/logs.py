"""Logging: the core's stdlib records go to rosout, and repeated complaints are throttled."""

import logging
import time
from collections.abc import Callable

from rclpy.impl.rcutils_logger import RcutilsLogger


class RosHandler(logging.Handler):
    """Hands stdlib records to a ROS logger, so that the core never sees one."""

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__()
        self._ros = logger

    def emit(self, record: logging.LogRecord) -> None:
        text = f"{record.name}: {record.getMessage()}"
        if record.levelno >= logging.ERROR:
            self._ros.error(text)
        elif record.levelno >= logging.WARNING:
            self._ros.warning(text)
        elif record.levelno >= logging.INFO:
            self._ros.info(text)
        else:
            self._ros.debug(text)


def forward_logging(logger: RcutilsLogger) -> None:
    """Send what the package logs through the standard library to `logger`."""
    package = logging.getLogger("instascene_ros")
    package.handlers = [RosHandler(logger)]
    package.setLevel(logging.INFO)
    package.propagate = False


class ThrottledLog:
    """Warnings, each key at most every `period_s`; says how many were held back."""

    def __init__(
        self, write: Callable[[str], None], period_s: float = 5.0, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._period_s, self._clock_s = write, period_s, clock_s
        self._last_s: dict[str, float] = {}
        self._held: dict[str, int] = {}

    def __call__(self, key: str, text: str) -> None:
        now_s = self._clock_s()
        if now_s - self._last_s.get(key, float("-inf")) < self._period_s:
            self._held[key] = self._held.get(key, 0) + 1
            return
        held = self._held.pop(key, 0)
        self._last_s[key] = now_s
        self._write(f"{text} ({held} more like this)" if held else text)
