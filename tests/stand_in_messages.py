"""Messages of moveit_msgs and vision_msgs with exactly the fields that are used, for machines without these packages.

`test_the_stand_ins_have_the_fields_of_the_real_messages` compares them with the real ones where those are installed.
"""

from types import ModuleType
from typing import Any

from geometry_msgs.msg import Pose, PoseWithCovariance, Vector3
from std_msgs.msg import Header


class StandIn:
    """A message: unknown fields are refused, as rclpy does."""

    FIELDS: dict[str, Any] = {}  # field -> what makes its default

    def __init__(self, **given: Any) -> None:
        for name, make in self.FIELDS.items():
            object.__setattr__(self, name, make())
        for name, value in given.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.FIELDS:
            raise AttributeError(f"{type(self).__name__} has no field {name}")
        object.__setattr__(self, name, value)


def message(name: str, fields: dict[str, Any], **constants: Any) -> type:
    return type(name, (StandIn,), {"FIELDS": fields, **constants})


def package(name: str, *classes: type) -> ModuleType:
    made = ModuleType(name)
    vars(made).update({one.__name__: one for one in classes})
    return made


CollisionObject = message(
    "CollisionObject",
    {"header": Header, "pose": Pose, "id": str, "primitives": list, "primitive_poses": list, "meshes": list,
     "mesh_poses": list, "operation": lambda: b"\x00"},
    ADD=b"\x00", REMOVE=b"\x01", MOVE=b"\x03",
)  # fmt: skip
AttachedCollisionObject = message("AttachedCollisionObject", {"object": CollisionObject})
RobotState = message("RobotState", {"is_diff": bool, "attached_collision_objects": list})
PlanningSceneWorld = message("PlanningSceneWorld", {"collision_objects": list})
PlanningScene = message("PlanningScene", {"is_diff": bool, "robot_state": RobotState, "world": PlanningSceneWorld})
moveit_msgs = package(
    "moveit_msgs", CollisionObject, AttachedCollisionObject, RobotState, PlanningSceneWorld, PlanningScene
)

BoundingBox3D = message("BoundingBox3D", {"center": Pose, "size": Vector3})
ObjectHypothesis = message("ObjectHypothesis", {"class_id": str, "score": float})
ObjectHypothesisWithPose = message(
    "ObjectHypothesisWithPose", {"hypothesis": ObjectHypothesis, "pose": PoseWithCovariance}
)
Detection3D = message("Detection3D", {"header": Header, "results": list, "bbox": BoundingBox3D, "id": str})
Detection3DArray = message("Detection3DArray", {"header": Header, "detections": list})
VisionClass = message("VisionClass", {"class_id": int, "class_name": str})
LabelInfo = message("LabelInfo", {"header": Header, "class_map": list, "threshold": float})
vision_msgs = package(
    "vision_msgs", BoundingBox3D, ObjectHypothesis, ObjectHypothesisWithPose, Detection3D, Detection3DArray,
    VisionClass, LabelInfo,
)  # fmt: skip
