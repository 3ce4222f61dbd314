"""Whatever the fields of the input messages hold: a frame, or a named error and a count; never another exception."""

from contextlib import suppress

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import camera_messages as made
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from instascene_ros.adapters.frames import FrameMessages, to_frame
from instascene_ros.adapters.images import ENCODINGS
from instascene_ros.adapters.intake import COLOR, DEPTH, IGNORE, INFO, MASKS, CameraIntake, IntakeHooks
from instascene_ros.adapters.node_config import SceneNodeConfig
from instascene_ros.adapters.poses import PoseBuffer, TopicPoses
from instascene_ros.adapters.stamps import is_stamp, stamp_of_ns
from instascene_ros.core.errors import InvalidFrameError
from instascene_ros.core.frame import Frame

UINT32 = st.one_of(st.integers(0, 20), st.sampled_from([2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1]))
FLOAT = st.floats(allow_nan=True, allow_infinity=True)
NAMES = st.sampled_from(["", "optical", "/optical", "a b", "\u00fc" * 300])
STAMPS = st.one_of(
    st.builds(Time, sec=st.integers(-(2**31), 2**31 - 1), nanosec=st.integers(0, 2**32 - 1)),
    st.integers(0, 3_000).map(lambda ms: stamp_of_ns(ms * made.MS)),
)
HEADERS = st.builds(Header, stamp=STAMPS, frame_id=NAMES)
FORMATS = st.sampled_from(
    ["", ";", "rgb8; jpeg compressed bgr8", "16UC1; compressedDepth png", "16UC1; compressedDepth rvl",
     "32FC1; compressedDepth rvl", "32FC1; png compressed", "mono8; compressedDepth"]
)  # fmt: skip
DATA = st.one_of(st.binary(max_size=40), st.integers(0, 2000).map(bytes))
IMAGES = st.builds(
    Image, header=HEADERS, height=UINT32, width=UINT32, encoding=st.sampled_from([*ENCODINGS, "", "yuv422", "64FC1"]),
    is_bigendian=st.integers(0, 255), step=UINT32, data=DATA,
)  # fmt: skip
COMPRESSED = st.builds(CompressedImage, header=HEADERS, format=FORMATS, data=DATA)
INFOS = st.builds(
    CameraInfo, header=HEADERS, height=UINT32, width=UINT32,
    k=st.lists(FLOAT, min_size=9, max_size=9).map(lambda k: np.array(k)), d=st.lists(FLOAT, max_size=9),
)  # fmt: skip
POSES = st.builds(
    PoseStamped, header=st.builds(Header, stamp=STAMPS, frame_id=st.sampled_from(["odom", "/odom", ""])),
    pose=st.builds(
        Pose, position=st.builds(Point, x=FLOAT, y=FLOAT, z=FLOAT),
        orientation=st.one_of(st.just(Quaternion(w=1.0)), st.builds(Quaternion, x=FLOAT, y=FLOAT, z=FLOAT, w=FLOAT)),
    ),
)  # fmt: skip
T_WORLD_CAMERA = np.eye(4)


def whole(draw: st.DrawFn, stream: str) -> Image:
    """A good image, or one whose fields do not fit each other."""
    good = {COLOR: made.color, DEPTH: made.depth, MASKS: made.labels, IGNORE: made.labels}[stream](1000)
    changed = draw(st.sampled_from(["", "", "width", "height", "step", "data", "encoding"]))
    if changed == "data":
        good.data = bytes(good.data)[: draw(st.integers(0, len(good.data)))]
    elif changed == "encoding":
        good.encoding = draw(st.sampled_from(list(ENCODINGS)))
    elif changed:
        setattr(good, changed, draw(UINT32))
    return good


@st.composite
def frames(draw: st.DrawFn) -> FrameMessages:
    color = draw(st.one_of(IMAGES, COMPRESSED)) if draw(st.booleans()) else whole(draw, COLOR)
    depth = draw(st.one_of(IMAGES, COMPRESSED)) if draw(st.booleans()) else whole(draw, DEPTH)
    info = draw(INFOS) if draw(st.booleans()) else made.info(1000)
    masks, ignore = (draw(IMAGES) if draw(st.booleans()) else whole(draw, s) for s in (MASKS, IGNORE))
    return FrameMessages("cam", color, depth, info, T_WORLD_CAMERA, masks, ignore)


@settings(max_examples=300, deadline=None)
@given(frames())
def test_any_fields_are_a_usable_frame_or_a_named_error(messages: FrameMessages) -> None:
    with suppress(InvalidFrameError):
        frame = to_frame(messages)
        assert isinstance(frame, Frame) and np.isfinite(frame.depth_m).all() and frame.depth_m.min() >= 0
        assert np.isfinite(frame.camera.rays()).all()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(IMAGES, COMPRESSED, INFOS, POSES), max_size=30), st.data())
def test_any_order_of_any_messages_is_delivered_or_counted(messages: list, data: st.DataObject) -> None:
    """As the subscriptions hand them on: whatever has a stamp that is a time."""
    delivered: list[FrameMessages] = []
    hooks = IntakeHooks(delivered.append, lambda *_: None, lambda *_: None, lambda *_: None, lambda _: ())
    poses, now_ns = TopicPoses("odom", PoseBuffer(10**9, 10**9)), [0]
    config = SceneNodeConfig()
    intake = CameraIntake("cam", config, poses, hooks, lambda: now_ns[0])
    for message in messages:
        now_ns[0] += data.draw(st.integers(0, 10**9))
        if not is_stamp(message.header.stamp):
            continue
        if isinstance(message, PoseStamped):
            with suppress(InvalidFrameError):
                poses.add(message)
        else:
            intake.add(INFO if isinstance(message, CameraInfo) else data.draw(st.sampled_from([COLOR, DEPTH])), message)
    now_ns[0] += 10**12
    intake.pump()
    sync = intake.sync
    dropped = intake.dropped_no_pose + intake.dropped_no_info + sync.stale + sync.duplicates + sync.misses.total()
    assert len(delivered) <= intake.received and dropped >= 0
    assert all(np.isfinite(one.T_world_camera).all() for one in delivered)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1))
def test_a_stamp_that_is_a_time_can_be_published_again(sec: int, nanosec: int) -> None:
    stamp = Time(sec=sec, nanosec=nanosec)
    if is_stamp(stamp):
        assert stamp_of_ns(sec * 10**9 + nanosec) == stamp


def test_absurd_sizes_are_refused_before_memory_is_taken() -> None:
    """16 TB, should somebody try."""
    import tracemalloc

    rvl = made.color(1000)
    huge = Image(header=rvl.header, height=2**31 - 1, width=2**31 - 1, step=1, encoding="rgb8", data=b"1")
    tracemalloc.start()
    with pytest.raises(InvalidFrameError, match="expected at most 16384 px a side"):
        to_frame(FrameMessages("cam", huge, made.depth(1000), made.info(1000), T_WORLD_CAMERA))
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()
