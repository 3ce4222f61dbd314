"""The node against a planner that does with its world what MoveIt documents. Runs where moveit_msgs is installed."""

from collections.abc import Iterator
from typing import Any

import pytest
from harness import Client, client, node_process, require_ros, wait_until

require_ros()
moveit = pytest.importorskip("moveit_msgs.msg", reason="moveit_msgs comes with a robot's apt install")

from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from moveit_msgs.srv import ApplyPlanningScene, GetPlanningScene
from std_msgs.msg import Header

from instascene_ros.adapters.qos import latched_qos
from instascene_ros.msg import BoundingBox3D, Instance, InstanceArray

NAMESPACE, MODULE = "/planned", "instascene_ros.nodes.planning_scene"
PARAMETERS = {"geometry": "box", "period_s": 0.2, "move_group_namespace": NAMESPACE, "padding_m": 0.0}
KIND = moveit.CollisionObject


class MoveGroup:
    """ADD replaces, MOVE moves, REMOVE removes, and REMOVE without an id removes all; unknown frames are refused."""

    def __init__(self, ros: Client) -> None:
        self.world: dict[str, Any] = {}
        self.attached: list[str] = []
        self.operations: list[tuple[bytes, str]] = []
        self.frames = {"odom"}
        ros.node.create_service(GetPlanningScene, "get_planning_scene", self._get)
        ros.node.create_service(ApplyPlanningScene, "apply_planning_scene", self._apply)

    def _get(self, request: Any, response: Any) -> Any:
        known = moveit.PlanningSceneComponents
        assert request.components.components == known.WORLD_OBJECT_NAMES | known.ROBOT_STATE_ATTACHED_OBJECTS
        response.scene.world.collision_objects = [KIND(id=name) for name in self.world]
        response.scene.robot_state.attached_collision_objects = [
            moveit.AttachedCollisionObject(object=KIND(id=name)) for name in self.attached
        ]
        return response

    def _apply(self, request: Any, response: Any) -> Any:
        scene = request.scene
        response.success = scene.is_diff and scene.robot_state.is_diff
        for one in scene.world.collision_objects:
            self.operations.append((one.operation, one.id))
            response.success &= one.operation == KIND.REMOVE or one.header.frame_id in self.frames
            if not response.success:
                continue
            if one.operation == KIND.ADD:
                self.world[one.id] = one
            elif one.operation == KIND.MOVE:
                self.world[one.id].pose = one.pose
            else:
                self.world = {name: kept for name, kept in self.world.items() if one.id and name != one.id}
        return response


@pytest.fixture
def ros() -> Iterator[Client]:
    with client(NAMESPACE) as running:
        yield running


def listed(map_id: str, frame: str = "odom", **places: float) -> InstanceArray:
    instances = [
        Instance(
            id=int(name[1:]), revision=1, state=Instance.STATE_CONFIRMED, confidence=1.0,
            bbox=BoundingBox3D(
                center=Pose(position=Point(x=x), orientation=Quaternion(w=1.0)), size=Vector3(x=0.1, y=0.1, z=0.2)
            ),
        )
        for name, x in places.items()
    ]  # fmt: skip
    return InstanceArray(header=Header(frame_id=frame), map_id=map_id, instances=instances)


def test_the_planners_world_follows_ours(ros: Client) -> None:
    group = MoveGroup(ros)
    group.world = {"table": KIND(id="table"), "instascene_deadbeef_4": KIND(id="instascene_deadbeef_4")}
    publisher = ros.node.create_publisher(InstanceArray, "instances", latched_qos())
    publisher.publish(listed("aaaaaaaa-1", _1=0.3, _2=0.5))
    first, second = "instascene_aaaaaaaa_1", "instascene_aaaaaaaa_2"
    with node_process(MODULE, PARAMETERS, NAMESPACE) as node:
        wait_until(
            lambda: set(group.world) == {"table", first, second}, 60, lambda: f"{group.world.keys()} {node.output}"
        )
        assert list(group.world[first].primitives[0].dimensions) == pytest.approx([0.1, 0.1, 0.2])

        moved = listed("aaaaaaaa-1", _1=0.4, _2=0.5)
        moved.instances[0].revision = 2
        publisher.publish(moved)
        wait_until(lambda: group.world[first].pose.position.x == 0.4, 30, lambda: f"a move: {group.operations}")
        assert group.operations[-1] == (KIND.MOVE, first)

        del group.world[second]
        wait_until(lambda: second in group.world, 30, lambda: "what was lost to be added again")

        group.attached = [first]
        del group.world[first]
        publisher.publish(listed("aaaaaaaa-1", _2=0.5))
        count = len(group.operations)
        publisher.publish(listed("aaaaaaaa-1", _1=0.9))
        wait_until(lambda: second not in group.world, 30, lambda: f"{second} to go: {group.operations}")
        assert all(name != first for _, name in group.operations[count:]), "it is in the robot's hand"

        group.attached = []
        wait_until(lambda: first in group.world, 30, lambda: "what was let go")
        publisher.publish(listed("bbbbbbbb-2"))
        wait_until(lambda: set(group.world) == {"table"}, 30, lambda: f"only the table: {group.world.keys()}")
        assert all(name for _, name in group.operations)


def test_a_frame_that_moveit_does_not_know_is_told_and_the_node_goes_on(ros: Client) -> None:
    group = MoveGroup(ros)
    publisher = ros.node.create_publisher(InstanceArray, "instances", latched_qos())
    publisher.publish(listed("aaaaaaaa-1", "kitchen", _1=0.3))
    with node_process(MODULE, PARAMETERS, NAMESPACE) as node:
        node.wait_for_output("does it know frame 'kitchen' (map_frame)?")
        group.frames.add("kitchen")
        wait_until(lambda: "instascene_aaaaaaaa_1" in group.world, 30, lambda: f"the object: {node.output}")


def test_without_move_group_it_says_what_it_waits_for(ros: Client) -> None:
    publisher = ros.node.create_publisher(InstanceArray, "instances", latched_qos())
    with node_process(MODULE, PARAMETERS, NAMESPACE) as node:
        node.wait_for_output("waiting for /planned/instances: is the scene node running?")
        publisher.publish(listed("aaaaaaaa-1", _1=0.3))
        node.wait_for_output("is move_group running?")
        assert node.stop() == 0
