"""What MoveIt and vision_msgs get: with the real messages where they are installed, with stand-ins everywhere."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import stand_in_messages
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from sensor_msgs.msg import PointCloud2
from shape_msgs.msg import SolidPrimitive
from std_msgs.msg import Header

from instascene_ros.adapters.adapter_configs import PlanningSceneNodeConfig
from instascene_ros.adapters.clouds import cloud_of, xyz_columns
from instascene_ros.adapters.collision_messages import scene_diff
from instascene_ros.adapters.detection_messages import ClassNumbers, detections_message
from instascene_ros.adapters.mesh_messages import arrays_of_mesh
from instascene_ros.adapters.mock_objects import completed_object, mock_objects
from instascene_ros.adapters.node_config import InvalidParameterError
from instascene_ros.adapters.optional_messages import messages_of
from instascene_ros.adapters.planner_world import PlannerWorld
from instascene_ros.core.collision_bodies import box_body, hull_body
from instascene_ros.core.errors import BackendUnavailableError
from instascene_ros.core.planning_changes import Change, Names, Operation
from instascene_ros.msg import BoundingBox3D, Instance, InstanceArray, LabelHypothesis

HEADER = Header(frame_id="base_link")
MAP = "19149fa7-b6f5"


def messages(package: str) -> list[Any]:
    """Stand-ins, and the real package where it is."""
    try:
        return [getattr(stand_in_messages, package), import_module(f"{package}.msg")]
    except ImportError:
        return [getattr(stand_in_messages, package)]


@pytest.mark.parametrize("package", ["moveit_msgs", "vision_msgs"])
def test_the_stand_ins_have_the_fields_of_the_real_messages(package: str) -> None:
    real = pytest.importorskip(f"{package}.msg", reason=f"{package} comes with a robot's apt install")
    stand_ins = {n: c for n, c in vars(getattr(stand_in_messages, package)).items() if isinstance(c, type)}
    for name, stand_in in stand_ins.items():
        assert set(stand_in.FIELDS) <= set(getattr(real, name).get_fields_and_field_types()), name
        for constant in ("ADD", "REMOVE", "MOVE"):
            assert getattr(stand_in, constant, None) == getattr(getattr(real, name), constant, None)


def pose(x: float = 0.4) -> Pose:
    return Pose(position=Point(x=x, z=0.1), orientation=Quaternion(w=1.0))


def instance(instance_id: int, state: int = Instance.STATE_CONFIRMED, **more: Any) -> Instance:
    box = BoundingBox3D(center=pose(), size=Vector3(x=0.1, y=0.2, z=0.3))
    return Instance(id=instance_id, state=state, confidence=0.75, bbox=box, **more)


@pytest.mark.parametrize("msg", messages("moveit_msgs"))
def test_a_diff_says_what_changed_and_leaves_all_else(msg: ModuleType) -> None:
    T = np.eye(4)
    T[0, 3] = 0.5
    box = box_body(T, np.array([0.1, 0.2, 0.3]), 0.01)
    hull = hull_body(box, np.random.default_rng(2).normal(size=(100, 3)) * 0.1, 0.0, 500)
    changes = [
        Change(Operation.REMOVE, "instascene_a_1"), Change(Operation.ADD, "instascene_a_2", box),
        Change(Operation.ADD, "instascene_a_3", hull), Change(Operation.MOVE, "instascene_a_4", box),
    ]  # fmt: skip
    scene = scene_diff(msg, changes, HEADER)
    assert scene.is_diff and scene.robot_state.is_diff, (
        "without it MoveIt would replace its world and the robot's state"
    )
    removed, boxed, meshed, moved = scene.world.collision_objects
    kind = msg.CollisionObject
    assert [one.operation for one in (removed, boxed, meshed, moved)] == [kind.REMOVE, kind.ADD, kind.ADD, kind.MOVE]
    assert [one.id for one in (removed, boxed, meshed, moved)] == [change.id for change in changes]
    assert all(one.header.frame_id == "base_link" for one in scene.world.collision_objects)
    assert boxed.primitives[0].type == SolidPrimitive.BOX
    np.testing.assert_allclose(boxed.primitives[0].dimensions, [0.12, 0.22, 0.32])
    vertices_m, faces = arrays_of_mesh(meshed.meshes[0])
    np.testing.assert_allclose(vertices_m, hull.meshes[0].vertices_m, atol=1e-6)
    np.testing.assert_array_equal(faces, hull.meshes[0].faces)
    for one in (boxed, meshed):
        assert len(one.primitive_poses) == len(one.primitives) and len(one.mesh_poses) == len(one.meshes)
    assert [one.pose.position.x for one in (boxed, meshed, moved)] == [0.5] * 3
    assert not moved.primitives and not moved.meshes, "MoveIt ignores the shapes of a MOVE, with a warning"


def planner_world(geometry: str, padding_m: float = 0.0) -> PlannerWorld:
    world = PlannerWorld(PlanningSceneNodeConfig(geometry=geometry, padding_m=padding_m), Names("instascene"))
    tentative, missing = instance(2, Instance.STATE_TENTATIVE), instance(3, Instance.STATE_MISSING)
    world.on_instances(InstanceArray(header=HEADER, map_id=MAP, instances=[instance(1), tentative, missing]))
    return world


def cloud(points_m: np.ndarray, instance_id: int) -> PointCloud2:
    ids = np.full(len(points_m), instance_id, np.uint32)
    return cloud_of(HEADER, xyz_columns(points_m.astype(np.float32)) | {"instance_id": ids})


def test_only_confirmed_objects_are_told_and_a_box_stands_in_until_points_come() -> None:
    world = planner_world("convex")
    [(name, body)] = world.wanted().items()
    assert (name, body.meshes) == ("instascene_19149fa7_1", ())
    np.testing.assert_allclose(body.size_m, [0.1, 0.2, 0.3])
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * [0.05, 0.1, 0.15]
    world.on_points(cloud(np.concatenate([corners * s for s in (1.0, 0.5)]) + [0.4, 0, 0.1], 1))
    [hull] = world.wanted()[name].meshes
    np.testing.assert_allclose(np.ptp(hull.vertices_m, axis=0), [0.1, 0.2, 0.3], atol=1e-6)
    np.testing.assert_allclose(hull.vertices_m.mean(axis=0), 0, atol=1e-6)


@pytest.mark.parametrize("geometry", ["mesh", "parts", "convex", "box"])
def test_a_completion_stands_for_its_object_until_that_is_elsewhere(geometry: str) -> None:
    if geometry == "parts" and find_spec("coacd") is None:
        pytest.skip("coacd is not installed")
    ball = mock_objects()[2]
    world = PlannerWorld(PlanningSceneNodeConfig(geometry=geometry, padding_m=0.0, max_faces=200), Names("instascene"))
    place = Point(**dict(zip("xyz", map(float, ball.position_m), strict=True)))
    seen = BoundingBox3D(
        center=Pose(position=place, orientation=Quaternion(w=1.0)), size=Vector3(x=0.07, y=0.07, z=0.05)
    )
    one = Instance(id=3, state=Instance.STATE_CONFIRMED, confidence=1.0, revision=4, bbox=seen)
    world.on_instances(InstanceArray(header=HEADER, map_id=MAP, instances=[one]))
    world.on_completed(completed_object(ball, MAP, HEADER, 0))
    [body] = world.wanted().values()
    np.testing.assert_allclose(body.size_m, ball.size_m, atol=1e-6)
    assert len(body.meshes) == (geometry != "box")  # a ball is one convex part
    for mesh in body.meshes:
        assert len(mesh.faces) <= (len(ball.faces) if geometry == "convex" else 200)
        np.testing.assert_allclose(np.linalg.norm(mesh.vertices_m, axis=1), 0.04, atol=2e-3)
    one.bbox.center.position.x += 0.1
    one.revision += 1
    world.on_instances(InstanceArray(header=HEADER, map_id=MAP, instances=[one]))
    [moved] = world.wanted().values()
    np.testing.assert_allclose(moved.size_m, [0.07, 0.07, 0.05], atol=1e-6)
    world.on_instances(InstanceArray(header=HEADER, map_id="another", instances=[]))
    assert world.wanted() == {}


def test_what_makes_no_sense_is_left_alone_and_told_and_the_rest_goes_on() -> None:
    world, ball = planner_world("mesh"), mock_objects()[2]
    array = world.array
    array.instances = [instance(1), instance(3), instance(5)]
    array.instances[2].bbox.center.orientation.w = 0.0
    broken = completed_object(ball, MAP, HEADER, 0)
    broken.pose = pose()
    broken.mesh.triangles[0].vertex_indices[0] = 10**6
    world.on_completed(broken)
    assert list(world.wanted()) == ["instascene_19149fa7_1"]
    assert "its faces name others" in world.unusable["instascene_19149fa7_3"]
    assert "unit quaternion" in world.unusable["instascene_19149fa7_5"]
    world.on_points(cloud_of(HEADER, xyz_columns(np.zeros((3, 3), np.float32))))
    assert list(world.wanted()) == [] and "expected x y z instance_id" in world.unusable["instascene_19149fa7_1"]


@pytest.mark.parametrize("msg", messages("vision_msgs"))
def test_detections_have_the_id_the_box_and_numbered_classes(msg: ModuleType) -> None:
    labels = [LabelHypothesis(class_id="cup", score=0.9), LabelHypothesis(class_id="bowl", score=0.1)]
    array = InstanceArray(
        header=HEADER, map_id=MAP, instances=[instance(7, labels=labels), instance(9), instance(11, 0)]
    )
    numbers = ClassNumbers("object")
    found = detections_message(msg, array, numbers, 0.5)
    assert [one.id for one in found.detections] == ["7", "9"]
    assert all(one.header.frame_id == found.header.frame_id == "base_link" for one in found.detections)
    cup, thing = found.detections
    assert [(r.hypothesis.class_id, r.hypothesis.score) for r in cup.results] == [("1", 0.9), ("2", 0.1)]
    assert [(r.hypothesis.class_id, r.hypothesis.score) for r in thing.results] == [("0", 0.75)]
    assert (cup.bbox.size.y, cup.bbox.center.position.x, cup.results[0].pose.pose.position.x) == (0.2, 0.4, 0.4)
    info = numbers.label_info(msg, HEADER, 0.5)
    assert [(c.class_id, c.class_name) for c in info.class_map] == [(0, "object"), (1, "cup"), (2, "bowl")]
    assert info.threshold == 0.5
    assert detections_message(msg, array, numbers, 0.8).detections == []


def test_a_missing_package_is_named_with_the_line_to_run() -> None:
    with pytest.raises(BackendUnavailableError, match="sudo apt install ros-jazzy-absent-msgs"):
        messages_of("absent_msgs", "msg", "planning_scene")


@pytest.mark.parametrize(
    ("given", "told"), [({"geometry": "sphere"}, "mesh, parts, convex, box"), ({"prefix": "a b"}, "prefix")]
)
def test_wrong_parameters_are_told(given: dict[str, str], told: str) -> None:
    with pytest.raises(InvalidParameterError, match=told):
        PlanningSceneNodeConfig(**given)
