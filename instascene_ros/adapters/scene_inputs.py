"""The scene node's subscriptions: every message is noted, stored, and handed on once its instant is complete."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from instascene_ros.adapters.frames import FrameMessages
from instascene_ros.adapters.input_subscription import InputSubscription
from instascene_ros.adapters.inputs import InputMonitor
from instascene_ros.adapters.intake import COLOR, DEPTH, IGNORE, INFO, MASKS, CameraIntake, IntakeHooks
from instascene_ros.adapters.node_config import SceneNodeConfig
from instascene_ros.adapters.poses import PoseBuffer, PoseSource, TopicPoses
from instascene_ros.adapters.stamps import ns_of_s
from instascene_ros.adapters.tf_poses import TfPoses
from instascene_ros.adapters.transforms import matrix_of
from instascene_ros.core.errors import InvalidFrameError

Warn = Callable[[str, str], None]


class SceneInputs:
    """Inputs of all cameras: silent until opened, and again once closed; what was counted stays.

    Everything here runs in the executor's default callback group, one call at a time.
    """

    def __init__(
        self, node: Node, config: SceneNodeConfig, deliver: Callable[[FrameMessages], None],
        jumped: Callable[[str, float], None], restarted: Callable[[str], None], warn: Warn,
    ) -> None:  # fmt: skip
        self._node, self._config, self._warn = node, config, warn
        self._subscriptions: dict[str, InputSubscription] = {}
        self._tf: TfPoses | None = None
        self.bad_poses = 0
        hooks = IntakeHooks(deliver, jumped, restarted, warn, self._optional_streams)
        sources = self._pose_sources()
        self.intakes = [CameraIntake(camera, config, sources[camera], hooks) for camera in config.cameras]
        for intake in self.intakes:
            self._subscribe_camera(intake)

    def open(self) -> None:
        """Subscribe to everything."""
        if self._tf is not None:
            self._tf.open()
        for subscription in self._subscriptions.values():
            subscription.open()

    def close(self) -> None:
        """Unsubscribe from everything, and forget what waits."""
        for subscription in self._subscriptions.values():
            subscription.close()
        if self._tf is not None:
            self._tf.close()
        for intake in self.intakes:
            intake.clear()

    def configure(self, config: SceneNodeConfig) -> None:
        """Take over what may change while running."""
        self._config = config
        for intake in self.intakes:
            intake.configure(config)

    def publishers(self, topic: str) -> int:
        """How many publishers the graph knows; `topic` as resolved, with remappings applied."""
        return self._node.count_publishers(topic)

    @property
    def monitors(self) -> list[InputMonitor]:
        return [subscription.monitor for subscription in self._subscriptions.values()]

    def pump(self) -> None:
        """Let waits run out even when nothing arrives, and fit subscriptions to their publishers."""
        for subscription in self._subscriptions.values():
            subscription.adapt()
        for intake in self.intakes:
            intake.pump()

    def _subscribe_camera(self, intake: CameraIntake) -> None:
        transports = {COLOR: self._config.color_transport, DEPTH: self._config.depth_transport}
        streams = [COLOR, DEPTH, INFO, IGNORE] + [MASKS] * (self._config.masks != "segmenter")
        for stream in streams:
            transport = transports.get(stream, "raw")
            name = f"{intake.camera}/{stream}" + ("" if transport == "raw" else f"/{transport}")
            kind = CameraInfo if stream == INFO else Image if transport == "raw" else CompressedImage
            required = stream in (COLOR, DEPTH, INFO) or (stream == MASKS and self._config.masks == "topic")
            self._subscribe(kind, name, required, lambda m, s=stream: intake.add(s, m))

    def _subscribe(self, kind: type, name: str, required: bool, store: Callable[[Any], None]) -> None:
        self._subscriptions[name] = InputSubscription(self._node, self._config, kind, name, store, required)

    def _optional_streams(self, camera: str) -> Sequence[str]:
        """Streams that a frame waits for now: masks where they are asked for or published, ignore where published."""
        always, never = self._config.masks == "topic", self._config.masks == "segmenter"
        wanted = [MASKS] if always or (not never and self._published(f"{camera}/{MASKS}")) else []
        return [*wanted, IGNORE] if self._published(f"{camera}/{IGNORE}") else wanted

    def _published(self, name: str) -> bool:
        return self.publishers(self._subscriptions[name].monitor.topic) > 0

    def _pose_sources(self) -> dict[str, PoseSource]:
        config = self._config
        if config.pose_source == "tf":
            self._tf = TfPoses(self._node, config.map_frame)
            return dict.fromkeys(config.cameras, self._tf)
        return self._odom_sources() if config.pose_source == "odom" else self._topic_sources()

    def _topic_sources(self) -> dict[str, PoseSource]:
        sources = {camera: TopicPoses(self._config.map_frame, self._buffer()) for camera in self._config.cameras}
        for camera, source in sources.items():
            self._subscribe(PoseStamped, f"{camera}/pose", True, lambda m, s=source: self._add_pose(s, m))
        return sources

    def _odom_sources(self) -> dict[str, PoseSource]:
        buffer, sources = self._buffer(), {}
        numbers = np.reshape(self._config.camera_extrinsics, (-1, 7))
        for camera, row in zip(self._config.cameras, numbers, strict=True):
            T_base_camera = matrix_of(row[:3], row[[4, 5, 6, 3]])
            sources[camera] = TopicPoses(self._config.map_frame, buffer, T_base_camera)
        any_source = next(iter(sources.values()))  # they share the buffer
        self._subscribe(Odometry, "odom", True, lambda m: self._add_pose(any_source, m))
        return sources

    def _buffer(self) -> PoseBuffer:
        return PoseBuffer(ns_of_s(self._config.max_pose_gap_s), ns_of_s(self._config.sync.jump_back_s))

    def _add_pose(self, source: TopicPoses, message: PoseStamped | Odometry) -> None:
        try:
            source.add(message)
        except InvalidFrameError as error:
            self.bad_poses += 1
            self._warn("bad pose", f"pose dropped: {error}")
        for intake in self.intakes:
            intake.pump()
