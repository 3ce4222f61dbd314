"""Tiny rosbag2 files written from frames, for tests."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from scipy.spatial.transform import Rotation

from instascene_ros.core.frame import Frame

STORE = get_typestore(Stores.ROS2_JAZZY)
T = STORE.types
STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
OPTICAL = "camera_color_optical_frame"


def stamp(ns: int) -> Any:
    return T["builtin_interfaces/msg/Time"](sec=ns // 10**9, nanosec=ns % 10**9)


def header(ns: int, frame_id: str) -> Any:
    return T["std_msgs/msg/Header"](stamp=stamp(ns), frame_id=frame_id)


def image(ns: int, pixels: np.ndarray, encoding: str) -> Any:
    return T["sensor_msgs/msg/Image"](
        header=header(ns, OPTICAL), height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, is_bigendian=0,
        step=pixels[0].nbytes, data=np.ascontiguousarray(pixels).view(np.uint8).ravel(),
    )  # fmt: skip


def compressed(ns: int, pixels: np.ndarray, format_: str, prefix: bytes = b"") -> Any:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    data = np.frombuffer(prefix + stream.getvalue(), np.uint8)
    return T["sensor_msgs/msg/CompressedImage"](header=header(ns, OPTICAL), format=format_, data=data)


def camera_info(ns: int, frame: Frame) -> Any:
    camera = frame.camera
    roi = T["sensor_msgs/msg/RegionOfInterest"](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return T["sensor_msgs/msg/CameraInfo"](
        header=header(ns, OPTICAL), height=camera.height, width=camera.width, distortion_model="plumb_bob",
        d=np.zeros(5), k=camera.K.ravel(), r=np.eye(3).ravel(), p=np.hstack([camera.K, np.zeros((3, 1))]).ravel(),
        binning_x=0, binning_y=0, roi=roi,
    )  # fmt: skip


def pose(T_a_b: np.ndarray) -> Any:
    x, y, z, w = Rotation.from_matrix(T_a_b[:3, :3]).as_quat()
    point = T["geometry_msgs/msg/Point"](*map(float, T_a_b[:3, 3]))
    return T["geometry_msgs/msg/Pose"](point, T["geometry_msgs/msg/Quaternion"](x, y, z, w))


def pose_stamped(ns: int, T_world_camera: np.ndarray) -> Any:
    return T["geometry_msgs/msg/PoseStamped"](header(ns, "odom"), pose(T_world_camera))


def odometry(ns: int, T_world_base: np.ndarray, child: str = "base_link") -> Any:
    none = np.zeros(36)
    zero = T["geometry_msgs/msg/Vector3"](0.0, 0.0, 0.0)
    still = T["geometry_msgs/msg/Twist"](zero, zero)
    return T["nav_msgs/msg/Odometry"](
        header=header(ns, "odom"), child_frame_id=child,
        pose=T["geometry_msgs/msg/PoseWithCovariance"](pose(T_world_base), none),
        twist=T["geometry_msgs/msg/TwistWithCovariance"](still, none),
    )  # fmt: skip


def transforms(ns: int, edges: dict[tuple[str, str], np.ndarray]) -> Any:
    rows = []
    for (parent, child), T_parent_child in edges.items():
        at = pose(T_parent_child)
        moved = T["geometry_msgs/msg/Vector3"](at.position.x, at.position.y, at.position.z)
        turned = T["geometry_msgs/msg/Transform"](moved, at.orientation)
        rows.append(T["geometry_msgs/msg/TransformStamped"](header(ns, parent), child, turned))
    return T["tf2_msgs/msg/TFMessage"](rows)


class BagWriter:
    """Writes messages under topics; the recorder gets each a millisecond after its stamp."""

    def __init__(self, folder: Path, storage: str) -> None:
        self._writer = Writer(folder, version=9, storage_plugin=STORAGES[storage])
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> "BagWriter":
        self._writer.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def add(self, topic: str, ns: int, message: Any) -> None:
        kind = message.__msgtype__
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(topic, kind, typestore=STORE)
        self._writer.write(self._connections[topic], ns + 10**6, STORE.serialize_cdr(message, kind))


def add_images(bag: BagWriter, frames: Sequence[Frame], camera: str = "/camera") -> None:
    """Colour, depth (a little later), camera_info and, where there are any, masks."""
    for frame in frames:
        ns = frame.stamp_ns
        depth_mm = np.round(frame.depth_m * 1000).astype(np.uint16)
        bag.add(f"{camera}/color/camera_info", ns, camera_info(ns, frame))
        bag.add(f"{camera}/color/image", ns, image(ns, frame.rgb, "rgb8"))
        bag.add(f"{camera}/depth/image", ns, image(ns + 3_000_000, depth_mm, "16UC1"))
        if frame.masks is not None:
            bag.add(f"{camera}/masks/image", ns, image(ns, frame.masks.labels.astype(np.uint16), "16UC1"))


AddPoses = Callable[[BagWriter, Sequence[Frame]], None]


def write_bag(folder: Path, storage: str, frames: Sequence[Frame], add_poses: AddPoses | None = None) -> Path:
    """A bag as the player would be recorded, or with poses of another kind."""
    with BagWriter(folder, storage) as bag:
        add_images(bag, frames)
        if add_poses:
            add_poses(bag, frames)
        else:
            for frame in frames:
                bag.add("/camera/pose", frame.stamp_ns, pose_stamped(frame.stamp_ns, frame.T_world_camera))
    return folder
