"""The scene node over DDS, in a process of its own, with a stand-in map whose answers are known."""

import time
from collections.abc import Iterator

import pytest
from harness import Client, NodeProcess, client, node_process, require_ros, wait_until

require_ros()

import camera_messages as made
import numpy as np
from camera_driver import CameraDriver
from diagnostic_msgs.msg import DiagnosticArray
from fake_scene import SLOW_BLUE
from geometry_msgs.msg import Point, PointStamped
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger
from visualization_msgs.msg import Marker, MarkerArray

from instascene_ros.adapters.clouds import columns_of
from instascene_ros.adapters.objects import observation_of
from instascene_ros.adapters.qos import latched_qos
from instascene_ros.adapters.stamps import ns_of_stamp
from instascene_ros.msg import CompletedObject, InstanceArray, MapStatus
from instascene_ros.srv import CompleteObject, GetInstances, ObserveObject

Codes = CompleteObject.Response
PARAMETERS = {
    "masks": "topic",
    "sync.wait_s": 0.3,
    "max_pose_jump_m": 1.0,
    "watchdog_period_s": 1.0,
    "publish.points_rate_hz": 50.0,
}


@pytest.fixture(scope="module")
def ros() -> Iterator[Client]:
    with client() as running:
        yield running


@pytest.fixture(scope="module")
def node() -> Iterator[NodeProcess]:
    with node_process("fake_scene", PARAMETERS) as running:
        yield running


@pytest.fixture(scope="module")
def driver(ros: Client, node: NodeProcess) -> CameraDriver:
    made_driver = CameraDriver(ros)
    made_driver.wait_for_node()
    return made_driver


@pytest.fixture(autouse=True)
def empty_map(ros: Client, driver: CameraDriver) -> None:
    """Each test starts with an empty map of its own."""
    assert ros.call(Trigger, "reset", Trigger.Request()).success
    driver.stamp_ms += 10_000


def instances(ros: Client, **fields: object) -> GetInstances.Response:
    return ros.call(GetInstances, "get_instances", GetInstances.Request(**fields))


def observe(ros: Client, **fields: object) -> ObserveObject.Response:
    return ros.call(ObserveObject, "observe_object", ObserveObject.Request(**fields))


def map_two_objects(ros: Client, driver: CameraDriver) -> None:
    """Instance 1 around x = 0, instance 2 around x = 0.5; two points each."""
    for instance_id, x_m in [(1, 0.0), (1, 0.02), (2, 0.5), (2, 0.52)]:
        before, t = points_mapped(ros), driver.stamp_ms + 100
        driver.send(t, pose=made.pose(t, x_m), color=made.color(t, (instance_id, 0, 0)))
        wait_for_points(ros, driver, before + 1)


def wait_for_points(ros: Client, driver: CameraDriver, count: int) -> None:
    wait_until(lambda: points_mapped(ros) == count, 90, lambda: f"{count} points mapped: {driver.status}")


def points_mapped(ros: Client) -> int:
    return sum(cloud.cloud.width for cloud in instances(ros, include_clouds=True).clouds)


def test_late_subscriber_gets_the_latched_snapshot_with_frame_and_stamp(ros: Client, driver: CameraDriver) -> None:
    map_two_objects(ros, driver)
    arrays = ros.collect(InstanceArray, "instances", latched_qos())
    clouds = ros.collect(PointCloud2, "instances/points", latched_qos())
    markers = ros.collect(MarkerArray, "instances/markers", latched_qos())
    wait_until(lambda: arrays and clouds and markers, 90, lambda: "latched messages")

    def complete() -> bool:
        marked = {m.id for m in markers[-1].markers if m.action == Marker.ADD}
        return sum(i.num_points for i in arrays[-1].instances) == clouds[-1].width == 4 and marked == {1, 2}

    wait_until(complete, 90, lambda: f"what a rate limit held back: {arrays[-1]}")
    array = arrays[-1]
    assert [(i.id, i.num_points, i.state) for i in array.instances] == [(1, 2, 1), (2, 2, 1)]
    assert array.instances[1].centroid.x == pytest.approx(0.51)
    for header in (array.header, clouds[-1].header):
        assert header.frame_id == "odom" and ns_of_stamp(header.stamp) == driver.stamp_ms * made.MS
    columns = columns_of(clouds[-1])
    assert columns["instance_id"].tolist() == [1, 1, 2, 2]
    np.testing.assert_allclose(columns["x"], [0, 0.02, 0.5, 0.52], atol=1e-6)


