"""ROS parameters <-> frozen dataclasses: one field, one parameter; nested dataclasses are groups joined by a dot."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from instascene_ros.adapters.knobs import is_fixed, is_live

Group = TypeVar("Group")
LARGEST_INTEGER = 2**63 - 1


def declare(node: Node, group: type[Group], prefix: str = "", fixed: bool = True) -> Group:
    """Declare every field of the group as a parameter and build the group from the values given at start.

    `fixed`: read-only. Otherwise the caller guards changes.

    Raises:
        rclpy.exceptions.ParameterException: a value of another type or out of range.
        ValueError: what the group itself refuses.
    """
    values = {}
    for f in fields(group):
        name = f"{prefix}{f.name}"
        values[f.name] = (
            declare(node, f.type, f"{name}.", fixed) if is_dataclass(f.type) else _declare_field(node, name, f, fixed)
        )
    return group(**values)


def flatten(group: Any, prefix: str = "") -> dict[str, Any]:
    """Every parameter of a configuration by its dotted name."""
    flat: dict[str, Any] = {}
    for f in fields(group):
        value, name = getattr(group, f.name), f"{prefix}{f.name}"
        flat.update(flatten(value, f"{name}.") if is_dataclass(value) else {name: value})
    return flat


def replaced(group: Group, given: Mapping[str, Any], prefix: str = "") -> Group:
    """The group with the given parameters instead of its own; parameters of others are ignored.

    Raises:
        ValueError: what the group itself refuses.
    """
    values = {}
    for f in fields(group):
        value, name = getattr(group, f.name), f"{prefix}{f.name}"
        if is_dataclass(value):
            values[f.name] = replaced(value, given, f"{name}.")
        elif name in given:
            values[f.name] = tuple(given[name]) if isinstance(f.default, tuple) else given[name]
    return replace(group, **values)


def live_names(group: type, prefix: str = "") -> set[str]:
    """Parameters of the group that take effect at once."""
    names = set()
    for f in fields(group):
        if is_dataclass(f.type):
            names |= live_names(f.type, f"{prefix}{f.name}.")
        elif is_live(f):
            names.add(f"{prefix}{f.name}")
    return names


def _declare_field(node: Node, name: str, f: Field, fixed: bool) -> Any:
    if f.default is MISSING:
        raise TypeError(f"field {name} has no default: declare it with knob(default, description, ...)")
    default = list(f.default) if isinstance(f.default, tuple) else f.default
    value = node.declare_parameter(name, default, _descriptor(f, fixed)).value
    return tuple(value) if isinstance(f.default, tuple) else value


def _descriptor(f: Field, fixed: bool) -> ParameterDescriptor:
    """What `ros2 param describe` says."""
    fixed = fixed or is_fixed(f)
    descriptor = ParameterDescriptor(description=f.metadata["description"], read_only=fixed)
    if not fixed and not is_live(f):
        descriptor.additional_constraints = "can be set while the node is unconfigured"
    low, high = f.metadata["low"], f.metadata["high"]
    if low is None and high is None:
        return descriptor
    if isinstance(f.default, int):
        low, high = -LARGEST_INTEGER if low is None else int(low), LARGEST_INTEGER if high is None else int(high)
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=0)]
    else:
        low, high = float("-inf") if low is None else float(low), float("inf") if high is None else float(high)
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high, step=0.0)]
    return descriptor
