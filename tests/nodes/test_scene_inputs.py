"""What the scene node takes in, over DDS: compressed images, ignore masks, TF, several cameras, time that restarts."""

import io
import struct
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from harness import Client, client, node_process, require_ros, wait_until

require_ros()

import camera_messages as made
import numpy as np
from camera_driver import CameraDriver
from geometry_msgs.msg import Transform, TransformStamped, Vector3
from PIL import Image as Picture
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image, PointCloud2

from instascene_ros.adapters.clouds import columns_of
from instascene_ros.adapters.images import encode
from instascene_ros.adapters.qos import latched_qos

DRAWN = {"masks": "segmenter", "publish.map_rate_hz": 100.0}


@pytest.fixture
def ros() -> Iterator[Client]:
    """One for each test: a publisher that stays would be waited for."""
    with client() as running:
        yield running


def png_of(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Picture.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def test_compressed_colour_and_depth_are_mapped(ros: Client) -> None:
    transports = {"color_transport": "compressed", "depth_transport": "compressedDepth"}
    clouds = ros.collect(PointCloud2, "map/points", latched_qos())
    with node_process("fake_scene", {**DRAWN, **transports}):
        driver = CameraDriver(ros)
        color = ros.node.create_publisher(CompressedImage, "camera/color/image/compressed", 10)
        depth = ros.node.create_publisher(CompressedImage, "camera/depth/image/compressedDepth", 10)
        wait_until(
            lambda: color.get_subscription_count() and depth.get_subscription_count(), 90, lambda: "subscriptions"
        )
        driver.wait_for_node("color", "depth", "masks")
        t = driver.send(color=None, depth=None, masks=None)
        red = png_of(np.full((12, 16, 3), (255, 0, 0), np.uint8))
        far = struct.pack("<iff", 0, 0.0, 0.0) + png_of(np.full((12, 16), 2000, np.uint16))
        color.publish(CompressedImage(header=made.header(t), format="rgb8; png compressed bgr8", data=red))
        depth.publish(CompressedImage(header=made.header(t), format="16UC1; compressedDepth png", data=far))
        driver.wait_for(frames_integrated=1)
        t = driver.send(color=None, depth=None, masks=None)
        color.publish(CompressedImage(header=made.header(t), format="rgb8; jpeg compressed bgr8", data=red[:40]))
        depth.publish(CompressedImage(header=made.header(t), format="16UC1; compressedDepth png", data=far))
        driver.wait_for(dropped_invalid=1)
        assert "cannot be read as JPEG or PNG" in driver.status.message
        wait_until(lambda: clouds and clouds[-1].width == 1, 90, lambda: "one point")
        assert columns_of(clouds[-1])["rgb"].view(np.uint32).tolist() == [0xFF0000]


def test_ignored_pixels_have_no_depth(ros: Client) -> None:
    with node_process("fake_scene", DRAWN):
        driver = CameraDriver(ros)
        ignore = ros.node.create_publisher(Image, "camera/ignore/image", 10)
        driver.wait_for_node("masks")
        wait_until(ignore.get_subscription_count, 90, lambda: "a subscription to the ignore image")
        for everywhere, counts in [(True, {"dropped_invalid": 1}), (False, {"frames_integrated": 1})]:
            t = driver.stamp_ms + 100
            pixels = np.full((12, 16), 255 if everywhere else 0, np.uint8)
            pixels[:, :4] = 255
            ignore.publish(encode(pixels, "mono8", made.header(t)))
            driver.send(t, masks=None)
            driver.wait_for(**counts)


def test_a_slow_camera_is_mapped_beside_a_fast_one(ros: Client) -> None:
    """Ten frames of one for each frame of the other: every one of the slow camera is mapped."""
    with node_process("fake_scene", {**DRAWN, "cameras": ["fast", "slow"]}):
        fast, slow = (CameraDriver(ros, camera=name) for name in ("fast", "slow"))
        clouds = ros.collect(PointCloud2, "map/points", latched_qos())
        for driver in (fast, slow):
            driver.wait_for_node("masks")
        for i in range(5):
            for _ in range(10):
                fast.send(masks=None)
            t = slow.stamp_ms + 1000
            slow.send(t, pose=made.pose(t, 5.0 + i), masks=None)
            wait_until(
                lambda i=i: clouds and (columns_of(clouds[-1])["x"] > 4.5 + i).any(),
                90,
                lambda: "the slow camera's frame",
            )


def test_a_bag_that_loops_is_mapped_again_and_the_stamps_follow(ros: Client) -> None:
    with node_process("fake_scene", DRAWN) as node:
        driver = CameraDriver(ros)
        driver.wait_for_node("masks")
        clouds = ros.collect(PointCloud2, "map/points", latched_qos())
        for loop in range(3):
            for t in (20_000, 21_000, 22_000):
                driver.send(t, masks=None)
                wait_until(lambda t=t: clouds and stamp_ms(clouds[-1]) == t, 90, lambda t=t: f"a cloud at {t}")
            assert clouds[-1].width == 3 * (loop + 1)
        node.wait_for_output("time restarted, queues cleared")


def stamp_ms(cloud: PointCloud2) -> int:
    return cloud.header.stamp.sec * 1000 + cloud.header.stamp.nanosec // made.MS


def test_stamps_that_nobody_set_are_named(ros: Client) -> None:
    with node_process("fake_scene", {**DRAWN, "watchdog_period_s": 1.0}) as node:
        driver = CameraDriver(ros)
        driver.wait_for_node("masks")
        driver.send(color=made.color(0), masks=None)
        node.wait_for_output("camera/color/image: 1 messages without a usable header.stamp: does the driver set it?")


def test_a_missing_clock_is_told_and_images_are_mapped_all_the_same(ros: Client) -> None:
    """Nothing here waits for /clock: stamps decide, and the reports run by the machine's own clock."""
    with node_process("fake_scene", {**DRAWN, "use_sim_time": True, "watchdog_period_s": 1.0}) as node:
        driver = CameraDriver(ros)
        driver.wait_for_node("masks")
        node.wait_for_output("use_sim_time is true but /clock has not come")
        driver.send(masks=None)
        driver.wait_for(frames_integrated=1)


def test_quality_of_service_can_be_overridden_by_topic(ros: Client) -> None:
    name = "qos_overrides./instascene/camera/color/image.subscription.reliability"
    with node_process("fake_scene", {**DRAWN, "input_qos": "SENSOR_DATA", name: "reliable"}) as node:
        driver = CameraDriver(ros, ReliabilityPolicy.BEST_EFFORT)
        driver.wait_for_node("masks", "color")
        node.wait_for_output("camera/color/image: publisher found, but its RELIABILITY does not fit")


# TF, where tf2_ros is installed: from apt on a robot, not on PyPI

needs_tf2 = pytest.mark.skipif(find_spec("tf2_ros") is None, reason="tf2_ros comes with a robot's apt install")


def transform(stamp_ms: int, parent: str, child: str, x_m: float) -> TransformStamped:
    moved = Transform(translation=Vector3(x=x_m))
    moved.rotation.w = 1.0
    return TransformStamped(header=made.header(stamp_ms, parent), child_frame_id=child, transform=moved)


@needs_tf2
def test_poses_come_from_tf_at_the_image_stamp(ros: Client) -> None:
    """A moving base and a static camera on it; TF is late, so the image waits, and the pose is interpolated."""
    from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

    clouds = ros.collect(PointCloud2, "map/points", latched_qos())
    with node_process("fake_scene", {**DRAWN, "pose_source": "tf", "tf_timeout_s": 20.0}) as node:
        driver, moving, fixed = CameraDriver(ros), TransformBroadcaster(ros.node), StaticTransformBroadcaster(ros.node)
        fixed.sendTransform(transform(0, "base", "optical", 0.25))
        driver.wait_for_node("pose", "masks")
        wait_until(moving.pub_tf.get_subscription_count, 90, lambda: "a subscription to /tf")
        driver.send(1050, pose=None, masks=None)
        moving.sendTransform(transform(1000, "odom", "base", 1.0))
        moving.sendTransform(transform(1100, "odom", "base", 2.0))
        driver.wait_for(frames_integrated=1)
        wait_until(lambda: clouds and clouds[-1].width == 1, 90, lambda: node.output)
        np.testing.assert_allclose(columns_of(clouds[-1])["x"], [1.75], atol=1e-5)


@needs_tf2
def test_a_frame_that_does_not_exist_is_told_with_those_that_do(ros: Client) -> None:
    from tf2_ros import TransformBroadcaster

    with node_process("fake_scene", {**DRAWN, "pose_source": "tf", "tf_timeout_s": 0.5}) as node:
        driver, moving = CameraDriver(ros), TransformBroadcaster(ros.node)
        driver.wait_for_node("pose", "masks")
        wait_until(moving.pub_tf.get_subscription_count, 90, lambda: "a subscription to /tf")
        moving.sendTransform(transform(1000, "map", "base", 1.0))
        driver.send(1000, pose=None, masks=None)
        driver.wait_for(dropped_no_pose=1)
        node.wait_for_output("frames that exist: base map")


@needs_tf2
def test_tf_that_starts_over_is_believed(ros: Client) -> None:
    """A bag of 60 s loops: tf2 by itself ignores transforms older than its memory."""
    from tf2_ros import TransformBroadcaster

    with node_process("fake_scene", {**DRAWN, "pose_source": "tf", "tf_timeout_s": 5.0}):
        driver, moving = CameraDriver(ros), TransformBroadcaster(ros.node)
        driver.wait_for_node("pose", "masks")
        wait_until(moving.pub_tf.get_subscription_count, 90, lambda: "a subscription to /tf")
        for count, t in [(1, 70_000), (2, 10_000)]:
            driver.send(t, pose=None, masks=None)
            wait_until(lambda n=count: driver.status.frames_received == n, 90, lambda: "the image")
            for stamp_ms in (t - 100, t + 100):
                moving.sendTransform(transform(stamp_ms, "odom", "optical", 1.0))
            driver.wait_for(frames_integrated=count)
