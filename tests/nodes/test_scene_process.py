"""The scene node as a process: it ends cleanly when asked to, loudly on a bug, and hears publishers of any kind."""

import time

from harness import client, node_process, require_ros, wait_until

require_ros()

import camera_messages as made
import numpy as np
from camera_driver import CameraDriver
from fake_scene import CRASH_BLUE, SLOW_BLUE
from geometry_msgs.msg import PoseWithCovariance
from nav_msgs.msg import Odometry
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import PointCloud2

from instascene_ros.adapters.clouds import columns_of
from instascene_ros.adapters.qos import latched_qos

PARAMETERS = {"masks": "topic"}


def test_interrupt_in_the_middle_of_a_frame_ends_cleanly() -> None:
    with node_process("fake_scene", PARAMETERS) as node, client() as ros:
        driver = CameraDriver(ros)
        driver.wait_for_node()
        driver.send(1000, color=made.color(1000, (1, 0, SLOW_BLUE)))
        wait_until(lambda: driver.status.frames_received == 1, 90, lambda: "the slow frame")
        assert node.stop() in (0, 130)
        assert "Traceback" not in node.output and "rror" not in node.output


def test_a_bug_on_the_scene_thread_ends_the_node_with_its_traceback() -> None:
    with node_process("fake_scene", PARAMETERS, namespace="/other") as node, client("/other") as ros:
        driver = CameraDriver(ros)
        driver.wait_for_node()
        driver.send(1000, color=made.color(1000, (1, 0, CRASH_BLUE)))
        wait_until(lambda: node.process.poll() is not None, 90, lambda: f"the process to end: {node.output}")
        assert node.stop() == 1
        assert "ZeroDivisionError: a bug" in node.output and "Traceback" in node.output


def test_wrong_parameter_is_told_in_one_line() -> None:
    with node_process("fake_scene", {"pose_source": "gps"}) as node:
        wait_until(lambda: node.process.poll() is not None, 90, lambda: "the process to end")
        assert node.stop() == 2
        assert "cannot start: parameter pose_source is 'gps'; expected one of pose, odom, tf" in node.output
        assert "Traceback" not in node.output


def test_publishers_of_either_reliability_are_heard() -> None:
    with node_process("fake_scene", PARAMETERS) as node, client() as ros:
        driver = CameraDriver(ros, ReliabilityPolicy.BEST_EFFORT)
        driver.wait_for_node()
        node.wait_for_output("camera/color/image: its publisher is best effort")
        for _ in range(100):  # best effort promises nothing for one message
            driver.send()
            time.sleep(0.05)
            if driver.status.frames_integrated:
                return
        wait_until(lambda: driver.status.frames_integrated, 10, lambda: f"a frame: {driver.status}")


def test_quality_of_service_that_does_not_fit_is_named() -> None:
    with node_process("fake_scene", {**PARAMETERS, "input_qos": "DEFAULT"}) as node, client() as ros:
        CameraDriver(ros, ReliabilityPolicy.BEST_EFFORT)
        node.wait_for_output("its RELIABILITY does not fit input_qos DEFAULT: set input_qos: SENSOR_DATA or AUTO")


def test_two_cameras_on_one_odometry_are_mapped_where_they_are() -> None:
    extrinsics = [0.1, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -0.1, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    parameters = {
        "masks": "segmenter", "cameras": ["left", "right"], "pose_source": "odom", "camera_extrinsics": extrinsics,
        "publish.map_rate_hz": 50.0,
    }  # fmt: skip
    with node_process("fake_scene", parameters) as node, client() as ros:
        drivers = [CameraDriver(ros, camera=name) for name in ("left", "right")]
        odometry = ros.node.create_publisher(Odometry, "odom", 20)
        clouds = ros.collect(PointCloud2, "map/points", latched_qos())
        for driver in drivers:
            driver.wait_for_node("pose", "masks")
        wait_until(odometry.get_subscription_count, 90, lambda: "a subscription to odom")
        for driver in drivers:
            driver.send(1000, pose=None, masks=None)
        for stamp_ms, x_m in [(900, 1.0), (1100, 2.0)]:
            posed = made.pose(stamp_ms, x_m)
            odometry.publish(Odometry(header=posed.header, pose=PoseWithCovariance(pose=posed.pose)))
        wait_until(
            lambda: clouds and clouds[-1].width == 2, 90, lambda: f"two points: {drivers[0].status} {node.output}"
        )
        np.testing.assert_allclose(sorted(columns_of(clouds[-1])["x"]), [1.4, 1.6], atol=1e-5)


def test_a_node_that_ends_says_good_bye_to_the_others() -> None:
    """Without it they would believe in it for 20 s, and its shared memory would stay behind."""
    with node_process("fake_scene", PARAMETERS) as node, client() as ros:
        wait_until(lambda: "scene" in ros.node.get_node_names(), 90, lambda: "the node is seen")
        assert node.stop() == 0
        wait_until(lambda: "scene" not in ros.node.get_node_names(), 10, lambda: "the node is gone for others")
