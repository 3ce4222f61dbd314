"""Where the camera of a bag was: from PoseStamped, Odometry or TF, interpolated to the images' stamps."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.spatial.transform import Rotation

from instascene_ros.core.bag_file import BagFile
from instascene_ros.core.bag_topics import ODOMETRY, POSE, TRANSFORMS, BagTopics
from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.transform_tree import TransformTree, poses_at

Poses = tuple[Float64[np.ndarray, "F 4 4"], Bool[np.ndarray, " F"]]


def camera_poses(bag: BagFile, topics: BagTopics, camera_frame: str, stamps_ns: Int64[np.ndarray, " F"]) -> Poses:
    """`T_world_camera` at each stamp, and where it is known. A PoseStamped is the pose of the optical frame itself.

    Raises:
        InvalidSceneError: no transform leads to the camera, or the topic has another type.
    """
    kind = bag.types[topics.pose]
    if kind == TRANSFORMS:
        tree = recorded_tree(bag)
        return tree.at(topics.frame or tree.root_for(camera_frame), camera_frame, stamps_ns)
    if kind not in (POSE, ODOMETRY):
        raise InvalidSceneError(f"{topics.pose} is of type {kind}; expected {POSE}, {ODOMETRY} or {TRANSFORMS}")
    known_ns, poses, child = _recorded_poses(bag, topics.pose)
    Ts_world_child, known = poses_at(known_ns, poses, stamps_ns)
    if kind == POSE or child == camera_frame:
        return Ts_world_child, known
    Ts_child_camera, attached = recorded_tree(bag).at(child, camera_frame, stamps_ns)
    return Ts_world_child @ Ts_child_camera, known & attached


def _recorded_poses(bag: BagFile, topic: str) -> tuple[Int64[np.ndarray, " P"], Float64[np.ndarray, "P 4 4"], str]:
    """Stamps, poses and, of odometry, the frame that they are of."""
    bag.first(topic)  # says so where there is none
    stamps_ns, poses, child = [], [], ""
    for entry in bag.entries([topic]):
        message = bag.message(entry)
        child = getattr(message, "child_frame_id", "").lstrip("/")
        pose = message.pose.pose if hasattr(message.pose, "pose") else message.pose
        stamps_ns.append(entry.stamp_ns)
        poses.append(_matrix(pose.position, pose.orientation, topic))
    return np.array(stamps_ns, np.int64), np.stack(poses), child


def recorded_tree(bag: BagFile) -> TransformTree:
    """Every transform of every TF topic of the bag."""
    tree = TransformTree()
    for entry in bag.entries([topic for topic, kind in bag.types.items() if kind == TRANSFORMS]):
        for one in bag.message(entry).transforms:
            stamp_ns = one.header.stamp.sec * 10**9 + one.header.stamp.nanosec
            T_parent_child = _matrix(one.transform.translation, one.transform.rotation, entry.topic)
            parent, child = one.header.frame_id.lstrip("/"), one.child_frame_id.lstrip("/")
            tree.add(parent, child, stamp_ns, T_parent_child, entry.topic.endswith("tf_static"))
    return tree


def _matrix(position: Any, orientation: Any, topic: str) -> Float64[np.ndarray, "4 4"]:
    quat_xyzw = np.array([orientation.x, orientation.y, orientation.z, orientation.w])
    T = np.eye(4)
    T[:3, 3] = position.x, position.y, position.z
    if not np.isfinite(T).all() or not abs(np.linalg.norm(quat_xyzw) - 1) < 0.05:
        raise InvalidSceneError(
            f"{topic} has position {T[:3, 3].tolist()}, orientation xyzw {quat_xyzw.tolist()}; "
            "expected finite metres and unit quaternions"
        )
    T[:3, :3] = Rotation.from_quat(quat_xyzw).as_matrix()
    return T
