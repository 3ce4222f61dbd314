"""Camera poses from TF. `tf2_ros` is not on PyPI, so it is imported only when asked for."""

import re
from importlib import import_module
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.time import Time

from instascene_ros.adapters.poses import PoseLookup
from instascene_ros.adapters.transforms import matrix_of
from instascene_ros.core.errors import BackendUnavailableError, InvalidFrameError

MAX_NAMED = 30  # frames that a message lists


class TfPoses:
    """Transform of the image's own frame at the image's own stamp; tf2 interpolates."""

    def __init__(self, node: Node, map_frame: str) -> None:
        self._tf2, self._map_frame, self._node = import_tf2(), map_frame, node
        self._buffer = self._listener = None

    def open(self) -> None:
        """Listen to TF."""
        # With the node its clock rules: a bag that loops then clears the buffer (ros2/geometry2#606).
        self._buffer = self._tf2.Buffer(node=self._node)
        self._listener = self._tf2.TransformListener(self._buffer, self._node)

    def close(self) -> None:
        """Listen no more."""
        self._listener.unregister()
        self._buffer.jump_handle.unregister()
        self._buffer = self._listener = None

    def at(self, stamp_ns: int, frame_id: str) -> PoseLookup:
        """Pose of the optical frame in the map frame."""
        if not frame_id:
            return PoseLookup(None, True, "the image has no header.frame_id: the driver has to set it")
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

    def restart(self) -> None:
        """Forget what moved: tf2 ignores transforms that are older than what it knows. What is static stays."""
        self._buffer.clear()

    def _frames(self) -> str:
        pairs = re.findall(r"Frame (\S+) exists with parent (\S+)\.", self._buffer.all_frames_as_string())
        names = sorted({name for pair in pairs for name in pair} - {"NO_PARENT"})
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        return " ".join(names[:MAX_NAMED]) + more or "none (is /tf published?)"


def import_tf2() -> Any:
    """The module `tf2_ros`.

    Raises:
        BackendUnavailableError: it is not installed.
    """
    try:
        return import_module("tf2_ros")
    except ImportError as error:
        raise BackendUnavailableError(
            f"pose_source: tf needs tf2_ros ({error}): sudo apt install ros-jazzy-tf2-ros-py, "
            "or use pose_source: pose or odom"
        ) from error
