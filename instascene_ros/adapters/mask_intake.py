"""One camera's way into the segmentation node: colour, with depth and camera_info where the segmenter wants them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from instascene_ros.adapters.frames import FrameMessages, color_frame, to_frame
from instascene_ros.adapters.intake import COLOR, DEPTH, INFO, synchroniser_of
from instascene_ros.adapters.segmentation_config import SegmentationNodeConfig
from instascene_ros.adapters.stamps import SECOND_NS, ns_of_s
from instascene_ros.adapters.synchroniser import MatchedSet
from instascene_ros.core.frame import Frame


@dataclass(frozen=True)
class ImageMessages:
    """What one image is segmented from, still encoded. No depth: only colour is wanted."""

    camera: str
    color: Image | CompressedImage
    depth: Image | CompressedImage | None = None
    info: CameraInfo | None = None

    def frame(self, depth_scale: float) -> Frame:
        """Decoded; without a pose, which no segmenter needs: the identity.

        Raises:
            InvalidFrameError: whatever is wrong, with the topic's name in front.
        """
        if self.depth is None or self.info is None:
            return color_frame(f"{self.camera}/{COLOR}", self.color)
        return to_frame(FrameMessages(self.camera, self.color, self.depth, self.info, np.eye(4)), depth_scale)


class MaskIntake:
    """Not thread-safe: `add` and `pump` belong to the executor's thread of the inputs."""

    def __init__(
        self, camera: str, config: SegmentationNodeConfig, needs_depth: bool, deliver: Callable[[ImageMessages], None],
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:  # fmt: skip
        self.camera, self._needs_depth, self._deliver, self._clock_ns = camera, needs_depth, deliver, clock_ns
        self.sync = synchroniser_of(config.sync)
        self.configure(config)
        self._info: CameraInfo | None = None
        self._held: MatchedSet | None = None  # the newest, until camera_info comes
        self._last_ns: int | None = None  # stamp of the last image that was handed on
        self.received = 0
        self.dropped_rate = 0
        self.dropped_no_info = 0

    def configure(self, config: SegmentationNodeConfig) -> None:
        """Take over what may change while running."""
        self._period_ns = SECOND_NS / config.max_rate_hz if config.max_rate_hz > 0 else 0.0
        self.sync.slop_ns, self.sync.wait_ns = ns_of_s(config.sync.slop_s), ns_of_s(config.sync.wait_s)

    def clear(self) -> None:
        """Forget everything that waits; the counts stay."""
        self.sync.clear()
        self._restart()

    def add(self, stream: str, stamp_ns: int, message: Image | CompressedImage | CameraInfo) -> None:
        """Store one message and hand on what became complete."""
        self.received += stream == COLOR
        if stream == INFO:
            self._info = message
        elif not self.sync.add(stream, stamp_ns, message, self._clock_ns()):
            self._restart()
        self.pump()

    def pump(self) -> None:
        """Hand on every whole set. Call it whenever anything arrived, and now and then."""
        for matched in self.sync.take([DEPTH] if self._needs_depth else [], self._clock_ns()):
            self.dropped_no_info += self._held is not None
            self._held = matched
            self._hand_on()
        self._hand_on()

    def _restart(self) -> None:
        """Time may have started over."""
        self.dropped_no_info += self._held is not None
        self._held = self._last_ns = None

    def _hand_on(self) -> None:
        if self._held is None or (self._needs_depth and self._info is None):
            return
        matched, self._held = self._held, None
        if self._last_ns is not None and matched.stamp_ns - self._last_ns < self._period_ns:
            self.dropped_rate += 1
            return
        self._last_ns = matched.stamp_ns
        color, depth = matched.messages[COLOR], matched.messages.get(DEPTH)
        self._deliver(ImageMessages(self.camera, color, depth, self._info))
