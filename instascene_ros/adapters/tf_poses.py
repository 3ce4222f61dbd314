"""Camera poses from TF. `tf2_ros` is not on PyPI, so it is imported only when asked for."""

from importlib import import_module
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.time import Time

from instascene_ros.adapters.poses import PoseLookup
from instascene_ros.adapters.transforms import matrix_of
from instascene_ros.core.errors import BackendUnavailableError, InvalidFrameError


class TfPoses:
    """Transform of the image's own frame at the image's own stamp; tf2 interpolates."""

    def __init__(self, node: Node, map_frame: str) -> None:
        self._tf2, self._map_frame = _import_tf2(), map_frame
        # With the node its clock rules: a bag that loops then clears the buffer (ros2/geometry2#606).
        self._buffer = self._tf2.Buffer(node=node)
        self._listener = self._tf2.TransformListener(self._buffer, node)

    def at(self, stamp_ns: int, frame_id: str) -> PoseLookup:
        """Pose of the optical frame in the map frame."""
        try:
            found = self._buffer.lookup_transform(self._map_frame, frame_id, Time(nanoseconds=stamp_ns)).transform
        except self._tf2.ExtrapolationException as error:
            return PoseLookup(None, False, f"TF does not reach the image stamp: {error}")
        except self._tf2.TransformException as error:
            return PoseLookup(None, False, f"{error}; frames that exist: {self._frames()}")
        p, q = found.translation, found.rotation
        try:
            return PoseLookup(matrix_of(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w])))
        except InvalidFrameError as error:
            return PoseLookup(None, True, str(error))

    def _frames(self) -> str:
        return " ".join(self._buffer.all_frames_as_string().split()) or "none (is /tf published?)"


def _import_tf2() -> Any:
    try:
        return import_module("tf2_ros")
    except ImportError as error:
        raise BackendUnavailableError(
            f"pose_source: tf needs tf2_ros ({error}): sudo apt install ros-jazzy-tf2-ros-py, "
            "or use pose_source: pose or odom"
        ) from error
