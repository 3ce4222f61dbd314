"""The nodes' Fast DDS has room for images, unless the user chose otherwise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from instascene_ros.adapters.middleware import CHOICES, PROFILE, make_room

IMAGE_BYTES = 640 * 480 * (3 + 2 + 2)  # colour, depth and masks of one instant
LARGEST_SEGMENT = """
from instascene_ros.adapters.middleware import make_room
make_room()
import rclpy
from rclpy.utilities import get_rmw_implementation_identifier
rclpy.init()
node = rclpy.create_node("room")
spans = [line.split()[0].split("-") for line in open("/proc/self/maps") if "/dev/shm/fast" in line]
print(get_rmw_implementation_identifier(), max((int(end, 16) - int(start, 16) for start, end in spans), default=0))
"""


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CHOICES:
        monkeypatch.delenv(name, raising=False)


def test_a_process_has_shared_memory_for_three_instants_of_a_camera() -> None:
    ran = subprocess.run([sys.executable, "-c", LARGEST_SEGMENT], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0 and "Error" not in ran.stdout + ran.stderr, ran.stdout + ran.stderr
    middleware, num_bytes = ran.stdout.split()[-2:]
    if "fastrtps" not in middleware or not Path("/dev/shm").is_dir():
        pytest.skip(f"{middleware} without shared memory")
    assert int(num_bytes) > 3 * IMAGE_BYTES


@pytest.mark.parametrize("name", CHOICES)
def test_what_the_user_chose_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "mine")
    before = dict(os.environ)
    make_room()
    assert dict(os.environ) == before


def test_without_a_choice_the_shipped_profile_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROFILE, "")  # so that monkeypatch takes it back
    monkeypatch.delenv(PROFILE)
    make_room()
    assert Path(os.environ.pop(PROFILE)).name == "fastdds.xml"
