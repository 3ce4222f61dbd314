"""Camera messages for tests: a wall 2 m away, seen by a small camera."""

import numpy as np
from geometry_msgs.msg import Pose, PoseStamped, Quaternion
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from instascene_ros.adapters.camera_infos import info_of
from instascene_ros.adapters.images import encode, encode_depth, encode_labels
from instascene_ros.adapters.stamps import stamp_of_ns
from instascene_ros.adapters.transforms import point_of
from instascene_ros.core.camera import Camera

MS = 1_000_000
CAMERA = Camera(20.0, 20.0, 7.5, 5.5, 16, 12)


def header(stamp_ms: int, frame_id: str = "optical") -> Header:
    return Header(frame_id=frame_id, stamp=stamp_of_ns(stamp_ms * MS))


def color(stamp_ms: int, value: tuple[int, int, int] = (10, 20, 30), width: int = 16, height: int = 12) -> Image:
    return encode(np.tile(np.array(value, np.uint8), (height, width, 1)), "rgb8", header(stamp_ms))


def depth(stamp_ms: int, depth_m: float = 2.0, width: int = 16, height: int = 12) -> Image:
    return encode_depth(np.full((height, width), depth_m, np.float32), "32FC1", header(stamp_ms))


def labels(stamp_ms: int, label: int = 1, width: int = 16, height: int = 12) -> Image:
    """The label in the left half, nothing in the right."""
    pixels = np.zeros((height, width), np.int32)
    pixels[:, : width // 2] = label
    return encode_labels(pixels, header(stamp_ms))


def info(stamp_ms: int, camera: Camera = CAMERA) -> CameraInfo:
    return info_of(camera, header(stamp_ms))


def pose(stamp_ms: int, x_m: float = 0.0, frame_id: str = "odom") -> PoseStamped:
    at = Pose(position=point_of(np.array([x_m, 0.0, 0.0])), orientation=Quaternion(w=1.0))
    return PoseStamped(header=header(stamp_ms, frame_id), pose=at)
