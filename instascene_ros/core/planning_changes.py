"""What to tell a planner so that its world holds our objects, and nothing of ours that is gone. Knows no ROS."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from jaxtyping import Float64

from instascene_ros.core.collision_bodies import CollisionBody

MIN_MOVE_M, MIN_TURN_RAD = 0.002, 0.01  # a planner does not need to know of less


class Operation(IntEnum):
    """Values of moveit_msgs/CollisionObject."""

    ADD = 0  # replaces what has the id
    REMOVE = 1
    MOVE = 3


@dataclass(frozen=True)
class Told:
    """What the planner was last told of one object."""

    shape_key: str
    T_world_body: Float64[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Change:
    """One operation. A REMOVE without an id would delete the whole world, so there is no change without one."""

    operation: Operation
    id: str
    body: CollisionBody | None = None  # None = REMOVE

    def __post_init__(self) -> None:
        if not self.id:
            raise ValueError(f"{self.operation.name} without an id; MoveIt takes an empty id for all objects")
        if (self.body is None) != (self.operation == Operation.REMOVE):
            raise ValueError(f"{self.operation.name} of {self.id!r}: only REMOVE goes without a body")


class Names:
    """`<prefix>_<first 8 characters of the map id>_<instance id>`: ours, and no other object of the world."""

    def __init__(self, prefix: str) -> None:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", prefix):
            raise ValueError(f"prefix {prefix!r}; expected a letter, then letters, digits and _")
        self._prefix = prefix
        self._ours = re.compile(rf"{prefix}_[^_]{{1,8}}_[1-9][0-9]*")

    def of(self, map_id: str, instance_id: int) -> str:
        return f"{self._prefix}_{map_id[:8]}_{instance_id}"

    def is_ours(self, name: str) -> bool:
        return self._ours.fullmatch(name) is not None


def changes_between(
    wanted: Mapping[str, CollisionBody],
    told: Mapping[str, Told],
    world: Collection[str],
    attached: Collection[str],
    names: Names,
) -> list[Change]:
    """Removals first, then the rest by id.

    `world` are the names of all objects that the planner has, `attached` of those in the robot's hand: these are the
    robot's until it lets go. An object that somebody removed, or that a restarted planner lost, is added again.
    """
    gone = sorted(name for name in world if names.is_ours(name) and name not in wanted and name not in attached)
    changes = [Change(Operation.REMOVE, name) for name in gone]
    for name, body in sorted(wanted.items()):
        if name in attached:
            continue
        before = told.get(name)
        if name not in world or before is None or before.shape_key != body.shape_key:
            changes.append(Change(Operation.ADD, name, body))
        elif _moved(before.T_world_body, body.T_world_body):
            changes.append(Change(Operation.MOVE, name, body))
    return changes


def told_after(
    changes: Collection[Change], told: Mapping[str, Told], attached: Collection[str], names: Collection[str]
) -> dict[str, Told]:
    """What the planner knows once it has taken the changes. What is or was attached is told anew when it is let go."""
    after = {name: one for name, one in told.items() if name in names and name not in attached}
    for change in changes:
        if change.body is None:
            after.pop(change.id, None)
        else:
            after[change.id] = Told(change.body.shape_key, change.body.T_world_body)
    return after


def _moved(T_a: Float64[np.ndarray, "4 4"], T_b: Float64[np.ndarray, "4 4"]) -> bool:
    distance_m = float(np.linalg.norm(T_a[:3, 3] - T_b[:3, 3]))
    cosine = (np.trace(T_a[:3, :3].T @ T_b[:3, :3]) - 1) / 2
    return distance_m > MIN_MOVE_M or float(np.arccos(np.clip(cosine, -1, 1))) > MIN_TURN_RAD
