"""Camera poses at image stamps; stamps in ms."""

import sys
from types import ModuleType

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from geometry_msgs.msg import (
    Point,
    Pose,
    PoseStamped,
    PoseWithCovariance,
    Quaternion,
    Transform,
    TransformStamped,
    Vector3,
)
from nav_msgs.msg import Odometry
from rclpy.node import Node
from std_msgs.msg import Header

from instascene_ros.adapters.poses import MAX_REMEMBERED, PoseBuffer, TopicPoses
from instascene_ros.adapters.stamps import stamp_of_ns
from instascene_ros.core.errors import BackendUnavailableError, InvalidFrameError

MS = 1_000_000
NODE = Node.__new__(Node)  # stands for a node; nothing asks it anything


def at_x(x_m: float, yaw_deg: float = 0.0) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler("z", yaw_deg, degrees=True).as_matrix()
    T[0, 3] = x_m
    return T


def buffer_of(*samples: tuple[int, float]) -> PoseBuffer:
    buffer = PoseBuffer(max_gap_ns=500 * MS, jump_back_ns=1000 * MS)
    for stamp_ms, x_m in samples:
        buffer.add(stamp_ms * MS, at_x(x_m))
    return buffer


def test_pose_at_its_own_stamp_is_exact() -> None:
    assert buffer_of((0, 0.0), (100, 1.0)).at(100 * MS).T_world_camera[0, 3] == 1.0


def test_pose_between_two_is_interpolated() -> None:
    buffer = PoseBuffer(500 * MS, 1000 * MS)
    buffer.add(0, at_x(0.0))
    buffer.add(100 * MS, at_x(1.0, yaw_deg=40))
    T = buffer.at(25 * MS).T_world_camera
    np.testing.assert_allclose(T, at_x(0.25, yaw_deg=10), atol=1e-12)


def test_newer_than_every_pose_may_wait() -> None:
    lookup = buffer_of((0, 0.0)).at(1)
    assert lookup.T_world_camera is None and not lookup.final


def test_empty_buffer_may_wait() -> None:
    assert not buffer_of().at(0).final


def test_older_than_every_pose_is_hopeless() -> None:
    lookup = buffer_of((100, 0.0), (200, 0.0)).at(50 * MS)
    assert lookup.T_world_camera is None and lookup.final and "older" in lookup.reason


def test_gap_is_not_bridged() -> None:
    lookup = buffer_of((0, 0.0), (600, 1.0)).at(300 * MS)
    assert lookup.T_world_camera is None and lookup.final and "0.60 s apart" in lookup.reason


def test_late_pose_takes_its_place_and_a_repeated_one_replaces() -> None:
    buffer = buffer_of((0, 0.0), (200, 2.0), (100, 5.0), (100, 7.0))
    assert len(buffer) == 3
    assert buffer.at(100 * MS).T_world_camera[0, 3] == 7.0


def test_time_that_starts_over_clears() -> None:
    buffer = buffer_of((5000, 1.0), (0, 2.0))
    assert len(buffer) == 1
    assert buffer.at(0).T_world_camera[0, 3] == 2.0


def test_memory_is_bounded() -> None:
    buffer = buffer_of(*((t, float(t)) for t in range(MAX_REMEMBERED + 10)))
    assert len(buffer) == MAX_REMEMBERED
    assert buffer.at(0).final


def pose_stamped(stamp_ms: int, frame_id: str = "odom", w: float = 1.0) -> PoseStamped:
    header = Header(frame_id=frame_id, stamp=stamp_of_ns(stamp_ms * MS))
    return PoseStamped(header=header, pose=Pose(position=Point(x=3.0), orientation=Quaternion(w=w)))


def test_pose_topic() -> None:
    poses = TopicPoses("odom", buffer_of())
    poses.add(pose_stamped(100))
    np.testing.assert_allclose(poses.at(100 * MS, "any").T_world_camera, at_x(3.0))


def test_pose_in_another_frame_names_the_parameter() -> None:
    poses = TopicPoses("odom", buffer_of())
    with pytest.raises(InvalidFrameError, match=r"frame 'map' but map_frame is 'odom': set the parameter map_frame"):
        poses.add(pose_stamped(100, "map"))
    assert not poses.at(100 * MS, "any").final


def test_broken_quaternion_is_refused_and_not_remembered() -> None:
    buffer = buffer_of()
    with pytest.raises(InvalidFrameError, match="unit quaternion"):
        TopicPoses("odom", buffer).add(pose_stamped(100, w=0.0))
    assert len(buffer) == 0


def test_odometry_leads_to_the_camera_through_the_extrinsics() -> None:
    T_base_camera = np.eye(4)
    T_base_camera[:3, 3] = [0.5, 0, 1]
    poses = TopicPoses("odom", buffer_of(), T_base_camera)
    half = float(np.sqrt(0.5))
    pose = Pose(position=Point(x=2.0), orientation=Quaternion(z=half, w=half))  # faces +y
    header = Header(frame_id="odom", stamp=stamp_of_ns(0))
    poses.add(Odometry(header=header, pose=PoseWithCovariance(pose=pose)))
    np.testing.assert_allclose(poses.at(0, "any").T_world_camera[:3, 3], [2.0, 0.5, 1.0], atol=1e-12)


class FakeTf2(ModuleType):
    """Enough of tf2_ros to answer one transform at stamps up to 1 s."""

    class TransformException(Exception):
        pass

    class ExtrapolationException(TransformException):
        pass

    class TransformListener:
        def __init__(self, buffer: object, node: object) -> None: ...

    class Buffer:
        def __init__(self, node: object) -> None: ...

        def lookup_transform(self, target: str, source: str, time: object) -> TransformStamped:
            if source != "optical":
                raise FakeTf2.TransformException(f"{source} does not exist")
            if time.nanoseconds > 1000 * MS:
                raise FakeTf2.ExtrapolationException("into the future")
            return TransformStamped(
                transform=Transform(translation=Vector3(x=time.nanoseconds / 1e9), rotation=Quaternion(w=1.0))
            )

        def all_frames_as_string(self) -> str:
            return "Frame base exists with parent odom.\nFrame odom exists with parent NO_PARENT.\n"


def test_tf_is_asked_at_the_stamp_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    from instascene_ros.adapters.tf_poses import TfPoses

    monkeypatch.setitem(sys.modules, "tf2_ros", FakeTf2("tf2_ros"))
    poses = TfPoses(NODE, "odom")
    poses.open()
    np.testing.assert_allclose(poses.at(250 * MS, "optical").T_world_camera, at_x(0.25))
    late = poses.at(1001 * MS, "optical")
    assert late.T_world_camera is None and not late.final
    unknown = poses.at(0, "nowhere")
    assert (
        not unknown.final
        and "nowhere does not exist" in unknown.reason
        and "frames that exist: base odom" in unknown.reason
    )
    nameless = poses.at(250 * MS, "")
    assert nameless.final and "no header.frame_id" in nameless.reason


def test_missing_tf2_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from instascene_ros.adapters.tf_poses import TfPoses

    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    with pytest.raises(BackendUnavailableError, match="sudo apt install ros-jazzy-tf2-ros-py"):
        TfPoses(NODE, "odom")
