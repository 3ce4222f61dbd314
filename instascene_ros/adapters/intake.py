"""One camera's way in: messages are put together, given a pose, and handed on whole; everything else is counted."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from instascene_ros.adapters.frames import FrameMessages
from instascene_ros.adapters.node_config import SceneNodeConfig, SyncConfig
from instascene_ros.adapters.poses import PoseSource
from instascene_ros.adapters.stamps import ns_of_s, ns_of_stamp
from instascene_ros.adapters.synchroniser import MatchedSet, Synchroniser, size_of

COLOR, DEPTH, INFO, MASKS, IGNORE = "color/image", "depth/image", "color/camera_info", "masks/image", "ignore/image"
REMEMBERED_INFOS = 30
MB = 2**20


def synchroniser_of(sync: SyncConfig) -> Synchroniser:
    """Waits for the partners of colour images, as configured."""
    times_ns = [ns_of_s(s) for s in (sync.slop_s, sync.wait_s, sync.jump_back_s)]
    return Synchroniser(COLOR, times_ns[0], sync.queue_size, *times_ns[1:], sync.queue_mb * MB)


@dataclass(frozen=True)
class IntakeHooks:
    """What an intake tells its owner."""

    deliver: Callable[[FrameMessages], None]
    jumped: Callable[[str, float], None]  # camera, distance in m, before the frame is delivered
    restarted: Callable[[str], None]  # camera whose stamps went back: a bag loops, a simulation was reset
    warn: Callable[[str, str], None]  # key to throttle by, text
    partners: Callable[[str], Sequence[str]]  # optional streams that a set of this camera needs now


class CameraIntake:
    """Not thread-safe: `add` and `pump` belong to the executor's thread of the inputs."""

    def __init__(
        self, camera: str, config: SceneNodeConfig, poses: PoseSource, hooks: IntakeHooks,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:  # fmt: skip
        sync = config.sync
        self.camera, self._poses, self._hooks, self._clock_ns = camera, poses, hooks, clock_ns
        self.sync = synchroniser_of(sync)
        self.configure(config)
        self._infos: deque[CameraInfo] = deque(maxlen=REMEMBERED_INFOS)
        self._infos_follow = False  # the last image had a camera_info of its own stamp
        self._waiting: deque[tuple[int, MatchedSet]] = deque()  # since when, for a pose
        self._max_waiting, self._max_bytes = sync.queue_size, sync.queue_mb * MB
        self._last_position_m: Float64[np.ndarray, " 3"] | None = None
        self.received = 0
        self.dropped_no_pose = 0
        self.last_no_pose = ""  # why
        self.dropped_no_info = 0
        self.pose_jumps = 0

    def configure(self, config: SceneNodeConfig) -> None:
        """Take over what may change while running."""
        self._pose_wait_ns, self._max_jump_m = ns_of_s(config.tf_timeout_s), config.max_pose_jump_m
        self.sync.slop_ns, self.sync.wait_ns = ns_of_s(config.sync.slop_s), ns_of_s(config.sync.wait_s)

    def clear(self) -> None:
        """Forget everything that waits; the counts stay."""
        self.sync.clear()
        self._forget()

    def add(self, stream: str, message: Image | CompressedImage | CameraInfo) -> None:
        """Store one message and hand on what became complete."""
        self.received += stream == COLOR
        if stream == INFO:
            self._infos.append(message)
        elif not self.sync.add(stream, ns_of_stamp(message.header.stamp), message, self._clock_ns()):
            self._restart(stream)
        self.pump()

    def _forget(self) -> None:
        self.dropped_no_pose += len(self._waiting)
        self._waiting.clear()  # but camera_info stays: some drivers send it once
        self._last_position_m = None

    def _restart(self, stream: str) -> None:
        self._forget()
        self._poses.restart()
        self._hooks.warn(
            f"{self.camera} time", f"stamps of {self.camera}/{stream} went back: time restarted, queues cleared"
        )
        self._hooks.restarted(self.camera)

    def pump(self) -> None:
        """Hand on every set that has its pose; drop those that waited too long. Call it whenever anything arrived."""
        now_ns = self._clock_ns()
        partners = [DEPTH, *self._hooks.partners(self.camera)]
        self._waiting.extend((now_ns, matched) for matched in self.sync.take(partners, now_ns))
        while self._waiting and self._settle(*self._waiting[0], now_ns):
            self._waiting.popleft()

    def _settle(self, since_ns: int, matched: MatchedSet, now_ns: int) -> bool:
        """Deliver or drop; False while a pose may still come."""
        color: Image | CompressedImage = matched.messages[COLOR]
        waited = now_ns - since_ns >= self._pose_wait_ns or self._too_many()
        lookup, info = self._poses.at(matched.stamp_ns, color.header.frame_id.lstrip("/")), self._info_of(color, waited)
        if lookup.T_world_camera is not None and info is not None:
            self._deliver(matched.messages, info, lookup.T_world_camera)
        elif lookup.T_world_camera is None and (lookup.final or waited):
            self.dropped_no_pose += 1
            self.last_no_pose = lookup.reason
            self._hooks.warn(f"{self.camera} pose", f"{self.camera}: image without a pose dropped: {lookup.reason}")
        elif waited:
            self.dropped_no_info += 1
            topic = f"{self.camera}/{INFO}"
            self._hooks.warn(topic, f"{self.camera}: image dropped, {topic} has not been received: is it published?")
        else:
            return False
        return True

    def _too_many(self) -> bool:
        """More sets, or more bytes, wait for a pose than may."""
        num_bytes = sum(size_of(message) for _, matched in self._waiting for message in matched.messages.values())
        return len(self._waiting) > self._max_waiting or (len(self._waiting) > 1 and num_bytes > self._max_bytes)

    def _deliver(self, messages: dict[str, Any], info: CameraInfo, T_world_camera: Float64[np.ndarray, "4 4"]) -> None:
        self._check_jump(T_world_camera[:3, 3])
        self._hooks.deliver(
            FrameMessages(
                self.camera,
                messages[COLOR],
                messages[DEPTH],
                info,
                T_world_camera,
                messages.get(MASKS),
                messages.get(IGNORE),
            )  # fmt: skip
        )

    def _info_of(self, color: Image | CompressedImage, waited: bool) -> CameraInfo | None:
        """The one with the image's stamp, otherwise the newest, because some drivers send it once.

        None while one of the same stamp may come: the driver sent the last image's with it.
        """
        exact = next((info for info in self._infos if info.header.stamp == color.header.stamp), None)
        self._infos_follow = exact is not None or (self._infos_follow and not waited)
        return exact or (self._infos[-1] if self._infos and not self._infos_follow else None)

    def _check_jump(self, position_m: Float64[np.ndarray, " 3"]) -> None:
        previous_m, self._last_position_m = self._last_position_m, position_m
        distance_m = 0.0 if previous_m is None else float(np.linalg.norm(position_m - previous_m))
        if 0 < self._max_jump_m < distance_m:
            self.pose_jumps += 1
            self._hooks.jumped(self.camera, distance_m)
