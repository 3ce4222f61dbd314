"""The scene node as a process: it ends cleanly when asked to, loudly on a bug, and hears publishers of any kind."""

import time

from harness import client, node_process, require_ros, wait_until

require_ros()

import camera_messages as made
from camera_driver import CameraDriver
from fake_scene import CRASH_BLUE, SLOW_BLUE
from rclpy.qos import ReliabilityPolicy

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
