"""Parameters of the nodes that speak to other packages: `planning_scene`, `detections`, `mock_server`."""

from dataclasses import dataclass

from instascene_ros.adapters.node_config import InvalidParameterError
from instascene_ros.core.collision_bodies import GEOMETRIES
from instascene_ros.core.config import knob
from instascene_ros.core.planning_changes import Names


@dataclass(frozen=True)
class PlanningSceneNodeConfig:
    """Node `planning_scene`."""

    geometry: str = knob(
        "convex",
        "Shape of an object for the planner: convex, box, or where completed mesh or parts (convex, by coacd).",
    )
    padding_m: float = knob(0.005, "Objects are larger than they are by this on every side, m.", 0.0, 0.5)
    max_faces: int = knob(500, "Triangles of one object at most.", 20, 100_000)
    min_confidence: float = knob(0.0, "Objects of less confidence are left out.", 0.0, 1.0)
    prefix: str = knob("instascene", "Objects are named <prefix>_<map>_<id>; of others none is touched.")
    period_s: float = knob(1.0, "The planning scene is compared and updated this often, s.", 0.1, 3600.0)
    timeout_s: float = knob(5.0, "How long MoveIt may take to answer, s.", 0.1, 3600.0)
    move_group_namespace: str = knob("/", "Namespace of MoveIt's services (apply_planning_scene, get_planning_scene).")

    def __post_init__(self) -> None:
        if self.geometry not in GEOMETRIES:
            raise InvalidParameterError(
                f"parameter geometry is {self.geometry!r}; expected one of {', '.join(GEOMETRIES)}"
            )
        try:
            Names(self.prefix)
        except ValueError as error:
            raise InvalidParameterError(f"parameter {error}") from error


@dataclass(frozen=True)
class DetectionsNodeConfig:
    """Node `detections`."""

    min_confidence: float = knob(0.0, "Instances of less confidence are left out.", 0.0, 1.0)
    unlabelled: str = knob("object", "Class name of an instance without labels.")


@dataclass(frozen=True)
class MockServerNodeConfig:
    """Node `mock_server`."""

    map_frame: str = knob("odom", "Frame of everything.")
    rate_hz: float = knob(1.0, "How often the list of instances is published, Hz.", 0.1, 100.0)
    completion_time_s: float = knob(2.0, "How long a completion pretends to take, s.", 0.0, 3600.0)
