"""A client of the completion action."""

from collections.abc import Callable
from threading import Event
from typing import Any

from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.task import Future

from instascene_ros.action import CompleteObject
from instascene_ros.adapters.completed_objects import completed_of
from instascene_ros.adapters.error_codes import Codes, RequestTimeoutError, error_of
from instascene_ros.core.objects import CompletedObject

POLL_S = 0.2


class CompletionCaller:
    """Sends goals and waits, on a thread that is not the executor's.

    The requests themselves leave on the executor's thread: rclpy's action client takes an answer that is faster than
    its own bookkeeping on another thread for nobody's, and the goal would wait for ever.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._client = ActionClient(node, CompleteObject, "complete_object")

    @property
    def ready(self) -> bool:
        """The completion node is there."""
        return self._client.server_is_ready()

    def complete(
        self, instance_id: int, timeout_s: float, tell: Callable[[float, str], None], check: Callable[[], None]
    ) -> CompletedObject:
        """Complete one object; `tell` hears progress 0..1 and words, `check` may raise to give up.

        Raises:
            InstasceneError: what the node answers.
        """
        goal = CompleteObject.Goal(instance_id=instance_id)

        def heard(message: Any) -> None:
            tell(message.feedback.progress, message.feedback.message)

        handle = self._answer(lambda: self._client.send_goal_async(goal, heard), timeout_s, check)
        result = self._answer(handle.get_result_async, timeout_s, check).result
        if result.error_code != Codes.NONE:
            raise error_of(result.error_code, result.error_msg)
        return completed_of(result.object)

    def _answer(self, ask: Callable[[], Future], timeout_s: float, check: Callable[[], None]) -> Any:
        """Ask on the executor's thread and wait here."""
        asked = self._node.executor.create_task(ask)
        _wait(asked, timeout_s, check)
        _wait(asked.result(), timeout_s, check)
        return asked.result().result()


def _wait(future: Future, timeout_s: float, check: Callable[[], None]) -> None:
    done, waited_s = Event(), 0.0
    future.add_done_callback(lambda _: done.set())
    while not done.wait(POLL_S):
        check()
        waited_s += POLL_S
        if waited_s > timeout_s:
            raise RequestTimeoutError(f"the completion node did not answer within {timeout_s:g} s")
