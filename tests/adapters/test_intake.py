"""What one camera hands on, and what it counts instead; stamps in ms."""

from collections.abc import Sequence

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import camera_messages as made

from instascene_ros.adapters.frames import FrameMessages
from instascene_ros.adapters.intake import COLOR, DEPTH, INFO, MASKS, CameraIntake, IntakeHooks
from instascene_ros.adapters.node_config import SceneNodeConfig, SyncConfig
from instascene_ros.adapters.poses import PoseBuffer, TopicPoses


class Bench:
    """An intake whose clock stands still until it is moved."""

    def __init__(self, **config: object) -> None:
        self.now_ms, self.delivered, self.jumps_m = 0, [], []
        self.restarted: list[str] = []
        self.warnings: list[str] = []
        self.partners: list[str] = []
        self.poses = TopicPoses("odom", PoseBuffer(500 * made.MS, 1000 * made.MS))
        hooks = IntakeHooks(self._deliver, self._jumped, self.restarted.append, self._warn, self._wanted)
        self.intake = CameraIntake("cam", SceneNodeConfig(**config), self.poses, hooks, lambda: self.now_ms * made.MS)

    def _deliver(self, messages: FrameMessages) -> None:
        self.delivered.append(messages)

    def _jumped(self, camera: str, distance_m: float) -> None:
        self.jumps_m.append(distance_m)

    def _warn(self, key: str, text: str) -> None:
        self.warnings.append(text)

    def _wanted(self, camera: str) -> Sequence[str]:
        return self.partners

    def images(self, stamp_ms: int) -> None:
        self.intake.add(COLOR, made.color(stamp_ms))
        self.intake.add(DEPTH, made.depth(stamp_ms))

    def pose(self, stamp_ms: int, x_m: float = 0.0) -> None:
        self.poses.add(made.pose(stamp_ms, x_m))
        self.intake.pump()

    def at(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.intake.pump()

    @property
    def stamps_ms(self) -> list[int]:
        return [messages.stamp_ns // made.MS for messages in self.delivered]


def test_frame_is_handed_on_with_the_pose_at_its_stamp() -> None:
    bench = Bench()
    bench.intake.add(INFO, made.info(50))
    bench.images(150)
    bench.pose(100, 1.0)
    assert bench.delivered == []
    bench.pose(200, 1.4)
    (messages,) = bench.delivered
    assert messages.stamp_ns == 150 * made.MS and messages.T_world_camera[0, 3] == pytest.approx(1.2)
    assert messages.masks is None and messages.ignore is None


def test_frame_without_a_pose_is_dropped_after_a_bounded_wait() -> None:
    bench = Bench(tf_timeout_s=0.2)
    bench.intake.add(INFO, made.info(50))
    bench.images(100)
    bench.at(199)
    assert bench.intake.dropped_no_pose == 0
    bench.at(200)
    assert bench.intake.dropped_no_pose == 1 and bench.delivered == []
    assert "image without a pose dropped: no pose as new as the image" in bench.warnings[0]
    bench.pose(100)
    assert bench.delivered == []


def test_hopeless_frame_does_not_hold_up_the_next() -> None:
    bench = Bench()
    bench.intake.add(INFO, made.info(50))
    bench.pose(200)
    bench.images(100)
    bench.images(200)
    assert bench.stamps_ms == [200]
    assert bench.intake.dropped_no_pose == 1


def test_frames_that_wait_for_poses_are_bounded() -> None:
    from instascene_ros.adapters.node_config import SyncConfig

    bench = Bench(sync=SyncConfig(queue_size=3))
    bench.intake.add(INFO, made.info(50))
    for stamp_ms in range(100, 1100, 100):
        bench.images(stamp_ms)
    assert bench.intake.dropped_no_pose == 7
    for stamp_ms in range(100, 1100, 100):
        bench.pose(stamp_ms)
    assert bench.stamps_ms == [800, 900, 1000]


def test_frame_without_camera_info_is_dropped_and_said() -> None:
    bench = Bench(tf_timeout_s=0.2)
    bench.pose(100)
    bench.images(100)
    bench.at(200)
    assert bench.delivered == [] and bench.intake.dropped_no_info == 1
    assert "cam/color/camera_info has not been received" in bench.warnings[0]


def infos_ms(bench: Bench) -> list[int]:
    return [messages.info.header.stamp.nanosec // made.MS for messages in bench.delivered]


def test_late_camera_info_is_waited_for() -> None:
    bench = Bench()
    bench.pose(100)
    bench.images(100)
    bench.intake.add(INFO, made.info(100))
    assert infos_ms(bench) == [100]


def test_camera_info_sent_once_serves_every_image_at_once() -> None:
    bench = Bench()
    bench.intake.add(INFO, made.info(50))
    for stamp_ms in (100, 200):
        bench.pose(stamp_ms)
        bench.images(stamp_ms)
    assert infos_ms(bench) == [50, 50]


def test_camera_info_of_each_image_is_waited_for_once_it_comes_with_each_image() -> None:
    bench = Bench(tf_timeout_s=0.2)
    for stamp_ms in (100, 200, 300):
        bench.pose(stamp_ms)
    bench.intake.add(INFO, made.info(100))
    bench.images(100)
    bench.images(200)
    assert infos_ms(bench) == [100]
    bench.intake.add(INFO, made.info(200))
    assert infos_ms(bench) == [100, 200]
    bench.images(300)
    bench.at(200)  # it never comes: the newest will do
    assert infos_ms(bench) == [100, 200, 200]


def test_masks_are_waited_for_while_they_are_wanted() -> None:
    bench = Bench()
    bench.intake.add(INFO, made.info(50))
    bench.pose(100)
    bench.partners = [MASKS]
    bench.images(100)
    assert bench.delivered == []
    bench.intake.add(MASKS, made.labels(100))
    assert bench.delivered[0].masks is not None


def test_masks_that_never_come_cost_the_frame_after_a_bounded_wait() -> None:
    bench = Bench()
    bench.intake.add(INFO, made.info(50))
    bench.pose(100)
    bench.partners = [MASKS]
    bench.images(100)
    bench.at(1000)
    assert bench.delivered == [] and bench.intake.sync.misses == {MASKS: 1}


def test_pose_jump_is_told_before_the_frame_is_delivered() -> None:
    bench = Bench(max_pose_jump_m=0.5)
    bench.intake.add(INFO, made.info(50))
    for stamp_ms, x_m in [(100, 0.0), (200, 0.4), (300, 2.0), (400, 2.1)]:
        bench.intake.add(INFO, made.info(stamp_ms))
        bench.pose(stamp_ms, x_m)
        bench.images(stamp_ms)
    assert bench.jumps_m == pytest.approx([1.6]) and bench.intake.pose_jumps == 1
    assert bench.stamps_ms == [100, 200, 300, 400]


def test_pose_jump_check_can_be_switched_off() -> None:
    bench = Bench(max_pose_jump_m=0.0)
    bench.intake.add(INFO, made.info(50))
    for stamp_ms, x_m in [(100, 0.0), (200, 100.0)]:
        bench.pose(stamp_ms, x_m)
        bench.images(stamp_ms)
    assert bench.jumps_m == []


def test_repeated_and_older_images_are_counted() -> None:
    bench = Bench()
    bench.intake.add(INFO, made.info(50))
    bench.pose(100)
    bench.pose(200)
    for stamp_ms in (200, 200, 100):
        bench.images(stamp_ms)
    assert bench.stamps_ms == [200]
    assert (bench.intake.sync.duplicates, bench.intake.sync.stale) == (1, 1)
    assert bench.intake.received == 3


def test_time_that_starts_over_is_said_and_mapping_goes_on() -> None:
    bench = Bench(max_pose_jump_m=0.5)
    bench.intake.add(INFO, made.info(50))
    bench.pose(9000, 5.0)
    bench.images(9000)
    bench.pose(100)
    bench.images(100)
    assert bench.stamps_ms == [9000, 100]
    assert any("time restarted" in text for text in bench.warnings)
    assert bench.restarted == ["cam"]
    assert bench.jumps_m == []  # a new beginning is no jump
    np.testing.assert_array_equal(bench.delivered[1].T_world_camera, np.eye(4))


def test_large_images_are_bounded_by_their_bytes() -> None:
    """A set of 4000x500 px has 14 MB: two do not fit into 22 MB, and the older one is dropped and counted."""
    bench = Bench(sync=SyncConfig(queue_mb=22))
    bench.intake.add(INFO, made.info(50))
    for stamp_ms in (100, 200, 300):
        bench.intake.add(COLOR, made.color(stamp_ms, width=4000, height=500))
        bench.intake.add(DEPTH, made.depth(stamp_ms, width=4000, height=500))
    assert bench.intake.dropped_no_pose == 2  # with the second they were 28 MB
    bench.pose(300)
    assert bench.stamps_ms == [300]


def test_large_images_without_partner_are_bounded_by_their_bytes() -> None:
    bench = Bench(sync=SyncConfig(queue_mb=20))
    for stamp_ms in (100, 200, 300, 400, 500):
        bench.intake.add(COLOR, made.color(stamp_ms, width=4000, height=500))
    assert bench.intake.sync.unmatched == 2  # of 6 MB each
