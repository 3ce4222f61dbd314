"""Changes of the planner's world -> moveit_msgs. The message classes are handed in: moveit_msgs may not be there."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from geometry_msgs.msg import Pose
from shape_msgs.msg import SolidPrimitive
from std_msgs.msg import Header

from instascene_ros.adapters.mesh_messages import mesh_message
from instascene_ros.adapters.transforms import pose_of_matrix
from instascene_ros.core.collision_bodies import CollisionBody
from instascene_ros.core.planning_changes import Change, Operation


def scene_diff(msg: ModuleType, changes: Sequence[Change], header: Header) -> Any:
    """A PlanningScene of nothing but the changes. Robot state, octomap and all else stay as they are."""
    scene = msg.PlanningScene(is_diff=True)
    scene.robot_state.is_diff = True
    scene.world.collision_objects = [collision_object(msg, change, header) for change in changes]
    return scene


def collision_object(msg: ModuleType, change: Change, header: Header) -> Any:
    """One change. A MOVE has no shape: with one, MoveIt would warn and ignore it."""
    kind = msg.CollisionObject
    operations = {Operation.ADD: kind.ADD, Operation.REMOVE: kind.REMOVE, Operation.MOVE: kind.MOVE}
    found = kind(header=header, id=change.id, operation=operations[change.operation])
    if change.body is None:
        return found
    found.pose = pose_of_matrix(change.body.T_world_body)
    if change.operation == Operation.ADD:
        _add_shape(found, change.body)
    return found


def _add_shape(message: Any, body: CollisionBody) -> None:
    message.meshes = [mesh_message(one.vertices_m, one.faces) for one in body.meshes]
    message.mesh_poses = [Pose() for _ in body.meshes]
    if not body.meshes:
        message.primitives = [SolidPrimitive(type=SolidPrimitive.BOX, dimensions=[float(x) for x in body.size_m])]
        message.primitive_poses = [Pose()]
