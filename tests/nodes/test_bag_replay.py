"""What the player sends, recorded into a bag as rosbag2 would, is what comes out of that bag."""

from pathlib import Path

import numpy as np
import pytest
from harness import client, node_process, require_ros, wait_until

require_ros()

from bags import STORE, BagWriter, write_bag
from geometry_msgs.msg import PoseStamped
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from test_player_node import frame

from instascene_ros.core.recording_formats import open_recording

KINDS = {
    "camera/pose": PoseStamped, "camera/color/camera_info": CameraInfo, "camera/color/image": Image,
    "camera/depth/image": Image, "camera/masks/image": Image,
}  # fmt: skip


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_recording_of_the_player_plays_and_reads_like_the_original(storage: str, tmp_path: Path) -> None:
    original = write_bag(tmp_path / "original", storage, [frame(i) for i in range(3)])
    heard: list[tuple[str, bytes]] = []
    with client() as ros:
        for topic, kind in KINDS.items():
            ros.node.create_subscription(
                kind, topic, lambda stored, topic=topic: heard.append((topic, stored)), QoSProfile(depth=50), raw=True
            )
        parameters = {"scene": str(original), "masks": "masks", "stamps": "sim", "wait_for_subscribers": True}
        with node_process("instascene_ros.nodes.player", parameters) as player:
            wait_until(lambda: len(heard) == 15, 90, lambda: f"15 messages, not {len(heard)}: {player.output}")
    with BagWriter(tmp_path / "again", storage) as bag:
        for topic, stored in heard:
            kind = f"{KINDS[topic].__module__.split('.')[0]}/msg/{KINDS[topic].__name__}"
            message = STORE.deserialize_cdr(stored, kind)
            ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            bag.add(f"/instascene/{topic}", ns, message)
    again = open_recording(tmp_path / "again", "masks")
    assert len(again) == 3
    for index in range(3):
        expected, read = frame(index), again.frame(index)
        assert (read.stamp_ns, read.camera) == (expected.stamp_ns, expected.camera)
        np.testing.assert_array_equal(read.rgb, expected.rgb)
        np.testing.assert_allclose(read.depth_m, expected.depth_m, atol=1e-6)
        np.testing.assert_allclose(read.T_world_camera, expected.T_world_camera, atol=1e-8)
        np.testing.assert_array_equal(read.masks.labels, expected.masks.labels)
