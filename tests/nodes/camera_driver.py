"""A camera (and a localisation) in the test process: publishes messages to the scene node over DDS."""

from typing import Any

import camera_messages as made
from geometry_msgs.msg import PoseStamped
from harness import Client, wait_until
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from instascene_ros.msg import MapStatus


class CameraDriver:
    """Publishes sets of messages; stamps grow by 100 ms from set to set unless given."""

    TOPICS = {
        "pose": (PoseStamped, "pose"),
        "info": (CameraInfo, "color/camera_info"),
        "color": (Image, "color/image"),
        "depth": (Image, "depth/image"),
        "masks": (Image, "masks/image"),
    }

    def __init__(
        self, ros: Client, reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE, camera: str = "camera"
    ) -> None:
        qos = QoSProfile(depth=20, reliability=reliability)
        topics = {name: (kind, f"{camera}/{topic}") for name, (kind, topic) in self.TOPICS.items()}
        self.publishers = {name: ros.node.create_publisher(*topic, qos) for name, topic in topics.items()}
        self.statuses: list[MapStatus] = ros.collect(MapStatus, "status", QoSProfile(depth=10))
        self.stamp_ms = 1000

    def wait_for_node(self, *unused: str) -> None:
        """Until the node listens to everything, but for topics that it does not use."""
        used = [publisher for name, publisher in self.publishers.items() if name not in unused]
        wait_until(lambda: all(p.get_subscription_count() for p in used), 90, lambda: "subscriptions of the node")
        wait_until(lambda: self.statuses, 90, lambda: "a status of the node")

    def send(self, stamp_ms: int | None = None, **changes: Any) -> int:
        """Publish one set; `changes` replaces messages, None leaves one out. Returns the stamp."""
        self.stamp_ms = self.stamp_ms + 100 if stamp_ms is None else stamp_ms
        t = self.stamp_ms
        whole = {
            "pose": made.pose(t),
            "info": made.info(t),
            "color": made.color(t),
            "depth": made.depth(t),
            "masks": made.labels(t),
        }
        for name, message in {**whole, **changes}.items():
            if message is not None:
                self.publishers[name].publish(message)
        return t

    @property
    def status(self) -> MapStatus:
        return self.statuses[-1]

    def wait_for(self, **counts: int) -> MapStatus:
        """Until a status has exactly these values."""

        def reached() -> bool:
            return all(getattr(self.status, name) == value for name, value in counts.items())

        wait_until(reached, 90, lambda: f"{counts} in the status: {self.status}")
        return self.status
