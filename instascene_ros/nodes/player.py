"""Node `player`: plays a recorded scene as a camera (and a localisation) would."""

import time
from pathlib import Path

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from instascene_ros.adapters.camera_infos import info_of
from instascene_ros.adapters.images import encode, encode_depth, encode_labels
from instascene_ros.adapters.logs import ThrottledLog
from instascene_ros.adapters.node_config import InvalidParameterError, PlayerNodeConfig
from instascene_ros.adapters.parameters import declare
from instascene_ros.adapters.playback import Playback, PlayedFrame, played_frames
from instascene_ros.adapters.spinning import leave, run
from instascene_ros.adapters.stamps import stamp_of_ns
from instascene_ros.adapters.transforms import pose_of_matrix
from instascene_ros.core.recording_formats import open_recording

TICK_S = 0.004
CLOCK_PERIOD_NS = 20_000_000  # every message of /clock wakes every node in simulated time, which takes it a millisecond
LINGER_S = 1.0  # the last messages must reach their subscribers before the process ends


class PlayerNode(Node):
    """Publishes colour, depth, camera_info, pose and, if asked for, masks of one recording."""

    def __init__(self) -> None:
        super().__init__("player", namespace="instascene")
        self._config = config = declare(self, PlayerNodeConfig)
        if not config.scene:
            raise InvalidParameterError("parameter scene is empty; expected a recorded scene or a rosbag2")
        recording = open_recording(Path(config.scene).expanduser(), config.masks or None, config.topics)
        self._playback = Playback(played_frames(recording, config.first, config.count, config.loop), config.rate)
        self._playback.pause(config.paused, time.time_ns())
        self._start_ns, self._ended_ns, self._told_ns = recording.frame(config.first).stamp_ns, 0, 0
        self.crash: BaseException | None = None
        self._say = ThrottledLog(self.get_logger().info)
        self._create_publishers()
        self.create_service(SetBool, "player/pause", self._pause)
        self.create_timer(TICK_S, self._tick)
        self.get_logger().info(f"playing {recording.name}: {len(recording)} frames at {config.rate:g} x")

    def close(self) -> None:
        """Nothing to stop."""

    def _create_publishers(self) -> None:
        name, qos = self._config.camera, QoSProfile(depth=10)  # reliable: suits every subscriber
        self._pose = self.create_publisher(PoseStamped, f"{name}/pose", qos)
        self._info = self.create_publisher(CameraInfo, f"{name}/color/camera_info", qos)
        self._color = self.create_publisher(Image, f"{name}/color/image", qos)
        self._depth = self.create_publisher(Image, f"{name}/depth/image", qos)
        self._masks = self.create_publisher(Image, f"{name}/masks/image", qos) if self._config.masks else None
        self._clock_publisher = self.create_publisher(Clock, "/clock", qos) if self._config.stamps == "sim" else None

    def _pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._playback.pause(request.data, time.time_ns())
        response.success, response.message = True, "paused" if request.data else "playing"
        return response

    def _tick(self) -> None:
        now_ns = time.time_ns()
        if self._awaits_subscribers():
            return
        played = self._playback.take(now_ns)
        if self._clock_publisher and (played or now_ns - self._told_ns >= CLOCK_PERIOD_NS):
            self._told_ns = now_ns
            self._clock_publisher.publish(Clock(clock=stamp_of_ns(self._start_ns + self._playback.offset_ns(now_ns))))
        if played:
            self._publish(played)
            self._playback.read_ahead()
        elif self._playback.finished:
            self._end(now_ns)

    def _awaits_subscribers(self) -> bool:
        if self._playback.played or not self._config.wait_for_subscribers:
            return False
        needed = (self._pose, self._info, self._color, self._depth)  # masks are optional
        missing = [publisher.topic_name for publisher in needed if not publisher.get_subscription_count()]
        if missing:
            self._say("waiting", f"waiting for somebody to listen to {', '.join(missing)}")
        return bool(missing)

    def _end(self, now_ns: int) -> None:
        """Nothing is left: give the last messages time to arrive, then end the process, unless it shall stay."""
        if not self._ended_ns:
            self._ended_ns = now_ns
            self.get_logger().info(f"finished: {self._playback.played} frames played")
        elif not self._config.hold and now_ns - self._ended_ns > LINGER_S * 1e9:
            self.crash = SystemExit(0)

    def _publish(self, played: PlayedFrame) -> None:
        """The pose first, so that it is there when the image arrives."""
        frame, config = played.frame, self._config
        sim = config.stamps == "sim"
        stamp = stamp_of_ns(self._start_ns + played.offset_ns if sim else self._playback.due_ns(played))
        header = Header(frame_id=config.optical_frame, stamp=stamp)
        pose_header = Header(frame_id=config.map_frame, stamp=stamp)
        self._pose.publish(PoseStamped(header=pose_header, pose=pose_of_matrix(frame.T_world_camera)))
        self._info.publish(info_of(frame.camera, header))
        self._color.publish(encode(frame.rgb, "rgb8", header))
        self._depth.publish(encode_depth(frame.depth_m, config.depth_encoding, header))
        if self._masks and frame.masks is not None:
            self._masks.publish(encode_labels(frame.masks.labels, header))


def main() -> None:
    """Run the node until the recording ends or Ctrl-C."""
    leave(run(PlayerNode, num_threads=1))


if __name__ == "__main__":
    main()
