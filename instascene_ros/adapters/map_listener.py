"""A client that follows the scene node: what it has published so far, and waiting for more."""

from collections.abc import Callable
from threading import Condition

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2

from instascene_ros.adapters.error_codes import RequestTimeoutError
from instascene_ros.adapters.qos import latched_qos
from instascene_ros.adapters.received_map import saved_map_of
from instascene_ros.adapters.stamps import ns_of_stamp
from instascene_ros.core.map_file import SavedMap
from instascene_ros.msg import InstanceArray, MapStatus

CHECK_S = 0.2


class MapListener:
    """Keeps every InstanceArray and pose stamp, and the newest of everything else.

    Its callbacks run on the executor's thread, all else on another.
    """

    def __init__(self, node: Node, camera: str) -> None:
        self._heard = Condition()
        self.arrays: list[InstanceArray] = []
        self.gaussians_at: list[int] = []  # number of Gaussians known when each array came
        self.pose_stamps_ns: list[int] = []  # of every frame that was played, in order
        self.status = MapStatus()
        self._idle_reports = 0  # since the last pose
        self._clouds: dict[str, PointCloud2] = {}
        node.create_subscription(InstanceArray, "instances", self._on_array, latched_qos(10))
        node.create_subscription(MapStatus, "status", self._on_status, 10)
        node.create_subscription(PoseStamped, f"{camera}/pose", self._on_pose, QoSProfile(depth=1000))
        for topic in ("instances/points", "map/gaussians"):
            node.create_subscription(PointCloud2, topic, lambda m, t=topic: self._on_cloud(t, m), latched_qos())

    def wait_for(self, condition: Callable[[], bool], timeout_s: float, wanted: str, check: Callable[[], None]) -> None:
        """Wait for a condition on what was heard; `check` is called now and then, and may raise.

        Raises:
            RequestTimeoutError: it did not come true in time.
        """
        waited_s = 0.0
        with self._heard:
            while not condition():
                check()
                if waited_s > timeout_s:
                    raise RequestTimeoutError(f"waited {timeout_s:g} s for {wanted}")
                waited_s += 0.0 if self._heard.wait(CHECK_S) else CHECK_S

    def is_settled(self) -> bool:
        """Every frame was dealt with, and list and clouds are of the same image."""
        status, last = self.status, self.arrays[-1].header.stamp if self.arrays else None
        same = len(self._clouds) == 2 and all(cloud.header.stamp == last for cloud in self._clouds.values())
        return same and _dealt_with(status) >= status.frames_received and status.header.stamp == last

    def backlog(self) -> int:
        """Frames that were played and, as far as is known, neither mapped nor dropped nor lost on the way yet."""
        if self._idle_reports >= 2:
            return 0
        played = self.pose_stamps_ns
        newest_ns = ns_of_stamp(self.arrays[-1].header.stamp) if self.arrays else 0
        after_newest = len(played) - 1 - played.index(newest_ns) if newest_ns in played else len(played)
        return min(after_newest, len(played) - _dealt_with(self.status))

    def saved_map(self) -> SavedMap:
        """The map as it was last published."""
        return saved_map_of(self.arrays[-1], self._clouds["instances/points"], self._clouds["map/gaussians"])

    def _on_array(self, message: InstanceArray) -> None:
        with self._heard:
            self.arrays.append(message)
            self.gaussians_at.append(self.status.num_gaussians)
            self._heard.notify_all()

    def _on_status(self, message: MapStatus) -> None:
        with self._heard:
            self.status = message
            self._idle_reports += _dealt_with(message) >= message.frames_received
            self._heard.notify_all()

    def _on_pose(self, message: PoseStamped) -> None:
        with self._heard:
            self.pose_stamps_ns.append(ns_of_stamp(message.header.stamp))
            self._idle_reports = 0
            self._heard.notify_all()

    def _on_cloud(self, topic: str, message: PointCloud2) -> None:
        with self._heard:
            self._clouds[topic] = message
            self._heard.notify_all()


def _dealt_with(status: MapStatus) -> int:
    dropped = status.dropped_busy + status.dropped_no_pose + status.dropped_stale + status.dropped_invalid
    return status.frames_integrated + dropped
