"""Where the camera was when an image was taken. Never guessed: without a pose at the stamp there is no frame."""

from bisect import bisect_left
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from geometry_msgs.msg import PoseStamped
from jaxtyping import Float64
from nav_msgs.msg import Odometry

from instascene_ros.adapters.stamps import ns_of_stamp
from instascene_ros.adapters.transforms import interpolate, matrix_of_pose
from instascene_ros.core.errors import InvalidFrameError

MAX_REMEMBERED = 2000


@dataclass(frozen=True)
class PoseLookup:
    """The pose at a stamp, or why there is none: `final` when waiting will not bring it."""

    T_world_camera: Float64[np.ndarray, "4 4"] | None
    final: bool = True
    reason: str = ""


@runtime_checkable
class PoseSource(Protocol):
    """Answers where the optical frame `frame_id` was at `stamp_ns`."""

    def at(self, stamp_ns: int, frame_id: str) -> PoseLookup: ...

    def restart(self) -> None:
        """The stamps of the images went back."""


class PoseBuffer:
    """Stamped poses of one frame, interpolated between neighbours at most `max_gap_ns` apart."""

    def __init__(self, max_gap_ns: int, jump_back_ns: int) -> None:
        self._max_gap_ns, self._jump_back_ns = max_gap_ns, jump_back_ns
        self._stamps_ns: list[int] = []
        self._transforms: list[Float64[np.ndarray, "4 4"]] = []

    def __len__(self) -> int:
        return len(self._stamps_ns)

    def add(self, stamp_ns: int, T_a_b: Float64[np.ndarray, "4 4"]) -> None:
        """Remember; a stamp far in the past (a bag looped) clears what was known, a repeated stamp replaces."""
        if self._stamps_ns and stamp_ns < self._stamps_ns[-1] - self._jump_back_ns:
            self.clear()
        row = bisect_left(self._stamps_ns, stamp_ns)
        if row < len(self) and self._stamps_ns[row] == stamp_ns:
            self._transforms[row] = T_a_b
            return
        self._stamps_ns.insert(row, stamp_ns)
        self._transforms.insert(row, T_a_b)
        if len(self) > MAX_REMEMBERED:
            del self._stamps_ns[0], self._transforms[0]

    def clear(self) -> None:
        self._stamps_ns.clear()
        self._transforms.clear()

    def at(self, stamp_ns: int) -> PoseLookup:
        """The pose at the stamp."""
        row = bisect_left(self._stamps_ns, stamp_ns)
        if row == len(self):
            return PoseLookup(None, False, "no pose as new as the image")
        if self._stamps_ns[row] == stamp_ns:
            return PoseLookup(self._transforms[row])
        if row == 0:
            return PoseLookup(None, True, "the image is older than every remembered pose")
        before_ns, after_ns = self._stamps_ns[row - 1], self._stamps_ns[row]
        if after_ns - before_ns > self._max_gap_ns:
            return PoseLookup(None, True, f"the poses around the image are {(after_ns - before_ns) / 1e9:.2f} s apart")
        fraction = (stamp_ns - before_ns) / (after_ns - before_ns)
        return PoseLookup(interpolate(self._transforms[row - 1], self._transforms[row], fraction))


class TopicPoses:
    """Poses from PoseStamped (of the camera) or Odometry (of the robot, then `T_base_camera` leads to the camera)."""

    def __init__(
        self, map_frame: str, buffer: PoseBuffer, T_base_camera: Float64[np.ndarray, "4 4"] | None = None
    ) -> None:
        self._map_frame, self._buffer = map_frame, buffer
        self._T_base_camera = np.eye(4) if T_base_camera is None else T_base_camera

    def add(self, message: PoseStamped | Odometry) -> None:
        """Remember one message.

        Raises:
            InvalidFrameError: its frame is not the map frame, or it is not a rigid transform.
        """
        frame_id = message.header.frame_id.lstrip("/")
        if frame_id != self._map_frame:
            raise InvalidFrameError(
                f"pose is in frame {frame_id!r} but map_frame is {self._map_frame!r}: "
                "set the parameter map_frame to the frame that the poses are in"
            )
        stamped = message.pose if isinstance(message, PoseStamped) else message.pose.pose
        self._buffer.add(ns_of_stamp(message.header.stamp), matrix_of_pose(stamped))

    def at(self, stamp_ns: int, frame_id: str) -> PoseLookup:
        """Pose of the camera; these topics know one camera, so `frame_id` does not matter."""
        lookup = self._buffer.at(stamp_ns)
        if lookup.T_world_camera is None:
            return lookup
        return PoseLookup(lookup.T_world_camera @ self._T_base_camera)

    def restart(self) -> None:
        """Nothing: the buffer sees from its own stamps that time started over, maybe earlier than the images do."""
