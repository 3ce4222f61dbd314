"""Saving, loading, editing and clicking, over DDS with a stand-in map whose answers are known."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Client, NodeProcess, client, node_process, require_ros, wait_until

require_ros()

import camera_messages as made
import numpy as np
from camera_driver import CameraDriver
from geometry_msgs.msg import Point, PointStamped, Pose, Quaternion, Vector3
from shape_msgs.msg import Mesh, MeshTriangle
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker, MarkerArray

from instascene_ros.adapters.clouds import cloud_of, pack_rgb, xyz_columns
from instascene_ros.adapters.qos import latched_qos
from instascene_ros.msg import CompletedObject, InstanceArray
from instascene_ros.srv import CompleteObject, EditInstances, GetInstances, LoadMap, SaveMap

Codes = CompleteObject.Response
Edit = EditInstances.Request
PARAMETERS = {"masks": "topic", "publish.points_rate_hz": 50.0, "complete_on_click": True, "max_pose_jump_m": 0.0}


@pytest.fixture(scope="module")
def ros() -> Iterator[Client]:
    with client() as running:
        yield running


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    root = str(tmp_path_factory.getbasetemp())
    with node_process("fake_scene", {**PARAMETERS, "map_root": root}) as running:
        yield running


@pytest.fixture(scope="module")
def driver(ros: Client, node: NodeProcess) -> CameraDriver:
    made_driver = CameraDriver(ros)
    made_driver.wait_for_node()
    return made_driver


@pytest.fixture(autouse=True)
def three_objects(ros: Client, driver: CameraDriver) -> None:
    """Instances 1, 2, 3 around x = 0, 1, 2; two points each."""
    assert ros.call(Trigger, "reset", Trigger.Request()).success
    driver.stamp_ms += 10_000
    for count, (instance_id, x_m) in enumerate([(1, 0.0), (1, 0.02), (2, 1.0), (2, 1.02), (3, 2.0), (3, 2.02)], 1):
        t = driver.stamp_ms + 100
        driver.send(t, pose=made.pose(t, x_m), color=made.color(t, (instance_id, 0, 0)))
        wait_until(lambda n=count: sum(points(ros).values()) == n, 90, lambda n=count: f"{n} points: {driver.status}")


def listed(ros: Client, **fields: object) -> GetInstances.Response:
    return ros.call(GetInstances, "get_instances", GetInstances.Request(**fields))


def points(ros: Client) -> dict[int, int]:
    return {one.id: one.num_points for one in listed(ros).instances.instances}


def edit(ros: Client, operation: int, *ids: int, name: str = "") -> EditInstances.Response:
    return ros.call(EditInstances, "edit_instances", Edit(operation=operation, ids=ids, name=name))


def save(ros: Client, url: Path | str, **fields: object) -> SaveMap.Response:
    return ros.call(SaveMap, "save_map", SaveMap.Request(url=str(url), **fields))


def load(ros: Client, url: Path | str) -> LoadMap.Response:
    return ros.call(LoadMap, "load_map", LoadMap.Request(url=str(url)))


def completed(map_id: str, instance_id: int) -> CompletedObject:
    header, corners = Header(frame_id="odom", stamp=made.header(1500).stamp), np.eye(3, dtype=np.float32)
    columns = {**xyz_columns(corners), "rgb": pack_rgb(np.zeros((3, 3), np.uint8)), "source": np.zeros(3, np.uint8)}
    mesh = Mesh(vertices=[Point(x=1.0), Point(y=1.0), Point(z=1.0)])
    mesh.triangles = [MeshTriangle(vertex_indices=np.array([0, 1, 2], np.uint32))]
    return CompletedObject(
        header=header, map_id=map_id, instance_id=instance_id, instance_revision=1, method="geometric", mesh=mesh,
        cloud=cloud_of(header, columns), pose=Pose(orientation=Quaternion(w=1.0)), size=Vector3(x=1.0, y=1.0, z=1.0),
    )  # fmt: skip


def test_a_map_and_its_completed_objects_come_back_under_a_new_id(ros: Client, tmp_path: Path) -> None:
    edit(ros, Edit.OP_RENAME, 2, name="mug")
    before = listed(ros).instances
    publisher = ros.node.create_publisher(CompletedObject, "completed_objects", latched_qos(32))
    wait_until(publisher.get_subscription_count, 90, lambda: "a subscription")
    publisher.publish(completed(before.map_id, 2))
    wait_until(lambda: listed(ros, include_completed=True).completed, 90, lambda: "the object remembered")
    answer = save(ros, tmp_path / "map", include_completed=True)
    assert (answer.error_code, answer.path) == (Codes.NONE, str(tmp_path / "map"))
    assert answer.bytes == sum(path.stat().st_size for path in (tmp_path / "map").iterdir())
    assert ros.call(Trigger, "reset", Trigger.Request()).success
    late = ros.collect(CompletedObject, "completed_objects", latched_qos(32))
    loaded = load(ros, f"file://{tmp_path}/map")
    assert (loaded.error_code, loaded.num_instances) == (Codes.NONE, 3)
    after = listed(ros, include_completed=True)
    assert after.instances.map_id == loaded.map_id not in (before.map_id, "")
    assert [(one.id, one.name, one.num_points) for one in after.instances.instances] == [
        (1, "", 2),
        (2, "mug", 2),
        (3, "", 2),
    ]
    assert [(one.map_id, one.instance_id, one.name) for one in after.completed] == [(loaded.map_id, 2, "mug")]
    wait_until(lambda: any(one.map_id == loaded.map_id for one in late), 90, lambda: "the object published again")
    ros.node.destroy_publisher(publisher)


def test_mapping_goes_on_after_a_load(ros: Client, driver: CameraDriver, tmp_path: Path) -> None:
    assert save(ros, tmp_path).error_code == Codes.NONE
    t = driver.send(color=made.color(driver.stamp_ms + 100, (9, 0, 0)))
    wait_until(lambda: 9 in points(ros), 90, lambda: "instance 9")
    assert load(ros, tmp_path).error_code == Codes.NONE and 9 not in points(ros)
    driver.send(t + 100, color=made.color(t + 100, (1, 0, 0)))
    wait_until(lambda: points(ros)[1] == 3, 90, lambda: "a third point of instance 1")


def test_save_and_load_refuse_in_words_and_change_nothing(ros: Client, tmp_path: Path) -> None:
    before = listed(ros).instances
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "map.npz").write_bytes(b"PK\3\4 rubbish")
    assert save(ros, tmp_path / "map").error_code == Codes.NONE
    whole = (tmp_path / "map" / "map.npz").read_bytes()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "map.npz").write_bytes(whole[: len(whole) // 2])
    refusals = {
        save(ros, tmp_path / "map").error_msg: "exists: set overwrite",
        save(ros, "/proc/map").error_msg: "parameter map_root",
        save(ros, "relative").error_msg: "expected a file:// URL or an absolute path",
        load(ros, tmp_path / "nowhere").error_msg: "there is no map at",
        load(ros, tmp_path / "bad").error_msg: "cannot be read as a saved map",
        load(ros, tmp_path / "cut").error_msg: "cannot be read as a saved map",
        load(ros, "/etc").error_msg: "parameter map_root",
    }
    assert all(said in message for message, said in refusals.items()), refusals
    assert load(ros, tmp_path / "cut").error_code == Codes.NO_MAP
    assert load(ros, "/etc").error_code == Codes.INVALID_REQUEST
    assert listed(ros).instances.instances == before.instances
    assert save(ros, tmp_path / "map", overwrite=True).error_code == Codes.NONE


def test_instances_are_renamed_merged_and_removed(ros: Client, driver: CameraDriver) -> None:
    arrays = ros.collect(InstanceArray, "instances", latched_qos())
    renamed = edit(ros, Edit.OP_RENAME, 1, name="cup")
    assert (renamed.error_code, list(renamed.affected_ids)) == (Codes.NONE, [1])
    wait_until(lambda: arrays and arrays[-1].instances[0].name == "cup", 90, lambda: "the name published")
    merged = edit(ros, Edit.OP_MERGE, 2, 3)
    assert (merged.error_code, list(merged.affected_ids)) == (Codes.NONE, [2, 3])
    assert points(ros) == {1: 2, 2: 4}
    removed = edit(ros, Edit.OP_REMOVE, 2)
    assert (removed.error_code, list(removed.affected_ids)) == (Codes.NONE, [2])
    assert points(ros) == {1: 2}
    wait_until(lambda: [one.id for one in arrays[-1].instances] == [1], 90, lambda: "the removal published")
    driver.wait_for(num_instances=1, num_gaussians=2)


@pytest.mark.parametrize(
    ("operation", "ids", "code", "failed", "said"),
    [
        (Edit.OP_REMOVE, (1, 99), Codes.NO_SUCH_INSTANCE, [99], "99"),
        (Edit.OP_MERGE, (1,), Codes.INVALID_REQUEST, [1], "at least two"),
        (Edit.OP_MERGE, (1, 98), Codes.NO_SUCH_INSTANCE, [98], "98"),
        (Edit.OP_RENAME, (1, 2), Codes.INVALID_REQUEST, [1, 2], "expected one instance"),
        (Edit.OP_REMOVE, (), Codes.INVALID_REQUEST, [], "ids is empty"),
        (7, (1,), Codes.INVALID_REQUEST, [1], "operation is 7"),
    ],
)
def test_an_edit_that_fails_changes_nothing(
    ros: Client, operation: int, ids: tuple[int, ...], code: int, failed: list[int], said: str
) -> None:
    answer = edit(ros, operation, *ids)
    assert (answer.error_code, list(answer.failed_ids), list(answer.affected_ids)) == (code, failed, [])
    assert said in answer.error_msg and points(ros) == {1: 2, 2: 2, 3: 2}


def test_a_click_highlights_the_nearest_instance_and_asks_to_complete_it(ros: Client, node: NodeProcess) -> None:
    markers = ros.collect(MarkerArray, "instances/markers", latched_qos())
    asked: list[int] = []

    def complete(request: CompleteObject.Request, response: CompleteObject.Response) -> CompleteObject.Response:
        asked.append(request.instance_id)
        return response

    service = ros.node.create_service(CompleteObject, "complete_object", complete)
    clicks = ros.node.create_publisher(PointStamped, "/clicked_point", 10)
    wait_until(clicks.get_subscription_count, 90, lambda: "a subscription to clicks")

    def click(x_m: float, frame_id: str = "odom") -> None:
        clicks.publish(PointStamped(header=Header(frame_id=frame_id), point=Point(x=x_m)))

    def highlighted() -> set[int]:
        boxes = [m for m in markers[-1].markers if m.action == Marker.ADD and m.type == Marker.CUBE]
        most = max(m.color.a for m in boxes)
        return {m.id for m in boxes if m.color.a == most} if most > 0.5 else set()

    def clicked(x_m: float, expected: set[int]) -> None:
        deadline = time.monotonic() + 90  # the first clicks may come before the completion service is found
        while not markers or highlighted() != expected or asked[-1:] != list(expected):
            click(x_m)
            time.sleep(0.3)
            assert time.monotonic() < deadline, (asked, node.output)

    clicked(1.1, {2})
    clicked(1.9, {3})
    click(50.0)
    wait_until(lambda: highlighted() == set(), 90, lambda: "no highlight")
    node.wait_for_output("nothing is selected: no instance is within")
    click(1.0, "elsewhere")
    node.wait_for_output("nothing is selected: point.header.frame_id is 'elsewhere'")
    ros.node.destroy_service(service)


def test_a_map_to_begin_with(ros: Client, tmp_path: Path) -> None:
    assert save(ros, tmp_path).error_code == Codes.NONE
    with node_process("fake_scene", {**PARAMETERS, "load_map": str(tmp_path)}, "/second"), client("/second") as second:
        assert points(second) == {1: 2, 2: 2, 3: 2}
    with node_process("fake_scene", {**PARAMETERS, "load_map": str(tmp_path / "none")}, "/second") as failed:
        wait_until(lambda: failed.process.poll() is not None, 90, lambda: "the process to end")
        assert failed.stop() == 2 and "cannot start: there is no map at" in failed.output


def test_killed_or_asked_to_end_while_it_saves_the_folder_holds_a_whole_map(ros: Client, tmp_path: Path) -> None:
    """Ten times each: saves over an older map until the signal ends the node; then the map is loaded."""
    folder = tmp_path / "map"
    assert save(ros, folder).error_code == Codes.NONE
    for number in [signal.SIGTERM, signal.SIGKILL]:
        for attempt in range(3):
            with (
                node_process("fake_scene", {**PARAMETERS, "load_map": str(folder)}, "/mortal") as node,
                client("/mortal") as mortal,
            ):
                service = mortal.node.create_client(SaveMap, "save_map")
                wait_until(service.service_is_ready, 90, lambda: "the service")
                stop = threading.Event()

                def saves(service: object = service, stop: threading.Event = stop) -> None:
                    while not stop.is_set():
                        service.call_async(SaveMap.Request(url=str(folder), overwrite=True))
                        time.sleep(0.002)

                saver = threading.Thread(target=saves)
                saver.start()
                time.sleep(0.1 + 0.03 * attempt)
                os.kill(node.process.pid, number)
                wait_until(lambda n=node: n.process.poll() is not None, 90, lambda: "the node to end")
                stop.set()
                saver.join()
            answer = load(ros, folder)
            assert (answer.error_code, answer.num_instances) == (Codes.NONE, 3), answer.error_msg
    assert points(ros) == {1: 2, 2: 2, 3: 2}
