"""Move a managed node through its states, and change its parameters, as `ros2 lifecycle` and `ros2 param` do."""

from typing import Any

from harness import Client
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters, ListParameters, SetParametersAtomically
from rclpy.parameter import Parameter, parameter_value_to_python

TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "cleanup": Transition.TRANSITION_CLEANUP,
}


class ManagedClient:
    """One managed node from outside."""

    def __init__(self, ros: Client, node: str) -> None:
        self._ros, self._node = ros, node

    def change(self, transition: str) -> bool:
        request = ChangeState.Request(transition=Transition(id=TRANSITIONS[transition]))
        return self._ros.call(ChangeState, f"{self._node}/change_state", request).success

    @property
    def state(self) -> str:
        return self._ros.call(GetState, f"{self._node}/get_state", GetState.Request()).current_state.label

    def set(self, **values: Any) -> str:
        """Set all or none; '' or the reason. Names are written with __ for the dot."""
        parameters = [
            Parameter(name.replace("__", "."), value=value).to_parameter_msg() for name, value in values.items()
        ]
        request = SetParametersAtomically.Request(parameters=parameters)
        result = self._ros.call(SetParametersAtomically, f"{self._node}/set_parameters_atomically", request).result
        return "" if result.successful else result.reason

    def dump(self) -> dict[str, Any]:
        """Every parameter, as `ros2 param dump` finds them."""
        names = self._ros.call(ListParameters, f"{self._node}/list_parameters", ListParameters.Request()).result.names
        values = self._ros.call(
            GetParameters, f"{self._node}/get_parameters", GetParameters.Request(names=names)
        ).values
        return {name: parameter_value_to_python(value) for name, value in zip(names, values, strict=True)}
