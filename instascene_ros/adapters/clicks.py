"""Clicks in RViz: *Publish Point* selects the instance there, and completes it where parameters say so."""

from collections.abc import Callable
from concurrent.futures import Future
from logging import getLogger

from geometry_msgs.msg import PointStamped
from rclpy.node import Node

from instascene_ros.adapters.scene_session import SceneSession
from instascene_ros.core.errors import InstasceneError
from instascene_ros.srv import CompleteObject

log = getLogger(__name__)


class Clicks:
    """RViz publishes on /clicked_point whatever the namespace: remap it where several robots share a screen."""

    def __init__(self, node: Node, session: Callable[[], SceneSession | None]) -> None:
        self._node, self._session = node, session
        self._complete = node.create_client(CompleteObject, "complete_object")
        node.create_subscription(PointStamped, "/clicked_point", self._on_click, 10)

    def _on_click(self, point: PointStamped) -> None:
        session = self._session()
        if session is not None:
            selected = session.worker.call(lambda: session.owner.select(point))
            selected.add_done_callback(lambda done: self._selected(done, session))

    def _selected(self, done: "Future[int]", session: SceneSession) -> None:
        """On the scene thread."""
        if done.cancelled():
            return
        try:
            instance_id = done.result()
        except InstasceneError as error:
            log.warning("nothing is selected: %s", error)
            return
        log.info("selected instance %d", instance_id)
        session.owner.flush()
        if session.config.complete_on_click and self._node.executor is not None:
            self._node.executor.create_task(self._ask, instance_id, session.owner.counters.map_id)

    def _ask(self, instance_id: int, map_id: str) -> None:
        """On the executor's thread."""
        if not self._complete.service_is_ready():
            log.warning("instance %d is not completed: no completion node is there", instance_id)
            return
        asked = self._complete.call_async(CompleteObject.Request(instance_id=instance_id, map_id=map_id))
        asked.add_done_callback(lambda done: _say(instance_id, done.result()))


def _say(instance_id: int, answer: CompleteObject.Response) -> None:
    if answer.error_code != CompleteObject.Response.NONE:
        log.warning("instance %d is not completed: %s [code %d]", instance_id, answer.error_msg, answer.error_code)
    else:
        log.info("instance %d is completed", instance_id)
