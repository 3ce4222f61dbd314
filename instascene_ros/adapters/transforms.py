"""Pose messages (quaternion xyzw) <-> rigid 4x4 transforms, and interpolation between them."""

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion
from jaxtyping import Float, Float64
from scipy.spatial.transform import Rotation, Slerp

from instascene_ros.core.errors import InvalidFrameError

MAX_QUATERNION_ERROR = 0.05  # of the norm: more is a broken message rather than rounding
MAX_POSITION_M = 1e5  # from the map's origin: beyond it single precision is coarser than a centimetre


def matrix_of(position_m: Float[np.ndarray, " 3"], quat_xyzw: Float[np.ndarray, " 4"]) -> Float64[np.ndarray, "4 4"]:
    """Rigid transform.

    Raises:
        InvalidFrameError: a position that is not finite or absurdly far, or a quaternion that is not of unit length.
    """
    norm = float(np.linalg.norm(quat_xyzw))
    near = (np.abs(position_m) <= MAX_POSITION_M).all()  # False for NaN
    if not near or not abs(norm - 1) <= MAX_QUATERNION_ERROR:
        raise InvalidFrameError(
            f"pose has position {[float(x) for x in position_m]} and orientation xyzw {[float(x) for x in quat_xyzw]} "
            f"of length {norm:.3g}; expected metres within {MAX_POSITION_M:g} of the origin and a unit quaternion"
        )
    T = np.eye(4)
    T[:3, :3] = Rotation.from_quat(quat_xyzw).as_matrix()
    T[:3, 3] = position_m
    return T


def matrix_of_pose(message: Pose) -> Float64[np.ndarray, "4 4"]:
    """Rigid transform of a Pose message; raises InvalidFrameError as `matrix_of`."""
    p, q = message.position, message.orientation
    return matrix_of(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]))


def pose_of_matrix(T_a_b: Float64[np.ndarray, "4 4"]) -> Pose:
    """Pose of frame b in frame a."""
    return pose_of(T_a_b[:3, 3], Rotation.from_matrix(T_a_b[:3, :3]).as_quat(scalar_first=True))


def pose_of(position_m: Float[np.ndarray, " 3"], quat_wxyz: Float[np.ndarray, " 4"]) -> Pose:
    """Pose message; the quaternion is made unit, and identity where it has no length."""
    exact = quat_wxyz.astype(np.float64)
    norm = float(np.linalg.norm(exact))
    w, x, y, z = (float(c) for c in exact / norm) if norm > 0 else (1.0, 0.0, 0.0, 0.0)
    return Pose(position=point_of(position_m), orientation=Quaternion(w=w, x=x, y=y, z=z))


def point_of(position_m: Float[np.ndarray, " 3"]) -> Point:
    return Point(x=float(position_m[0]), y=float(position_m[1]), z=float(position_m[2]))


def interpolate(
    T_a_b: Float64[np.ndarray, "4 4"], T_a_c: Float64[np.ndarray, "4 4"], fraction: float
) -> Float64[np.ndarray, "4 4"]:
    """`fraction` 0..1 of the way from the first to the second: slerp of the rotation, straight line of the position."""
    T = np.eye(4)
    rotations = Rotation.from_matrix(np.stack([T_a_b[:3, :3], T_a_c[:3, :3]]))
    T[:3, :3] = Slerp([0, 1], rotations)(fraction).as_matrix()
    T[:3, 3] = (1 - fraction) * T_a_b[:3, 3] + fraction * T_a_c[:3, 3]
    return T
