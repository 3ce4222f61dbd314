"""Parameters of a managed node that change: checked whole before any is set, applied after all are."""

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any, TypeVar

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from instascene_ros.adapters.node_config import InvalidParameterError
from instascene_ros.adapters.parameters import declare, flatten, live_names, replaced

Group = TypeVar("Group")


class LiveParameters:
    """The node's configurations as they stand now, each group of them by its dataclass.

    Live parameters change at any time and `apply` hears of it; the others only while `is_free()`: they are read when
    the node is configured.
    """

    def __init__(
        self, node: Node, groups: dict[type, str], is_free: Callable[[], bool], apply: Callable[[], None]
    ) -> None:
        self._node, self._prefixes, self._is_free, self._apply = node, groups, is_free, apply
        self._groups: dict[type, Any] = {g: declare(node, g, prefix, fixed=False) for g, prefix in groups.items()}
        self._live = set().union(*(live_names(group, prefix) for group, prefix in groups.items()))
        self._known = set().union(*(flatten(self._groups[group], prefix) for group, prefix in groups.items()))
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._take)

    def __getitem__(self, group: type[Group]) -> Group:
        return self._groups[group]

    def _check(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        try:
            self._with(parameters)
        except (ValueError, TypeError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _take(self, parameters: Sequence[Parameter]) -> None:
        self._groups = self._with(parameters)
        self._apply()

    def _with(self, parameters: Sequence[Parameter]) -> dict[type, Any]:
        """All groups with the new values.

        Raises:
            InvalidParameterError: a value that cannot be used, or not now.
        """
        given = {p.name: p.value for p in parameters if p.name in self._known}
        for name, value in given.items():
            _check_finite(name, value)
        fixed = sorted(set(given) - self._live)
        if fixed and not self._is_free():
            name = self._node.get_fully_qualified_name()
            raise InvalidParameterError(
                f"{', '.join(fixed)}: read when the node is configured; deactivate it and clean it up first "
                f"(ros2 lifecycle set {name} deactivate, then cleanup), or restart it with the new value"
            )
        return {group: replaced(self._groups[group], given, prefix) for group, prefix in self._prefixes.items()}


def _check_finite(name: str, value: Any) -> None:
    numbers = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(number, float) and not isfinite(number) for number in numbers):
        raise InvalidParameterError(f"parameter {name} is {value}; expected finite numbers")
