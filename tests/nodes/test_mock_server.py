"""The mock server over DDS, asked by the example client and by a plain one."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from harness import Client, NodeProcess, client, node_process, require_ros, wait_until

require_ros()

from geometry_msgs.msg import Point, PointStamped
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from sensor_msgs.msg import PointCloud2
from std_srvs.srv import Trigger

from instascene_ros.adapters.clouds import SURFEL_FIELDS, columns_of
from instascene_ros.adapters.qos import latched_qos
from instascene_ros.core.bag_file import BagFile
from instascene_ros.core.topics import COMPLETED, INSTANCE_MARKERS, INSTANCE_POINTS, INSTANCES, STATUS
from instascene_ros.msg import CompletedObject, InstanceArray
from instascene_ros.srv import CompleteObject, GetInstances, ObserveObject

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "pick_object.py"
NAMESPACE, CODES = "/mocked", CompleteObject.Response


@pytest.fixture(scope="module")
def server() -> Iterator[NodeProcess]:
    parameters = {"completion_time_s": 1.0, "map_frame": "base_link", "rate_hz": 5.0}
    with node_process("instascene_ros.nodes.mock_server", parameters, NAMESPACE) as node:
        node.wait_for_output("stands in for scene and completion")
        yield node


@pytest.fixture(scope="module")
def ros() -> Iterator[Client]:
    with client(NAMESPACE) as running:
        yield running


def pick(*words: str, timeout_s: float = 90) -> subprocess.CompletedProcess:
    argv = [sys.executable, str(EXAMPLE), "--namespace", NAMESPACE, *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)


def test_it_needs_no_torch() -> None:
    code = "import sys, instascene_ros.nodes.mock_server; print({'torch', 'open3d', 'numba'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_the_example_picks_the_nearest_object(server: NodeProcess) -> None:
    """The can: its centre is 0.464 m from the origin, the box's 0.525 m, the ball's 0.601 m."""
    done = pick()
    assert done.returncode == 0, done.stderr + server.output
    assert "3 instances; completing 2" in done.stdout
    assert [line.strip() for line in done.stdout.splitlines() if "%" in line][:2] == ["0% observe", "25% generate"]
    assert "object 2 at (0.450, -0.100, 0.055) m in 'base_link'" in done.stdout
    assert "0.070 x 0.070 x 0.110 m, 128 triangles, watertight" in done.stdout
    assert "along its x axis has to open 0.070 m" in done.stdout


def test_the_example_cancels_when_it_runs_out_of_patience_and_tells_refusals(server: NodeProcess) -> None:
    late = pick("--id", "1", "--timeout", "0.6")
    assert late.returncode == 1, late.stdout
    assert "waited 0.6 s for" in late.stderr
    unknown = pick("--id", "77")
    assert (unknown.returncode, "77 was not completed [102]" in unknown.stderr) == (1, True), unknown.stderr


def test_lists_clouds_and_completions_are_of_one_moment(server: NodeProcess, ros: Client) -> None:
    arrays, clouds = (
        ros.collect(kind, topic, latched_qos())
        for kind, topic in ((InstanceArray, "instances"), (PointCloud2, "instances/points"))
    )
    completed = ros.collect(CompletedObject, "completed_objects", latched_qos(32))
    answer = ros.call(CompleteObject, "complete_object", CompleteObject.Request(instance_id=3, seed=5))
    assert (answer.error_code, answer.object.seed, answer.object.name, answer.from_cache) == (
        CODES.NONE,
        5,
        "ball",
        False,
    )
    assert ros.call(CompleteObject, "complete_object", CompleteObject.Request(instance_id=3, seed=5)).from_cache
    wait_until(lambda: arrays and clouds and any(one.instance_id == 3 for one in completed), 30, lambda: "messages")
    listed = ros.call(GetInstances, "get_instances", GetInstances.Request(include_clouds=True, include_completed=True))
    assert [one.name for one in listed.instances.instances] == ["box", "can", "ball"]
    assert listed.instances.map_id == arrays[0].map_id
    assert 3 in [one.instance_id for one in listed.completed]
    points = columns_of(next(one.cloud for one in listed.clouds if one.instance_id == 3))
    middle = np.array([points[axis].mean() for axis in "xyz"])
    np.testing.assert_allclose(middle, [0.6, 0.0, 0.04], atol=1e-3)
    columns = columns_of(clouds[-1])
    assert set(columns["instance_id"].tolist()) == {1, 2, 3}


def test_publishers_are_those_of_the_table(server: NodeProcess, ros: Client) -> None:
    """What the check of the RViz configuration goes by is what is there, seen over DDS."""
    reliable, latched, live = ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE
    for topic in (INSTANCES, INSTANCE_POINTS, INSTANCE_MARKERS, COMPLETED, STATUS):
        wait_until(
            lambda t=topic: ros.node.get_publishers_info_by_topic(f"{NAMESPACE}/{t.name}"), 30, lambda: "publishers"
        )
        [found] = ros.node.get_publishers_info_by_topic(f"{NAMESPACE}/{topic.name}")
        qos = found.qos_profile
        expected = (topic.type, reliable, latched if topic.latched else live)
        assert (found.topic_type, qos.reliability, qos.durability) == expected, topic.name


def test_its_topics_survive_a_bag(server: NodeProcess, ros: Client, tmp_path: Path) -> None:
    """Recorded as rosbag2 does, with their definitions, read back, and played: the same bytes."""
    heard: list[bytes] = []
    ros.node.create_subscription(InstanceArray, "instances", heard.append, latched_qos(), raw=True)
    wait_until(lambda: heard, 30, lambda: "a list of instances")
    store = get_typestore(Stores.ROS2_JAZZY)
    for path in sorted((ROOT / "msg").glob("*.msg")):
        store.register(get_types_from_msg(path.read_text(), f"instascene_ros/msg/{path.stem}"))
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as bag:
        topic = bag.add_connection("/instascene/instances", "instascene_ros/msg/InstanceArray", typestore=store)
        bag.write(topic, 1, heard[0])
    with BagFile(tmp_path / "bag") as bag:
        [entry] = bag.entries(["/instascene/instances"])
        read = bag.message(entry)
    assert entry.stored == heard[0]
    assert [(one.id, one.name) for one in read.instances] == [(1, "box"), (2, "can"), (3, "ball")]
    replayed = ros.collect(InstanceArray, "replayed", latched_qos())
    ros.node.create_publisher(InstanceArray, "replayed", latched_qos()).publish(entry.stored)
    wait_until(lambda: replayed, 30, lambda: "the replayed list")
    assert (replayed[0].map_id, replayed[0].sequence) == (read.map_id, read.sequence)


def test_points_select_and_ids_are_void_after_a_reset(server: NodeProcess, ros: Client) -> None:
    def at(x: float, map_id: str = "") -> ObserveObject.Request:
        return ObserveObject.Request(select_by=1, point=PointStamped(point=Point(x=x, z=0.04)), map_id=map_id)

    seen = ros.call(ObserveObject, "observe_object", at(0.62))
    assert (seen.error_code, seen.instance.id) == (CODES.NONE, 3)
    assert tuple(field.name for field in seen.surfels.fields) == SURFEL_FIELDS
    assert ros.call(ObserveObject, "observe_object", at(3.0)).error_code == CODES.NO_SUCH_INSTANCE
    assert ros.call(Trigger, "reset", Trigger.Request()).success
    assert ros.call(ObserveObject, "observe_object", at(0.62, seen.map_id)).error_code == CODES.MAP_CHANGED
    unknown = ros.call(GetInstances, "get_instances", GetInstances.Request(ids=[3, 8]))
    assert (unknown.error_code, "no instance [8]" in unknown.error_msg) == (CODES.NO_SUCH_INSTANCE, True)
