"""Node `mock_server`: the interface of `scene` and `completion` over three known objects, without camera, GPU or torch.

For the programs of others: start it instead of both, and everything that they publish and serve is there.
"""

import sys
from collections.abc import Callable
from time import monotonic, sleep
from uuid import uuid4

import numpy as np
from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from instascene_ros.action import CompleteObject as CompleteObjectAction
from instascene_ros.adapters.adapter_configs import MockServerNodeConfig
from instascene_ros.adapters.clouds import joined
from instascene_ros.adapters.error_codes import Codes, MapChangedError, code_of
from instascene_ros.adapters.instance_messages import instance_array
from instascene_ros.adapters.markers import instance_markers
from instascene_ros.adapters.mock_objects import (
    METHOD,
    MockObject,
    completed_object,
    mock_instances,
    mock_objects,
    object_cloud,
    surfel_cloud,
)
from instascene_ros.adapters.parameters import declare
from instascene_ros.adapters.publishing import publisher
from instascene_ros.adapters.spinning import run
from instascene_ros.core import topics
from instascene_ros.core.errors import BackendUnavailableError, CancelledError, InstasceneError, UnknownInstanceError
from instascene_ros.msg import CompletedObject, InstanceArray, InstanceCloud, MapStatus
from instascene_ros.srv import CompleteObject, GetInstances, ObserveObject

NUM_THREADS, POLL_S, MAX_SELECT_M = 6, 0.05, 0.25
STAGES = ((1, "observe"), (2, "generate"), (3, "optimize"), (4, "mesh"))
Asked = CompleteObject.Request | CompleteObjectAction.Goal | ObserveObject.Request
Tell = Callable[[int, float, str], None]


