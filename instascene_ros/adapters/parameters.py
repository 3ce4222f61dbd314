"""ROS parameters <-> frozen dataclasses: one field, one parameter; nested dataclasses are groups joined by a dot."""

from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

Group = TypeVar("Group")
LARGEST_INTEGER = 2**63 - 1


def declare(node: Node, group: type[Group], prefix: str = "") -> Group:
    """Declare every field of the group as a parameter and build the group from the values given at start.

    Raises:
        rclpy.exceptions.ParameterException: a value of another type or out of range.
        ValueError: what the group itself refuses.
    """
    values = {}
    for f in fields(group):
        name = f"{prefix}{f.name}"
        values[f.name] = declare(node, f.type, f"{name}.") if is_dataclass(f.type) else _declare_field(node, name, f)
    return group(**values)


def flatten(group: Any, prefix: str = "") -> dict[str, Any]:
    """Every parameter of a configuration by its dotted name."""
    flat: dict[str, Any] = {}
    for f in fields(group):
        value, name = getattr(group, f.name), f"{prefix}{f.name}"
        flat.update(flatten(value, f"{name}.") if is_dataclass(value) else {name: value})
    return flat


def _declare_field(node: Node, name: str, f: Field) -> Any:
    if f.default is MISSING:
        raise TypeError(f"field {name} has no default: declare it with knob(default, description, ...)")
    default = list(f.default) if isinstance(f.default, tuple) else f.default
    value = node.declare_parameter(name, default, _descriptor(f)).value
    return tuple(value) if isinstance(f.default, tuple) else value


def _descriptor(f: Field) -> ParameterDescriptor:
    """Read-only: configurations are frozen, so a change needs a restart, and `ros2 param set` says so."""
    descriptor = ParameterDescriptor(description=f.metadata["description"], read_only=True)
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
