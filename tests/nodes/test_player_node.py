"""The player over DDS: what a camera would send, when it would send it."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from harness import Client, client, node_process, require_ros, wait_until

require_ros()

from folders import write_scene
from geometry_msgs.msg import PoseStamped
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import SetBool

from instascene_ros.adapters.camera_infos import camera_of
from instascene_ros.adapters.images import decode_depth_m, decode_labels, decode_rgb
from instascene_ros.adapters.stamps import ns_of_stamp
from instascene_ros.adapters.transforms import matrix_of_pose
from instascene_ros.core.camera import Camera
from instascene_ros.core.frame import Frame
from instascene_ros.core.masks import Masks

CAMERA = Camera(20.0, 21.0, 7.5, 5.5, 16, 12)
PLAYER, MODULE = "/instascene/player", "instascene_ros.nodes.player"
QOS = QoSProfile(depth=50)


def frame(index: int) -> Frame:
    T_world_camera = np.eye(4)
    T_world_camera[:3, 3] = [0.1 * index, 0, 1]
    labels = np.zeros((12, 16), np.int32)
    labels[:6] = 1
    rgb = np.full((12, 16, 3), 40 + 40 * index, np.uint8)
    depth_m = np.full((12, 16), 1.25 + index, np.float32)
    return Frame(
        (5000 + 100 * index) * 1_000_000, CAMERA, rgb, depth_m, T_world_camera, Masks(labels, np.ones(1, np.float32))
    )


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("recorded"), [frame(i) for i in range(3)], masks=["masks"])


@pytest.fixture
def ros() -> Iterator[Client]:
    with client() as running:
        yield running


def test_every_message_of_every_frame_arrives_with_one_stamp(ros: Client, scene: Path) -> None:
    kinds = {
        "pose": PoseStamped,
        "color/camera_info": CameraInfo,
        "color/image": Image,
        "depth/image": Image,
        "masks/image": Image,
    }
    got = {name: ros.collect(kind, f"camera/{name}", QOS) for name, kind in kinds.items()}
    before_ns = time.time_ns()
    parameters = {"scene": str(scene), "masks": "masks", "paused": True, "map_frame": "world", "optical_frame": "eye"}
    with node_process(MODULE, parameters) as player:
        wait_until(lambda: all(ros.node.count_publishers(f"camera/{name}") for name in kinds), 90, lambda: "publishers")
        time.sleep(0.5)  # until the endpoints of both sides have found each other
        assert not any(got.values())
        assert ros.call(SetBool, "player/pause", SetBool.Request(data=False)).message == "playing"
        wait_until(
            lambda: all(len(messages) == 3 for messages in got.values()), 90, lambda: f"3 of each: {player.output}"
        )
        wait_until(lambda: player.process.poll() is not None, 90, lambda: "the player to end by itself")
        assert player.stop() == 0
    stamps_ns = [ns_of_stamp(m.header.stamp) for m in got["color/image"]]
    assert all([ns_of_stamp(m.header.stamp) for m in messages] == stamps_ns for messages in got.values())
    assert np.diff(stamps_ns).tolist() == [100_000_000] * 2
    assert before_ns < stamps_ns[0] < time.time_ns()
    for index in range(3):
        expected = frame(index)
        np.testing.assert_allclose(matrix_of_pose(got["pose"][index].pose), expected.T_world_camera, atol=1e-8)
        assert camera_of(got["color/camera_info"][index]) == CAMERA
        assert np.abs(decode_rgb(got["color/image"][index]).astype(int) - expected.rgb).max() <= 2  # JPEG
        np.testing.assert_allclose(decode_depth_m(got["depth/image"][index]), expected.depth_m, atol=1e-6)
        np.testing.assert_array_equal(decode_labels(got["masks/image"][index]), expected.masks.labels)
    assert got["depth/image"][0].encoding == "16UC1"
    assert got["pose"][0].header.frame_id == "world" and got["color/image"][0].header.frame_id == "eye"


def test_loop_goes_on_with_growing_stamps_in_simulated_time(ros: Client, scene: Path) -> None:
    images = ros.collect(Image, "looped/color/image", QOS)
    others = {"pose": PoseStamped, "color/camera_info": CameraInfo, "depth/image": Image}
    parameters = {
        "scene": str(scene), "camera": "looped", "loop": True, "rate": 4.0, "stamps": "sim",
        "depth_encoding": "32FC1", "wait_for_subscribers": True,
    }  # fmt: skip
    with node_process(MODULE, parameters) as player:
        player.wait_for_output("waiting for somebody to listen to /instascene/looped/pose")
        assert images == []
        for name, kind in others.items():
            ros.collect(kind, f"looped/{name}", QOS)
        wait_until(lambda: len(images) >= 7, 90, lambda: f"more than two laps: {player.output}")
        assert player.stop() == 0
    stamps_ms = [ns_of_stamp(m.header.stamp) // 1_000_000 for m in images]
    assert stamps_ms == list(range(stamps_ms[0], stamps_ms[0] + 100 * len(images), 100)) and stamps_ms[0] % 100 == 0
    assert "Traceback" not in player.output


def test_the_clock_goes_on_after_the_end_where_it_shall(ros: Client, scene: Path) -> None:
    """Nodes in simulated time would never again publish a status."""
    clocks = ros.collect(Clock, "/clock", QOS)
    with node_process(MODULE, {"scene": str(scene), "camera": "held", "stamps": "sim", "hold": True}) as player:
        player.wait_for_output("finished: 3 frames played")
        at_end = len(clocks)
        wait_until(lambda: clocks and clocks[-1].clock.sec >= 7, 60, lambda: f"a later clock: {clocks[at_end:][-1:]}")
        assert player.process.poll() is None
        assert player.stop() == 0
    steps_ms = np.diff([ns_of_stamp(message.clock) for message in clocks]) / 1e6
    beside_frames = 2 * 3  # every other message is 20 ms after the last: listeners pay for each
    assert (steps_ms >= 0).all() and (steps_ms < 15).sum() <= beside_frames


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({}, "parameter scene is empty"),
        ({"scene": "/nowhere"}, "/nowhere is not a folder"),
        ({"scene": "SCENE", "masks": "masks_best"}, "has no masks 'masks_best'; it has: masks"),
    ],
)
def test_what_cannot_be_played_is_told_in_one_line(scene: Path, parameters: dict[str, str], said: str) -> None:
    given = {name: str(scene) if value == "SCENE" else value for name, value in parameters.items()}
    with node_process(MODULE, given) as player:
        wait_until(lambda: player.process.poll() is not None, 90, lambda: "the player to end")
        assert player.stop() == 2
        assert f"cannot start: {said}" in player.output or said in player.output
        assert "Traceback" not in player.output
