"""Poses and images from one process, with Fast DDS as it comes and as the nodes have it (config/fastdds.xml)."""

import pytest
from harness import ROOT, Client, client, node_process, require_ros, wait_until

require_ros()

from faults import row, times
from rclpy.qos import QoSProfile

from instascene_ros.adapters.middleware import CHOICES
from instascene_ros.msg import MapStatus

pytestmark = pytest.mark.soak
SAMPLE = {"scene": str(ROOT / "instascene_ros" / "sample"), "masks": "masks", "loop": True}
INPUTS = {"masks": "topic", "watchdog_period_s": 0.0, "max_pose_jump_m": 0.0}
MIDDLEWARE = {"": "with config/fastdds.xml", "DEFAULT": "as it comes"}


def received(ros: Client, count: int) -> MapStatus:
    statuses = ros.collect(MapStatus, "status", QoSProfile(depth=10))
    wait_until(lambda: statuses and statuses[-1].frames_received >= count, 600, lambda: f"{count}: {statuses[-1:]}")
    return statuses[-1]


@pytest.mark.parametrize("transports", MIDDLEWARE)
def test_poses_beside_images(transports: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CHOICES:
        monkeypatch.delenv(name, raising=False)
    if transports:
        monkeypatch.setenv("FASTDDS_BUILTIN_TRANSPORTS", transports)
    count = times(300)
    with (
        client() as ros,
        node_process("fake_scene", INPUTS) as node,
        node_process("instascene_ros.nodes.player", {**SAMPLE, "wait_for_subscribers": True}) as player,
        row(f"320x240 px beside poses, Fast DDS {MIDDLEWARE[transports]}", count, node, player) as seen,
    ):
        status = received(ros, count)
        seen.append(f"{status.dropped_no_pose} of {status.frames_received} images without a pose in time")
        assert transports or status.dropped_no_pose == 0
