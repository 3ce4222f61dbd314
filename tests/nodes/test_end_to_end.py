"""Player, scene and completion as processes on a scene with known objects, and a client that comes late."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from harness import ROOT, client, node_process, require_ros, wait_until

require_ros()

from action_msgs.msg import GoalStatus
from folders import write_scene
from geometry_msgs.msg import PoseStamped
from rclpy.qos import QoSProfile
from scenes import tabletop, three_objects

from instascene_ros.adapters.qos import latched_qos
from instascene_ros.adapters.stamps import ns_of_stamp
from instascene_ros.msg import Instance, InstanceArray
from instascene_ros.srv import CompleteObject

PATIENCE_S = 180.0
Codes = CompleteObject.Response


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What the late client was told, the stamps that the player sent, and the true objects."""
    scene = tabletop(three_objects(), num_frames=24, width=160)
    folder = write_scene(tmp_path_factory.mktemp("recorded"), scene.frames, masks=["masks"])
    # Over and over and unhurried, until the objects are confirmed: how fast this machine maps is not tested here.
    playing = {"scene": str(folder), "masks": "masks", "rate": 0.3, "loop": True, "wait_for_subscribers": True}
    with (
        node_process("instascene_ros.nodes.scene", {"device": "cpu"}) as mapper,
        node_process("instascene_ros.nodes.completion") as completion,
        client() as ros,
    ):
        mapper.wait_for_output("mapping in frame", PATIENCE_S)
        completion.wait_for_output("completes objects", PATIENCE_S)
        poses = ros.collect(PoseStamped, "camera/pose", QoSProfile(depth=1000))
        arrays = ros.collect(InstanceArray, "instances", latched_qos())
        with node_process("instascene_ros.nodes.player", playing):
            wait_until(
                lambda: arrays and num_confirmed(arrays[-1]) >= 3 and len(poses) >= 12,  # those of all that is shown
                PATIENCE_S, lambda: f"three confirmed instances, and the poses of the images; {len(poses)} poses",
            )  # fmt: skip
        late = subprocess.run(
            [sys.executable, ROOT / "tests" / "nodes" / "ros_client.py"], capture_output=True, text=True, timeout=300
        )
        assert late.returncode == 0, late.stderr
        assert "Traceback" not in mapper.output + completion.output
    told = json.loads(late.stdout.splitlines()[-1])
    sent_ns = {ns_of_stamp(pose.header.stamp) for pose in poses}
    return told | {"sent_ns": sent_ns, "truth": {i: mesh.vertices_m for i, mesh in scene.objects.items()}}


def num_confirmed(array: InstanceArray) -> int:
    return sum(one.state == Instance.STATE_CONFIRMED for one in array.instances)


def nearest_object(story: dict, center_m: list[float]) -> tuple[np.ndarray, float]:
    """Vertices of the true object whose box centre is nearest, and how far it is, m."""
    boxes = [(vertices, (vertices.min(0) + vertices.max(0)) / 2) for vertices in story["truth"].values()]
    return min(((v, float(np.linalg.norm(middle - center_m))) for v, middle in boxes), key=lambda pair: pair[1])


def test_a_late_client_gets_the_latched_list_and_points(story: dict) -> None:
    seen = story["seen"]
    for what in ("instances", "points"):
        assert seen[what]["frame_id"] == "odom"
        assert seen[what]["stamp_ns"] in story["sent_ns"]  # an image's, not the time of publishing
    assert seen["fields"] == ["x", "y", "z", "rgb", "instance_id"]
    assert seen["num_points"] > 300


def test_each_object_is_an_instance_in_its_place(story: dict) -> None:
    found = [nearest_object(story, center_m) for center_m in story["seen"]["centers_m"].values()]
    assert len({id(vertices) for vertices, _ in found}) == 3
    assert sorted(distance_m for _, distance_m in found)[2] < 0.03


def test_the_services_answer(story: dict) -> None:
    asked = story["asked"]
    assert set(map(int, story["seen"]["centers_m"])) <= set(asked["listed"])
    assert min(asked["cloud_points"]) > 0
    assert asked["error"] == ""
    code, words = asked["refused"]
    assert code == Codes.NO_SUCH_INSTANCE
    assert "no instance is within" in words
    assert_whole(story, asked["object"])


def test_the_action_completes_and_tells_how_far_it_is(story: dict) -> None:
    acted = story["acted"]
    assert (acted["status"], acted["code"], acted["error"]) == (GoalStatus.STATUS_SUCCEEDED, Codes.NONE, "")
    assert_whole(story, acted["object"])
    stages, progress = zip(*acted["feedback"], strict=True)
    assert list(stages) == sorted(stages)
    assert list(progress) == sorted(progress)
    assert len(set(stages)) >= 3


def test_a_cancelled_goal_ends_as_cancelled(story: dict) -> None:
    cancelled = story["cancelled"]
    assert (cancelled["status"], cancelled["code"]) == (GoalStatus.STATUS_CANCELED, Codes.CANCELED)
    assert cancelled["error"] != ""
    assert cancelled["object"]["id"] == 0


def assert_whole(story: dict, made: dict) -> None:
    """The completed object stands where the true one does, and is as large."""
    vertices, distance_m = nearest_object(story, made["center_m"])
    assert distance_m < 0.02
    np.testing.assert_allclose(made["size_m"][2], np.ptp(vertices[:, 2]), atol=0.015)
    assert made["watertight"]
    assert made["faces"] > 100
    assert made["cloud_points"] > 50
    assert made["quat_norm"] == pytest.approx(1.0, abs=1e-6)
    assert made["frame_id"] == "odom"
    assert made["stamp_ns"] in story["sent_ns"]
    assert 0.2 < made["observed_fraction"] <= 1


def test_the_demo_saves_what_came_over_dds(tmp_path: Path) -> None:
    scene = tabletop(three_objects(), num_frames=16, width=160)
    folder = write_scene(tmp_path / "recorded", scene.frames, masks=["masks"])
    out = tmp_path / "out"
    command = [sys.executable, "-m", "instascene_ros.nodes.demo", "--scene", folder, "--out", out, "--device", "cpu"]
    # Another domain: the demo has a robot of its own.
    run = subprocess.run([*command, "--rate", "0.2"], capture_output=True, text=True, timeout=400, cwd=ROOT)
    assert run.returncode == 0, run.stdout + run.stderr
    rows = json.loads((out / "completed" / "objects.json").read_text())
    assert rows
    assert [row for row in rows if not row["completed"]] == []
    assert all((out / "completed" / row["file"]).exists() for row in rows)
    saved = np.load(out / "instances.npz")
    assert saved["points"].shape == (len(saved["instance"]), 3)
    assert {row["id"] for row in rows} <= set(saved["ids"].tolist()) <= set(saved["instance"].tolist())
    timeline = [json.loads(line) for line in (out / "timeline.jsonl").read_text().splitlines()]
    assert [row["frame"] for row in timeline] == list(range(len(timeline)))
    assert json.loads((out / "run.json").read_text())["route"] == "ros"