def test_get_instances_filters_by_id_and_region(ros: Client, driver: CameraDriver) -> None:
    map_two_objects(ros, driver)
    everything = instances(ros, include_clouds=True)
    assert everything.error_code == Codes.NONE
    assert [i.id for i in everything.instances.instances] == [1, 2]
    assert [(c.instance_id, c.cloud.width) for c in everything.clouds] == [(1, 2), (2, 2)]
    assert [i.id for i in instances(ros, ids=[2]).instances.instances] == [2]
    request = GetInstances.Request()
    request.region.center.position.x, request.region.center.orientation.w = 0.5, 1.0
    request.region.size.x = request.region.size.y = request.region.size.z = 0.2
    inside = ros.call(GetInstances, "get_instances", request)
    assert [i.id for i in inside.instances.instances] == [2]


def test_get_instances_names_its_errors(ros: Client, driver: CameraDriver) -> None:
    map_two_objects(ros, driver)
    unknown = instances(ros, ids=[1, 99])
    assert (
        unknown.error_code == Codes.NO_SUCH_INSTANCE and "[99]" in unknown.error_msg and "[1, 2]" in unknown.error_msg
    )
    elsewhere = instances(ros, target_frame="base_link")
    assert elsewhere.error_code == Codes.TF_ERROR and "'base_link'" in elsewhere.error_msg


def test_observe_object_by_id_and_by_point(ros: Client, driver: CameraDriver) -> None:
    map_two_objects(ros, driver)
    response = observe(ros, instance_id=2)
    assert response.error_code == Codes.NONE and response.header.frame_id == "odom" and response.instance.id == 2
    observation = observation_of(response)
    np.testing.assert_allclose(observation.surfels.means_m[:, 0], [0.5, 0.52], atol=1e-6)
    assert len(observation.context) == 2 and len(observation.views) == 1
    point = PointStamped(header=Header(frame_id="odom"), point=Point(x=0.4))
    assert observe(ros, select_by=1, point=point).instance.id == 2
    point.point.x = 0.1
    assert observe(ros, select_by=1, point=point).instance.id == 1


def test_observe_object_names_its_errors(ros: Client, driver: CameraDriver) -> None:
    assert observe(ros, instance_id=1).error_code == Codes.NO_MAP
    map_two_objects(ros, driver)
    assert observe(ros, instance_id=99).error_code == Codes.NO_SUCH_INSTANCE
    stale = observe(ros, instance_id=1, map_id="another")
    assert stale.error_code == Codes.MAP_CHANGED and "another" in stale.error_msg
    assert observe(ros, select_by=7, instance_id=1).error_code == Codes.INVALID_REQUEST
    before = points_mapped(ros)
    driver.send(color=made.color(driver.stamp_ms + 100, (3, 0, 0)))
    wait_until(lambda: points_mapped(ros) == before + 1, 90, lambda: "instance 3")
    assert observe(ros, instance_id=3).error_code == Codes.TOO_FEW_POINTS


def test_reset_empties_the_map_and_tells_everybody(ros: Client, driver: CameraDriver) -> None:
    arrays = ros.collect(InstanceArray, "instances", latched_qos())
    markers = ros.collect(MarkerArray, "instances/markers", latched_qos())
    map_two_objects(ros, driver)
    old = instances(ros).instances.map_id
    assert ros.call(Trigger, "reset", Trigger.Request()).success
    wait_until(lambda: arrays and arrays[-1].map_id != old, 90, lambda: "an array of the new map")
    assert arrays[-1].instances == [] and list(arrays[-1].removed_ids) == []
    assert any(m.action == Marker.DELETEALL for m in markers[-1].markers)
    sequences = [array.sequence for array in arrays]
    assert sequences == sorted(set(sequences))


def test_reset_while_frames_stream_leaves_one_consistent_map(ros: Client, driver: CameraDriver) -> None:
    arrays = ros.collect(InstanceArray, "instances", latched_qos())
    for _ in range(3):
        for _ in range(10):
            driver.send()
        assert ros.call(Trigger, "reset", Trigger.Request()).success
    driver.send(color=made.color(driver.stamp_ms + 100, (7, 0, 0)))  # comes after all the others
    wait_until(lambda: arrays and 7 in [i.id for i in arrays[-1].instances], 90, lambda: "the last frame mapped")
    assert arrays[-1].map_id == instances(ros).instances.map_id
    by_map: dict[str, list[int]] = {}
    for array in arrays:
        by_map.setdefault(array.map_id, []).append(len(array.instances))
    assert all(counts == sorted(counts) for counts in by_map.values())  # nothing of an old map in a new one


