"""Bags of both storages give back the frames they were made from, whatever their poses come as."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from bags import OPTICAL, BagWriter, add_images, camera_info, compressed, odometry, pose_stamped, transforms, write_bag
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from test_recording import some_frames

from instascene_ros.core.bag_recording import BagRecording
from instascene_ros.core.bag_topics import BagTopics, choose_topics, parse_topics
from instascene_ros.core.errors import InstasceneError, InvalidSceneError
from instascene_ros.core.frame import Frame
from instascene_ros.core.recording_formats import mask_folders, open_recording

STORAGES = ("mcap", "sqlite3")
T_BASE_CAMERA = np.eye(4)
T_BASE_CAMERA[:3, :3] = Rotation.from_euler("xyz", [-90, 0, -90], degrees=True).as_matrix()
T_BASE_CAMERA[:3, 3] = [0.1, 0.0, 1.2]


def check_frames(recording: BagRecording, frames: Sequence[Frame], atol: float = 1e-9) -> None:
    assert len(recording) == len(frames)
    for index, frame in enumerate(frames):
        read = recording.frame(index)
        assert (read.stamp_ns, read.camera) == (frame.stamp_ns, frame.camera)
        np.testing.assert_array_equal(read.rgb, frame.rgb)
        np.testing.assert_allclose(read.depth_m, frame.depth_m, atol=1e-6)
        np.testing.assert_allclose(read.T_world_camera, frame.T_world_camera, atol=atol)


@pytest.mark.parametrize("storage", STORAGES)
def test_a_bag_gives_back_its_frames(storage: str, tmp_path: Path) -> None:
    frames = some_frames()
    path = write_bag(tmp_path / "bag", storage, frames)
    assert mask_folders(path) == ["masks"]
    recording = open_recording(path, "masks")
    check_frames(recording, frames)
    assert (recording.name, recording.num_dropped, recording.frame_rate_hz) == ("bag", 0, 10.0)
    for index in (2, 0, 1):  # in any order
        np.testing.assert_array_equal(recording.frame(index).masks.labels, frames[index].masks.labels)
    assert open_recording(path).frame(0).masks is None


def test_one_file_of_a_bag_is_enough(tmp_path: Path) -> None:
    for storage, suffix in (("mcap", ".mcap"), ("sqlite3", ".db3")):
        folder = write_bag(tmp_path / storage, storage, some_frames())
        check_frames(open_recording(next(folder.glob(f"*{suffix}"))), some_frames())


def base_poses(frames: Sequence[Frame]) -> list[np.ndarray]:
    return [frame.T_world_camera @ np.linalg.inv(T_BASE_CAMERA) for frame in frames]


def add_odometry(bag: BagWriter, frames: Sequence[Frame]) -> None:
    bag.add("/tf_static", 0, transforms(0, {("base_link", OPTICAL): T_BASE_CAMERA}))
    for frame, T_world_base in zip(frames, base_poses(frames), strict=True):
        bag.add("/odom", frame.stamp_ns, odometry(frame.stamp_ns, T_world_base))


def add_tf(bag: BagWriter, frames: Sequence[Frame]) -> None:
    bag.add("/tf_static", 0, transforms(0, {("base_link", "mount"): np.eye(4), ("mount", OPTICAL): T_BASE_CAMERA}))
    for frame, T_world_base in zip(frames, base_poses(frames), strict=True):
        away = np.eye(4)
        away[:3, 3] = [5, 0, 0]
        edges = {("map", "odom"): away, ("odom", "base_link"): T_world_base}
        bag.add("/tf", frame.stamp_ns, transforms(frame.stamp_ns, edges))


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("add_poses", [add_odometry, add_tf])
def test_poses_come_from_odometry_and_from_tf(add_poses: object, storage: str, tmp_path: Path) -> None:
    frames = some_frames()
    check_frames(open_recording(write_bag(tmp_path / "bag", storage, frames, add_poses)), frames)


def test_tf_is_looked_up_in_the_frame_that_is_asked_for(tmp_path: Path) -> None:
    frames = some_frames()
    path = write_bag(tmp_path / "bag", "mcap", frames, add_tf)
    in_map = open_recording(path, topics="frame=map").frame(1).T_world_camera
    np.testing.assert_allclose(in_map[:3, 3], frames[1].T_world_camera[:3, 3] + [5, 0, 0], atol=1e-9)
    with pytest.raises(InvalidSceneError, match=r"'kitchen' is not in.*base_link, camera_color_optical_frame, map"):
        open_recording(path, topics="frame=kitchen")


def test_poses_between_messages_are_interpolated_and_frames_outside_are_dropped(tmp_path: Path) -> None:
    frames = some_frames(5)  # x = 0.1 m a frame, 0.1 s apart

    def add_poses(bag: BagWriter, frames: Sequence[Frame]) -> None:
        for frame in frames[:4]:
            shifted = frame.T_world_camera.copy()
            shifted[0, 3] += 0.04
            bag.add("/camera/pose", frame.stamp_ns + 40_000_000, pose_stamped(frame.stamp_ns + 40_000_000, shifted))

    recording = open_recording(write_bag(tmp_path / "bag", "mcap", frames, add_poses))
    assert (len(recording), recording.num_dropped) == (3, 2)
    check_frames(recording, frames[1:4], atol=1e-6)


def test_compressed_topics_are_decoded(tmp_path: Path) -> None:
    frames = some_frames()
    with BagWriter(tmp_path / "bag", "mcap") as bag:
        for frame in frames:
            ns, depth_mm = frame.stamp_ns, np.round(frame.depth_m * 1000).astype(np.uint16)
            colour = compressed(ns, frame.rgb, "rgb8; png compressed bgr8")
            depth = compressed(ns, depth_mm, "16UC1; compressedDepth png", struct.pack("<iff", 0, 0.0, 0.0))
            bag.add("/rs/color/image_raw/compressed", ns, colour)
            bag.add("/rs/aligned_depth_to_color/image_raw/compressedDepth", ns, depth)
            bag.add("/rs/color/camera_info", ns, camera_info(ns, frame))
            bag.add("/slam/pose", ns, pose_stamped(ns, frame.T_world_camera))
    check_frames(open_recording(tmp_path / "bag"), frames)


def test_lens_distortion_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames = some_frames()
    with BagWriter(tmp_path / "bag", "mcap") as bag:
        add_images(bag, frames)
        for frame in frames:
            bag.add("/camera/pose", frame.stamp_ns, pose_stamped(frame.stamp_ns, frame.T_world_camera))
    open_recording(tmp_path / "bag")
    assert "distortion" not in caplog.text
    with BagWriter(tmp_path / "bent", "mcap") as bag:
        bent = camera_info(0, frames[0])
        bent.d[0] = -0.3
        bag.add("/camera/color/camera_info", 0, bent)
        add_images(bag, frames)
        for frame in frames:
            bag.add("/camera/pose", frame.stamp_ns, pose_stamped(frame.stamp_ns, frame.T_world_camera))
    open_recording(tmp_path / "bent")
    assert "/camera/color/camera_info has lens distortion" in caplog.text


REALSENSE = {
    "/camera/camera/aligned_depth_to_color/camera_info": "sensor_msgs/msg/CameraInfo",
    "/camera/camera/aligned_depth_to_color/image_raw": "sensor_msgs/msg/Image",
    "/camera/camera/color/camera_info": "sensor_msgs/msg/CameraInfo",
    "/camera/camera/color/image_raw": "sensor_msgs/msg/Image",
    "/camera/camera/color/image_raw/compressed": "sensor_msgs/msg/CompressedImage",
    "/camera/camera/depth/image_rect_raw": "sensor_msgs/msg/Image",
    "/camera/camera/infra1/image_rect_raw": "sensor_msgs/msg/Image",
    "/tf": "tf2_msgs/msg/TFMessage", "/tf_static": "tf2_msgs/msg/TFMessage",
}  # fmt: skip
ZED = {
    "/zed/zed_node/rgb/image_rect_color": "sensor_msgs/msg/Image",
    "/zed/zed_node/left/image_rect_color": "sensor_msgs/msg/Image",
    "/zed/zed_node/rgb/camera_info": "sensor_msgs/msg/CameraInfo",
    "/zed/zed_node/left/camera_info": "sensor_msgs/msg/CameraInfo",
    "/zed/zed_node/depth/depth_registered": "sensor_msgs/msg/Image",
    "/zed/zed_node/confidence/confidence_map": "sensor_msgs/msg/Image",
    "/zed/zed_node/odom": "nav_msgs/msg/Odometry", "/tf": "tf2_msgs/msg/TFMessage",
}  # fmt: skip
GAZEBO = {
    "/camera/image": "sensor_msgs/msg/Image", "/camera/depth_image": "sensor_msgs/msg/Image",
    "/camera/camera_info": "sensor_msgs/msg/CameraInfo", "/odom": "nav_msgs/msg/Odometry",
}  # fmt: skip
KINECT = {
    "/rgb/image_raw": "sensor_msgs/msg/Image", "/rgb/camera_info": "sensor_msgs/msg/CameraInfo",
    "/depth_to_rgb/image_raw": "sensor_msgs/msg/Image", "/depth/image_raw": "sensor_msgs/msg/Image",
    "/depth_to_rgb/camera_info": "sensor_msgs/msg/CameraInfo", "/ir/image_raw": "sensor_msgs/msg/Image",
    "/tf": "tf2_msgs/msg/TFMessage",
}  # fmt: skip


@pytest.mark.parametrize(
    ("types", "color", "depth", "info", "pose"),
    [
        (REALSENSE, "/camera/camera/color/image_raw", "/camera/camera/aligned_depth_to_color/image_raw",
         "/camera/camera/color/camera_info", "/tf"),
        (ZED, "/zed/zed_node/rgb/image_rect_color", "/zed/zed_node/depth/depth_registered",
         "/zed/zed_node/rgb/camera_info", "/zed/zed_node/odom"),
        (GAZEBO, "/camera/image", "/camera/depth_image", "/camera/camera_info", "/odom"),
        (KINECT, "/rgb/image_raw", "/depth_to_rgb/image_raw", "/rgb/camera_info", "/tf"),
    ],
    ids=["realsense", "zed", "gazebo", "kinect"],
)  # fmt: skip
def test_the_topics_of_usual_drivers_are_found(types: dict, color: str, depth: str, info: str, pose: str) -> None:
    assert choose_topics(types, BagTopics()) == BagTopics(color, depth, info, pose)
    other = choose_topics(types, BagTopics(depth=color, pose=pose))
    assert (other.color, other.depth) == (color, color), "what is given is taken"


def test_what_is_missing_is_told_with_what_there_is() -> None:
    for gone, told in (("color", "colour"), ("depth", "depth"), ("info", "CameraInfo"), ("odom", "camera poses")):
        types = {topic: kind for topic, kind in GAZEBO.items() if not topic.endswith(gone)}
        types = {t: k for t, k in types.items() if not (gone == "color" and t == "/camera/image")}
        types = {t: k for t, k in types.items() if not (gone == "depth" and t == "/camera/depth_image")}
        with pytest.raises(InvalidSceneError, match=f"{told}.*it has: /"):
            choose_topics(types, BagTopics())
    with pytest.raises(InvalidSceneError, match="/nowhere; it has: /camera/image"):
        choose_topics(GAZEBO, BagTopics(color="/nowhere"))
    with pytest.raises(InvalidSceneError, match=r"any of /odom, /odom2.*pose=TOPIC"):
        choose_topics(GAZEBO | {"/odom2": "nav_msgs/msg/Odometry"}, BagTopics())


def test_topics_are_written_as_pairs() -> None:
    assert parse_topics("color=/a, pose=/tf,frame=map") == BagTopics(color="/a", pose="/tf", frame="map")
    for text in ("colour=/a", "color", "color="):
        with pytest.raises(InvalidSceneError, match="color, depth, info, pose, masks, frame"):
            parse_topics(text)


def test_a_bag_of_which_nothing_fits_says_so(tmp_path: Path) -> None:
    def add_poses(bag: BagWriter, frames: Sequence[Frame]) -> None:
        bag.add("/camera/pose", 0, pose_stamped(0, np.eye(4)))

    with pytest.raises(InvalidSceneError, match=r"none of 3 images.*\(3 have the former\)"):
        open_recording(write_bag(tmp_path / "bag", "mcap", some_frames(), add_poses))


@pytest.fixture(scope="module", params=STORAGES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_bag(tmp_path_factory.mktemp("bags") / request.param, request.param, some_frames())
    return next(path for path in folder.iterdir() if path.suffix in (".mcap", ".db3"))


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0, 1), flip=st.integers(1, 255), cut=st.booleans())
@example(share=0.8949692839365964, flip=1, cut=False)  # a message definition of its own, in mcap
def test_damage_is_told_or_does_no_harm(whole: Path, share: float, flip: int, cut: bool) -> None:
    """Whatever byte is wrong or missing: an error of ours, or frames of the right shape."""
    stored = bytearray(whole.read_bytes())
    at = min(int(share * len(stored)), len(stored) - 1)
    stored[at] ^= flip
    damaged = whole.parent.parent / f"damaged{whole.suffix}"
    damaged.write_bytes(stored[:at] if cut else stored)
    try:
        recording = open_recording(damaged)
        for index in range(len(recording)):
            assert recording.frame(index).rgb.shape == (24, 32, 3)
    except InstasceneError as error:
        assert str(error)
