"""The completion node completes what it is asked for, by service and by action, over real DDS."""

from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest
from harness import require_ros, wait_until

require_ros()

import trimesh
from action_msgs.msg import GoalStatus
from completion_calls import LONG_S, Completions
from geometry_msgs.msg import Point, PointStamped
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from instascene_ros.action import CompleteObject as CompleteObjectAction
from instascene_ros.adapters.clouds import columns_of
from instascene_ros.adapters.completed_objects import completed_of
from instascene_ros.adapters.qos import latched_qos
from instascene_ros.adapters.stamps import s_of_duration
from instascene_ros.msg import CompletedObject
from instascene_ros.srv import CompleteObject

BOX, CAN, MUG = 1, 2, 3  # ids in the stand-in scene
BOX_SIZE_M, CAN_SIZE_M = (0.10, 0.06, 0.12), (0.066, 0.066, 0.11)
CENTER_M = {BOX: (-0.10, 0.0, 0.06), CAN: (0.03, 0.09, 0.055)}
STAMP_NS = 12_345_678_901
Feedback = CompleteObjectAction.Feedback


def mesh_of(message: CompletedObject) -> trimesh.Trimesh:
    completed = completed_of(message)
    return trimesh.Trimesh(completed.vertices_m, completed.faces, process=False)


@pytest.mark.parametrize(("instance_id", "size_m"), [(BOX, BOX_SIZE_M), (CAN, CAN_SIZE_M)])
def test_the_service_returns_the_object_in_place(
    completions: Completions, instance_id: int, size_m: tuple[float, float, float]
) -> None:
    answer = completions.call(instance_id=instance_id, seed=completions.new_seed())
    assert (answer.error_code, answer.error_msg, answer.from_cache) == (0, "", False)
    made, mesh = answer.object, mesh_of(answer.object)
    assert (made.instance_id, made.instance_revision, made.name, made.method) == (instance_id, 1, "mug", "ring")
    np.testing.assert_allclose(sorted([made.size.x, made.size.y, made.size.z]), sorted(size_m), atol=0.012)
    np.testing.assert_allclose(mesh.bounds.mean(0), CENTER_M[instance_id], atol=0.01)
    true_volume_m3 = np.prod(size_m) * (1 if instance_id == BOX else np.pi / 4)
    assert made.watertight
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(true_volume_m3, rel=0.15)  # positive: the faces look outward
    assert 0.4 < made.observed_fraction < 1
    assert s_of_duration(made.processing_time) > 0


def test_header_cloud_and_mesh_agree_on_frame_and_stamp(completions: Completions) -> None:
    made = completions.call(instance_id=BOX, seed=completions.new_seed()).object
    for header in (made.header, made.cloud.header):
        assert (header.frame_id, header.stamp.sec * 10**9 + header.stamp.nanosec) == ("odom", STAMP_NS)
    columns = columns_of(made.cloud)
    assert list(columns) == ["x", "y", "z", "rgb", "source"]
    assert set(np.unique(columns["source"])) == {made.SOURCE_OBSERVED, made.SOURCE_COMPLETED}
    # The mesh is in the object frame: inside a box of `size` around its origin.
    local_m = np.array([(p.x, p.y, p.z) for p in made.mesh.vertices])
    assert (np.abs(local_m) <= np.array([made.size.x, made.size.y, made.size.z]) / 2 + 1e-3).all()
    points_m = np.stack([columns[axis] for axis in "xyz"], axis=-1)
    np.testing.assert_allclose(completed_of(made).vertices_m, points_m, atol=1e-5)


def test_the_underside_is_flagged_as_invented(completions: Completions) -> None:
    completed = completed_of(completions.call(instance_id=BOX, seed=completions.new_seed()).object)
    below = completed.vertices_m[:, 2] < 0.003
    assert below.any()
    assert completed.observed[below].mean() < 0.2
    assert completed.observed[completed.vertices_m[:, 2] > 0.115].mean() > 0.8


def test_an_object_that_another_node_published_is_shown_too(completions: Completions) -> None:
    """The scene node publishes those of a map that it loaded."""
    made = completions.call(instance_id=BOX, seed=completions.new_seed()).object
    markers = completions.ros.collect(MarkerArray, "completed_objects/markers", latched_qos())
    publisher = completions.ros.node.create_publisher(CompletedObject, "completed_objects", latched_qos(32))
    wait_until(lambda: publisher.get_subscription_count() >= 1, LONG_S, lambda: "a subscription")
    made.instance_id, made.seed = MUG, 10**6
    publisher.publish(made)

    def shown() -> set[int]:
        return {m.id for m in markers[-1].markers if m.action == Marker.ADD} if markers else set()

    wait_until(lambda: {BOX, MUG} <= shown(), LONG_S, lambda: f"both objects: {shown()}")
    completions.ros.node.destroy_publisher(publisher)