def test_pause_keeps_the_map_and_drops_frames(ros: Client, driver: CameraDriver) -> None:
    map_two_objects(ros, driver)
    assert ros.call(SetBool, "pause", SetBool.Request(data=True)).message == "paused"
    wait_until(lambda: driver.status.state == MapStatus.STATE_PAUSED, 90, lambda: "state paused")
    integrated = driver.status.frames_integrated
    driver.send()
    received = driver.status.frames_received
    wait_until(lambda: driver.status.frames_received > received, 90, lambda: "the frame received")
    assert driver.status.frames_integrated == integrated and points_mapped(ros) == 4
    ros.call(SetBool, "pause", SetBool.Request(data=False))
    driver.send()
    wait_until(lambda: points_mapped(ros) == 5, 90, lambda: "mapping to go on")


def test_completed_objects_are_remembered_for_clients(ros: Client, driver: CameraDriver) -> None:
    map_two_objects(ros, driver)
    map_id = instances(ros).instances.map_id
    publisher = ros.node.create_publisher(CompletedObject, "completed_objects", latched_qos(32))
    publisher.publish(CompletedObject(map_id=map_id, instance_id=2, instance_revision=1, method="geometric"))
    publisher.publish(CompletedObject(map_id="old", instance_id=1, instance_revision=1))
    wait_until(lambda: instances(ros, include_completed=True).completed, 90, lambda: "the completed object")
    answer = instances(ros, include_completed=True)
    assert [(done.instance_id, done.method) for done in answer.completed] == [(2, "geometric")]
    assert [i.completed_revision for i in answer.instances.instances] == [0, 1]


def test_diagnostics_name_every_input(ros: Client, driver: CameraDriver) -> None:
    arrays = ros.collect(DiagnosticArray, "/diagnostics", 10)
    wait_until(lambda: arrays, 90, lambda: "diagnostics")
    names = {status.name.removeprefix("/instascene/scene: /instascene/") for status in arrays[-1].status}
    assert {
        "camera/color/image",
        "camera/depth/image",
        "camera/color/camera_info",
        "camera/masks/image",
        "camera/pose",
    } <= names


# Bad input: the node lives, counts, and says what was wrong -----------------------------------------------------------


def still_maps(ros: Client, driver: CameraDriver) -> None:
    """The next good frame is mapped, and nothing of the bad one is."""
    assert points_mapped(ros) == 0
    driver.send()
    wait_until(lambda: points_mapped(ros) == 1, 90, lambda: f"mapping to go on: {driver.status}")


def bad_messages(kind: str, t: int) -> dict[str, object]:
    """What is wrong with the set of that stamp."""
    broken = made.color(t)
    if kind == "depth of another size":
        return {"depth": made.depth(t, width=8, height=6)}
    if kind == "masks of another size":
        return {"masks": made.labels(t, width=8, height=6)}
    if kind == "depth of zeros":
        return {"depth": made.depth(t, 0.0)}
    if kind == "depth of NaN":
        return {"depth": made.depth(t, float("nan"))}
    if kind == "unknown encoding":
        broken.encoding = "yuv422"
    elif kind == "wrong step":
        broken.step = 7
    elif kind == "truncated":
        broken.data = bytes(broken.data)[:100]
    elif kind == "zero fx":
        info = made.info(t)
        info.k = np.zeros(9)
        return {"info": info}
    return {"color": broken}


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("depth of another size", "camera/depth/image is 8x6 px"),
        ("masks of another size", "camera/masks/image is 8x6 px"),
        ("depth of zeros", "camera/depth/image: no pixel has depth"),
        ("depth of NaN", "camera/depth/image: no pixel has depth"),
        ("unknown encoding", "'yuv422' is not supported here; expected one of rgb8"),
        ("wrong step", "has step 7; expected at least 48"),
        ("truncated", "has 100 bytes; expected 576: truncated"),
        ("zero fx", "fx=0.0"),
    ],
)
def test_unusable_frame_is_dropped_counted_and_named(ros: Client, driver: CameraDriver, kind: str, said: str) -> None:
    invalid = driver.status.dropped_invalid
    t = driver.stamp_ms + 100
    driver.send(t, **bad_messages(kind, t))
    wait_until(lambda: driver.status.dropped_invalid == invalid + 1, 90, lambda: f"one invalid frame: {driver.status}")
    wait_until(
        lambda: any(said in s.message for s in driver.statuses[-3:]),
        90,
        lambda: f"{said!r} in {driver.status.message!r}",
    )
    still_maps(ros, driver)