class MockServer(Node):
    """Stateless but for the map id, which `reset` renews, and what was completed."""

    crash: BaseException | None = None

    def __init__(self) -> None:
        super().__init__("mock_server", namespace="instascene")
        self._config = declare(self, MockServerNodeConfig)
        self._objects = {one.id: one for one in mock_objects()}
        self._map_id, self._sequence, self._new_map = str(uuid4()), 0, True
        self._completed: dict[int, CompletedObject] = {}
        self._create_publishers()
        group = ReentrantCallbackGroup()
        self.create_service(GetInstances, "get_instances", self._get_instances, callback_group=group)
        self.create_service(ObserveObject, "observe_object", self._observe, callback_group=group)
        self.create_service(CompleteObject, "complete_object", self._serve, callback_group=group)
        self.create_service(Trigger, "reset", self._reset, callback_group=group)
        self._action = ActionServer(
            self, CompleteObjectAction, "complete_object", self._execute, callback_group=group,
            cancel_callback=lambda _: CancelResponse.ACCEPT, result_timeout=60,
        )  # fmt: skip
        self.create_timer(1 / self._config.rate_hz, self._publish)
        names = ", ".join(f"{one.id} {one.name}" for one in self._objects.values())
        self.get_logger().info(f"stands in for scene and completion with {names} in {self._config.map_frame!r}")

    def close(self) -> None:
        """Nothing to stop: completions that still run end by themselves."""

    def _create_publishers(self) -> None:
        self._instances = publisher(self, topics.INSTANCES)
        self._points = publisher(self, topics.INSTANCE_POINTS)
        self._markers = publisher(self, topics.INSTANCE_MARKERS)
        self._completed_objects = publisher(self, topics.COMPLETED)
        self._status = publisher(self, topics.STATUS)

    @property
    def _header(self) -> Header:
        return Header(frame_id=self._config.map_frame, stamp=self.get_clock().now().to_msg())

    def _array(self, header: Header, ids: list[int]) -> InstanceArray:
        objects = tuple(one for one in self._objects.values() if not ids or one.id in ids)
        instances = mock_instances(objects, header.stamp.sec * 10**9 + header.stamp.nanosec)
        array = instance_array(instances, self._map_id, header, dict.fromkeys(self._completed, 1))
        array.sequence = self._sequence
        for message in array.instances:
            message.name = self._objects[message.id].name
        return array

    def _publish(self) -> None:
        header = self._header
        self._sequence += 1
        array = self._array(header, [])
        self._instances.publish(array)
        markers, _ = instance_markers(array, (), self._new_map)
        self._new_map = False
        self._markers.publish(markers)
        clouds = [
            object_cloud(one, header, instance_id=np.full(len(one.vertices_m), one.id, np.uint32))
            for one in self._objects.values()
        ]
        self._points.publish(joined(clouds))
        status = MapStatus(header=header, map_id=self._map_id, state=MapStatus.STATE_MAPPING, message="mock")
        status.num_instances = len(self._objects)
        self._status.publish(status)

    def _get_instances(self, request: GetInstances.Request, response: GetInstances.Response) -> GetInstances.Response:
        unknown = sorted(set(request.ids) - set(self._objects))
        if unknown:
            error = UnknownInstanceError(f"there is no instance {unknown} in the map; it has {sorted(self._objects)}")
            response.error_code, response.error_msg = code_of(error), str(error)
            return response
        header = self._header
        response.instances = self._array(header, list(request.ids))
        ids = [message.id for message in response.instances.instances]
        if request.include_clouds:
            response.clouds = [
                InstanceCloud(instance_id=i, revision=1, cloud=object_cloud(self._objects[i], header)) for i in ids
            ]
        if request.include_completed:
            response.completed = [self._completed[i] for i in ids if i in self._completed]
        return response

    def _observe(self, request: ObserveObject.Request, response: ObserveObject.Response) -> ObserveObject.Response:
        try:
            one = self._chosen(request)
        except InstasceneError as error:
            response.error_code, response.error_msg = code_of(error), str(error)
            return response
        response.header, response.map_id = self._header, self._map_id
        response.instance = self._array(response.header, [one.id]).instances[0]
        response.surfels = surfel_cloud(one, response.header)
        return response

    def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._map_id, self._completed, self._new_map = str(uuid4()), {}, True
        response.success, response.message = True, f"new map {self._map_id}"
        return response

    # Completion -------------------------------------------------------------------------------------------------

    def _chosen(self, asked: Asked) -> MockObject:
        """The object that is asked for, by id or by the nearest point."""
        if asked.map_id not in ("", self._map_id):
            raise MapChangedError(f"the request is about map {asked.map_id} but the map is {self._map_id} now")
        if asked.select_by == CompleteObject.Request.SELECT_POINT:
            p = asked.point.point
            distances_m = {i: np.linalg.norm(one.position_m - [p.x, p.y, p.z]) for i, one in self._objects.items()}
            nearest = min(distances_m, key=distances_m.__getitem__)
            if distances_m[nearest] > MAX_SELECT_M:
                raise UnknownInstanceError(f"no instance is within {MAX_SELECT_M} m of the point")
            return self._objects[nearest]
        if asked.instance_id not in self._objects:
            raise UnknownInstanceError(
                f"there is no instance {asked.instance_id} in the map; it has {sorted(self._objects)}"
            )
        return self._objects[asked.instance_id]

    def _complete(self, asked: Asked, cancelled: Callable[[], bool], tell: Tell) -> tuple[CompletedObject, bool]:
        """The object, and whether it was known already.

        Raises:
            InstasceneError: what the real node would refuse, and cancels.
        """
        one = self._chosen(asked)
        if asked.method not in ("", "auto", METHOD):
            raise BackendUnavailableError(f"there is no completion method {asked.method!r}; expected {METHOD!r}")
        known = self._completed.get(one.id)
        if known is not None and known.seed == asked.seed and not asked.force:
            return known, True
        for number, (stage, name) in enumerate(STAGES):
            tell(stage, number / len(STAGES), name)
            until_s = monotonic() + self._config.completion_time_s / len(STAGES)
            while monotonic() < until_s:
                if cancelled():
                    raise CancelledError(f"cancelled during {name}")
                sleep(POLL_S)
        completed = completed_object(one, self._map_id, self._header, asked.seed)
        self._completed[one.id] = completed
        self._completed_objects.publish(completed)
        return completed, False

    def _answer(
        self, asked: Asked, answer: CompleteObject.Response | CompleteObjectAction.Result,
        cancelled: Callable[[], bool], tell: Tell,
    ) -> None:  # fmt: skip
        try:
            answer.object, answer.from_cache = self._complete(asked, cancelled, tell)
        except InstasceneError as error:
            answer.error_code, answer.error_msg = code_of(error), str(error)

    def _serve(self, request: CompleteObject.Request, response: CompleteObject.Response) -> CompleteObject.Response:
        self._answer(request, response, lambda: False, lambda *_: None)
        return response

    def _execute(self, goal: ServerGoalHandle) -> CompleteObjectAction.Result:
        def tell(stage: int, progress: float, message: str) -> None:
            goal.publish_feedback(CompleteObjectAction.Feedback(stage=stage, progress=progress, message=message))

        result = CompleteObjectAction.Result()
        self._answer(goal.request, result, lambda: goal.is_cancel_requested, tell)
        if result.error_code == Codes.NONE:
            goal.succeed()
        elif result.error_code == Codes.CANCELED:
            goal.canceled()
        else:
            goal.abort()
        return result


def main() -> None:
    """Run the node until Ctrl-C."""
    sys.exit(run(MockServer, NUM_THREADS))


if __name__ == "__main__":
    main()
