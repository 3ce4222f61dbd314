"""The scene node as the completion worker sees it: its map id, and observations of its objects."""

from collections.abc import Callable
from threading import Event
from time import monotonic, sleep

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node

from instascene_ros.adapters.error_codes import Codes, NoMapError, RequestTimeoutError, error_of
from instascene_ros.core.errors import CancelledError
from instascene_ros.srv import ObserveObject

POLL_S = 0.05


class SceneClient:
    """Calls `observe_object` from a thread that is not the executor's."""

    def __init__(self, node: Node, group: CallbackGroup) -> None:
        self._client = node.create_client(ObserveObject, "observe_object", callback_group=group)
        self._name = node.resolve_service_name("observe_object")

    def observe(
        self, request: ObserveObject.Request, cancelled: Callable[[], bool], timeout_s: float
    ) -> ObserveObject.Response:
        """Ask and wait.

        Raises:
            NoMapError: no scene node is there.
            RequestTimeoutError: no answer in time.
            CancelledError: `cancelled` says so.
            InstasceneError: the named error in the answer.
        """
        deadline_s = monotonic() + timeout_s
        while not self._client.service_is_ready():
            self._check(cancelled, deadline_s, NoMapError(f"no node serves {self._name}: is the scene node running?"))
            sleep(POLL_S)
        answered = Event()
        future = self._client.call_async(request)
        future.add_done_callback(lambda _: answered.set())
        late = RequestTimeoutError(f"{self._name} did not answer within {timeout_s:g} s")
        try:
            while not answered.wait(POLL_S):
                self._check(cancelled, deadline_s, late)
        finally:
            self._client.remove_pending_request(future)
        response = future.result()
        if response.error_code != Codes.NONE:
            raise error_of(response.error_code, response.error_msg)
        return response

    @staticmethod
    def _check(cancelled: Callable[[], bool], deadline_s: float, late: Exception) -> None:
        if cancelled():
            raise CancelledError("cancelled while the object was being observed")
        if monotonic() > deadline_s:
            raise late