def test_frame_with_an_empty_mask_is_mapped(ros: Client, driver: CameraDriver) -> None:
    before = driver.status.num_gaussians
    driver.send(masks=made.labels(driver.stamp_ms + 100, 0))
    wait_until(
        lambda: driver.status.num_gaussians == before + 1 or driver.status.num_gaussians == 1,
        90,
        lambda: "a mapped frame",
    )
    assert instances(ros).instances.instances == []


def test_frame_without_a_pose_is_dropped_and_counted(ros: Client, driver: CameraDriver) -> None:
    before = driver.status.dropped_no_pose
    driver.send(pose=None)
    wait_until(
        lambda: driver.status.dropped_no_pose == before + 1, 90, lambda: f"one frame without pose: {driver.status}"
    )
    still_maps(ros, driver)


def test_pose_in_another_frame_or_broken_is_refused(ros: Client, driver: CameraDriver, node: NodeProcess) -> None:
    before = driver.status.dropped_no_pose
    t = driver.stamp_ms + 100
    driver.send(t, pose=made.pose(t, frame_id="elsewhere"))
    broken = made.pose(t + 100)
    broken.pose.orientation.w = 0.0
    driver.send(t + 100, pose=broken)
    wait_until(
        lambda: driver.status.dropped_no_pose == before + 2, 90, lambda: f"two frames without pose: {driver.status}"
    )
    node.wait_for_output("pose is in frame 'elsewhere' but map_frame is 'odom'")
    still_maps(ros, driver)


def test_repeated_and_older_stamps_are_counted(ros: Client, driver: CameraDriver) -> None:
    map_two_objects(ros, driver)
    before, t = driver.status.dropped_stale, driver.stamp_ms
    driver.send(t)
    driver.send(t - 50)
    wait_until(lambda: driver.status.dropped_stale >= before + 2, 90, lambda: f"two stale frames: {driver.status}")
    assert points_mapped(ros) == 4
    driver.stamp_ms = t


def test_time_that_starts_over_is_accepted(ros: Client, driver: CameraDriver, node: NodeProcess) -> None:
    driver.send()
    wait_until(lambda: points_mapped(ros) == 1, 90, lambda: "the first frame")
    driver.send(driver.stamp_ms - 5000)
    node.wait_for_output("time restarted, queues cleared")
    driver.send()
    wait_until(lambda: points_mapped(ros) >= 2, 90, lambda: f"mapping to go on: {driver.status}")
    driver.stamp_ms += 10_000


def test_pose_jump_is_said(ros: Client, driver: CameraDriver, node: NodeProcess) -> None:
    driver.send()
    wait_until(lambda: points_mapped(ros) == 1, 90, lambda: "the first frame")
    t = driver.stamp_ms + 100
    driver.send(t, pose=made.pose(t, 5.0))
    node.wait_for_output("pose jumped 5.00 m between frames (on_pose_jump: warn)")
    wait_until(lambda: points_mapped(ros) == 2, 90, lambda: "a warning only")


def test_watchdog_says_what_is_missing(node: NodeProcess, driver: CameraDriver) -> None:
    node.wait_for_output("/instascene/camera/depth/image: silent for")
    assert "frames:" in node.output


def test_busy_scene_takes_the_newest_frame_and_counts_the_rest(ros: Client, driver: CameraDriver) -> None:
    busy = driver.status.dropped_busy
    t = driver.stamp_ms + 100
    driver.send(t, color=made.color(t, (1, 0, SLOW_BLUE)))
    time.sleep(0.5)  # the slow frame must have begun; it takes 3 s
    for _ in range(5):
        driver.send()
    wait_until(lambda: points_mapped(ros) == 2, 90, lambda: f"first and last frame: {driver.status}")
    wait_until(lambda: driver.status.dropped_busy == busy + 4, 90, lambda: f"four frames dropped: {driver.status}")
    assert ns_of_stamp(instances(ros).instances.header.stamp) == driver.stamp_ms * made.MS
