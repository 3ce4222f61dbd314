"""A client of the scene node knows how far behind the scene node is, and when all is said."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")
pytest.importorskip("instascene_ros.srv", reason="the interfaces are not built: make test builds them")

from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from instascene_ros.adapters.error_codes import RequestTimeoutError
from instascene_ros.adapters.map_listener import MapListener
from instascene_ros.adapters.stamps import stamp_of_ns
from instascene_ros.msg import InstanceArray, MapStatus


class Topics(Node):
    """A node without DDS: takes subscriptions, and delivers by hand."""

    def __init__(self) -> None:  # not that of Node, which would need a context
        self._callbacks: dict[str, Callable] = {}

    def create_subscription(self, kind: type, topic: str, callback: Callable, qos: Any) -> None:
        self._callbacks[topic] = callback

    def deliver(self, topic: str, message: Any) -> None:
        self._callbacks[topic](message)

    def play(self, *stamps_ns: int) -> None:
        for stamp_ns in stamps_ns:
            self.deliver("camera/pose", PoseStamped(header=header(stamp_ns)))

    def map(self, stamp_ns: int) -> None:
        self.deliver("instances", InstanceArray(header=header(stamp_ns)))

    def report(self, received: int, integrated: int, busy: int = 0, stamp_ns: int = 0) -> None:
        counts = {"frames_received": received, "frames_integrated": integrated, "dropped_busy": busy}
        self.deliver("status", MapStatus(header=header(stamp_ns), **counts))


def header(stamp_ns: int) -> Header:
    return Header(frame_id="odom", stamp=stamp_of_ns(stamp_ns))


@pytest.fixture
def topics() -> Topics:
    return Topics()


@pytest.fixture
def heard(topics: Topics) -> MapListener:
    return MapListener(topics, "camera")


def test_frames_after_the_newest_mapped_one_are_the_backlog(topics: Topics, heard: MapListener) -> None:
    assert heard.backlog() == 0
    topics.play(10, 20, 30)
    assert heard.backlog() == 3
    topics.map(20)
    assert heard.backlog() == 1
    topics.map(30)
    assert heard.backlog() == 0


def test_dropped_frames_are_no_backlog(topics: Topics, heard: MapListener) -> None:
    topics.play(10, 20, 30)
    topics.report(received=3, integrated=1, busy=1)
    assert heard.backlog() == 1


def test_frames_lost_on_the_way_are_given_up_after_two_idle_reports(topics: Topics, heard: MapListener) -> None:
    topics.play(10, 20)
    topics.map(10)
    topics.report(received=1, integrated=1)
    assert heard.backlog() == 1
    topics.report(received=1, integrated=1)
    assert heard.backlog() == 0
    topics.play(30)
    assert heard.backlog() == 2


def test_all_is_said_when_list_clouds_and_status_are_of_the_last_frame(topics: Topics, heard: MapListener) -> None:
    steps = [
        lambda: topics.map(20),
        lambda: topics.deliver("instances/points", PointCloud2(header=header(20))),
        lambda: topics.deliver("map/gaussians", PointCloud2(header=header(10))),
        lambda: topics.report(received=2, integrated=1, busy=0, stamp_ns=20),
        lambda: topics.deliver("map/gaussians", PointCloud2(header=header(20))),
    ]
    for step in steps:
        assert not heard.is_settled()
        step()
    assert not heard.is_settled()  # one frame is still being mapped
    topics.report(received=2, integrated=1, busy=1, stamp_ns=20)
    assert heard.is_settled()


def test_waiting_in_vain_says_for_what(heard: MapListener) -> None:
    with pytest.raises(RequestTimeoutError, match=r"0\.3 s for a miracle"):
        heard.wait_for(lambda: False, 0.3, "a miracle", lambda: None)
