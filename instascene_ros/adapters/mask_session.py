"""What exists while the segmentation node is configured: the segmenter, its thread, its topics, what it counted."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from instascene_ros.adapters.counters import release_memory
from instascene_ros.adapters.images import encode_labels
from instascene_ros.adapters.input_subscription import InputSubscription
from instascene_ros.adapters.intake import COLOR, DEPTH, INFO, MASKS
from instascene_ros.adapters.logs import ThrottledLog
from instascene_ros.adapters.mask_intake import ImageMessages, MaskIntake
from instascene_ros.adapters.segmentation_config import SegmentationNodeConfig
from instascene_ros.adapters.stamps import ns_of_stamp
from instascene_ros.adapters.worker import SceneWorker
from instascene_ros.core.camera import Camera
from instascene_ros.core.errors import InvalidFrameError
from instascene_ros.core.frame import Frame
from instascene_ros.core.protocols import Segmenter

GEOMETRIC_WIDTH_PX = 320  # what depth tells of outlines does not get better above it, and the time grows
QUEUE = 5  # masks kept for a subscriber that is slow


@dataclass
class MaskCounters:
    """Written by the segmenter's thread."""

    segmented: int = 0
    invalid: int = 0
    last_invalid: str = ""
    num_masks: int = 0  # of the last image
    segment_s: float = 0.0  # that it took


class MaskSession:
    """From configure to cleanup. Images are taken while open; one at a time, and of each camera the newest wins."""

    def __init__(
        self, node: Node, config: SegmentationNodeConfig, segmenter: Segmenter, needs_depth: bool,
        on_crash: Callable[[BaseException], None],
    ) -> None:  # fmt: skip
        self._node, self.config, self._segmenter = node, config, segmenter
        self._warn = ThrottledLog(node.get_logger().warning)
        self.is_open, self.counters = False, MaskCounters()
        self._width_px = config.width_px or (GEOMETRIC_WIDTH_PX if needs_depth else 0)
        self._masks: dict[str, Publisher] = {}
        self.intakes = [MaskIntake(camera, config, needs_depth, self._deliver) for camera in config.cameras]
        self._subscriptions: list[InputSubscription] = []
        for intake in self.intakes:
            self._masks[intake.camera] = node.create_publisher(
                Image, f"{intake.camera}/{MASKS}", QoSProfile(depth=QUEUE)
            )
            self._subscribe(intake, needs_depth)
        self.worker: SceneWorker[ImageMessages] = SceneWorker(self._segment, on_crash)
        self.worker.start()

    def open(self) -> None:
        """Take images from now on."""
        for subscription in self._subscriptions:
            subscription.open()
        self.is_open = True

    def shut(self) -> None:
        """Take no more images."""
        self.is_open = False
        for subscription in self._subscriptions:
            subscription.close()
        for intake in self.intakes:
            intake.clear()
        self.worker.discard_frames()

    def close(self) -> None:
        """Finish the image at hand, free the segmenter."""
        self.worker.stop()
        for one in self._masks.values():
            self._node.destroy_publisher(one)
        self._segmenter = None
        release_memory()

    def configure(self, config: SegmentationNodeConfig) -> None:
        """Take over what may change while running."""
        self.config = config
        for intake in self.intakes:
            intake.configure(config)

    def pump(self) -> None:
        """Let waits run out even when nothing arrives, and fit subscriptions to their publishers."""
        for subscription in self._subscriptions:
            subscription.adapt()
        for intake in self.intakes:
            intake.pump()

    @property
    def monitors(self) -> list:
        return [subscription.monitor for subscription in self._subscriptions]

    def _subscribe(self, intake: MaskIntake, needs_depth: bool) -> None:
        transports = {COLOR: self.config.color_transport, DEPTH: self.config.depth_transport}
        for stream in (COLOR, DEPTH, INFO) if needs_depth else (COLOR,):
            transport = transports.get(stream, "raw")
            name = f"{intake.camera}/{stream}" + ("" if transport == "raw" else f"/{transport}")
            kind = CameraInfo if stream == INFO else Image if transport == "raw" else CompressedImage
            self._subscriptions.append(
                InputSubscription(
                    self._node, self.config, kind, name,
                    lambda m, i=intake, s=stream: i.add(s, ns_of_stamp(m.header.stamp), m), required=True,
                )
            )  # fmt: skip

    def _deliver(self, messages: ImageMessages) -> None:
        self.worker.offer(messages.camera, messages)

    def _segment(self, messages: ImageMessages) -> None:
        """On the segmenter's thread."""
        began_s = time.monotonic()
        try:
            frame = messages.frame(self.config.depth_scale)
            camera = frame.camera
            masks = self._segmenter(frame.resized(min(self._width_px or camera.width, camera.width)))
            masks = masks.resized(camera.width, camera.height)
        except InvalidFrameError as error:
            self.counters.invalid += 1
            self.counters.last_invalid = str(error)
            self._warn(f"{messages.camera} invalid", f"{messages.camera}: image dropped: {error}")
            return
        self.counters.num_masks, self.counters.segment_s = len(masks), time.monotonic() - began_s
        self._masks[messages.camera].publish(encode_labels(masks.labels, messages.color.header))
        self.counters.segmented += 1


def warm_up(segmenter: Segmenter) -> None:
    """Compile and allocate what the first image would wait for: a flat wall of noise."""
    height, width = 240, 320
    rgb = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
    camera = Camera(width, width, width / 2, height / 2, width, height)
    segmenter(Frame(0, camera, rgb, np.full((height, width), 0.6, np.float32), np.eye(4)))