def test_the_same_question_is_answered_from_the_cache_unless_forced(completions: Completions) -> None:
    seed = completions.new_seed()
    first = completions.call(instance_id=CAN, seed=seed)
    again = completions.call(instance_id=CAN, seed=seed)
    forced = completions.call(instance_id=CAN, seed=seed, force=True)
    other_seed = completions.call(instance_id=CAN, seed=completions.new_seed())
    assert [a.from_cache for a in (first, again, forced, other_seed)] == [False, True, False, False]
    assert again.object == first.object
    assert forced.object.mesh == first.object.mesh  # same seed, same result


def test_the_action_tells_stages_in_order_and_progress_that_never_falls(completions: Completions) -> None:
    goal = completions.send(instance_id=MUG, seed=completions.new_seed())
    status, result = goal.end()
    assert (status, result.error_code) == (GoalStatus.STATUS_SUCCEEDED, 0)
    stages = [Feedback.STAGE_OBSERVE, Feedback.STAGE_GENERATE, Feedback.STAGE_OPTIMIZE, Feedback.STAGE_MESH]
    wait_until(lambda: goal.feedback and goal.feedback[-1].progress == 1.0, 5, lambda: "the last feedback")
    assert goal.stages == stages
    progress = [f.progress for f in goal.feedback]
    assert progress == sorted(progress)
    assert all(f.message for f in goal.feedback)
    assert s_of_duration(result.total_time) >= s_of_duration(result.object.processing_time)


def test_action_and_service_share_the_cache(completions: Completions) -> None:
    seed = completions.new_seed()
    _, result = completions.send(instance_id=BOX, seed=seed).end()
    answer = completions.call(instance_id=BOX, seed=seed)
    assert (result.from_cache, answer.from_cache) == (False, True)
    assert answer.object == result.object


def test_the_object_nearest_to_a_point_is_chosen(completions: Completions) -> None:
    x, y, z = CENTER_M[CAN]
    point = PointStamped(header=Header(frame_id="odom"), point=Point(x=x + 0.01, y=y, z=z))
    answer = completions.call(select_by=CompleteObject.Request.SELECT_POINT, point=point, seed=completions.new_seed())
    assert (answer.error_code, answer.object.instance_id) == (0, CAN)


def test_max_faces_is_kept(completions: Completions) -> None:
    made = completions.call(instance_id=CAN, seed=completions.new_seed(), max_faces=800).object
    assert 100 < len(made.mesh.triangles) <= 800
    assert made.watertight


def test_the_mesh_file_holds_the_same_mesh(completions: Completions) -> None:
    made = completions.call(instance_id=CAN, seed=completions.new_seed()).object
    uri = urlparse(made.mesh_resource)
    assert uri.scheme == "file"
    written = trimesh.load(Path(uri.path), process=False)
    np.testing.assert_allclose(written.vertices, completed_of(made).vertices_m, atol=1e-5)
    assert len(written.faces) == len(made.mesh.triangles)


def test_late_subscribers_get_what_was_completed_before(completions: Completions) -> None:
    made = [completions.call(instance_id=i, seed=completions.new_seed()).object for i in (BOX, CAN)]
    objects = completions.ros.collect(CompletedObject, "completed_objects", latched_qos(32))
    clouds = completions.ros.collect(PointCloud2, "completed_objects/points", latched_qos())
    markers = completions.ros.collect(MarkerArray, "completed_objects/markers", latched_qos())
    wait_until(lambda: clouds and markers and objects and objects[-1] == made[-1], LONG_S, lambda: "latched messages")
    assert made[0] in objects
    columns = columns_of(clouds[-1])
    assert {BOX, CAN} <= set(np.unique(columns["instance_id"]).tolist())
    triangles = {m.id: m for m in markers[-1].markers if m.type == Marker.TRIANGLE_LIST and m.action == Marker.ADD}
    assert len(triangles[CAN].points) == len(triangles[CAN].colors) == 3 * len(made[1].mesh.triangles)
    assert markers[-1].markers[0].action == Marker.DELETEALL
