"""Node `scene`: posed RGB-D images in, object instances out. Wiring only; the scene lives on a thread of its own."""

import sys
from collections.abc import Callable
from typing import TypeVar

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from instascene_ros.adapters.awaiting import awaitable
from instascene_ros.adapters.error_codes import code_of
from instascene_ros.adapters.frames import FrameMessages
from instascene_ros.adapters.health import SceneHealth
from instascene_ros.adapters.health_messages import diagnostics_message, status_message
from instascene_ros.adapters.logs import ThrottledLog, forward_logging
from instascene_ros.adapters.node_config import SceneNodeConfig
from instascene_ros.adapters.parameters import declare
from instascene_ros.adapters.qos import latched_qos
from instascene_ros.adapters.scene_inputs import SceneInputs
from instascene_ros.adapters.scene_outputs import SceneOutputs
from instascene_ros.adapters.scene_owner import SceneOwner
from instascene_ros.adapters.scene_requests import get_instances, observe_object
from instascene_ros.adapters.scenes import MakeScene, make_scene_mapper
from instascene_ros.adapters.spinning import run
from instascene_ros.adapters.worker import SceneWorker
from instascene_ros.core.config import Config
from instascene_ros.core.errors import CancelledError, InstasceneError
from instascene_ros.msg import CompletedObject, MapStatus
from instascene_ros.srv import GetInstances, ObserveObject

Answer = TypeVar("Answer")
PUMP_PERIOD_S, STATUS_PERIOD_S = 0.2, 1.0


class SceneNode(Node):
    """Inputs, outputs and services of `scene`; see the interface table in the README."""

    def __init__(self, make_scene: MakeScene = make_scene_mapper) -> None:
        super().__init__("scene", namespace="instascene")
        forward_logging(self.get_logger())
        self._config = declare(self, SceneNodeConfig)
        scene = make_scene(declare(self, Config), self._config)
        self._warn = ThrottledLog(self.get_logger().warning)
        self.crash: BaseException | None = None
        self._paused = False
        self._outputs = SceneOutputs(self, self._config.publish, self._config.map_frame)
        self._owner = SceneOwner(scene, self._outputs, self._config.depth_scale, self._warn, self._now_ns)
        self._worker: SceneWorker[FrameMessages] = SceneWorker(self._owner.process, self._on_crash)
        self._inputs = SceneInputs(self, self._config, self._deliver, self._on_jump, self._warn)
        self._health = SceneHealth(self._inputs, self._owner.counters, self._worker)
        self._create_services()
        self._create_reports()
        self._worker.start()
        self.get_logger().info(f"mapping in frame {self._config.map_frame!r}, map {scene.map_id}")

    def close(self) -> None:
        """Finish the frame at hand and end the scene thread."""
        self._worker.stop()

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    # Inputs -----------------------------------------------------------------------------------------------------

    def _deliver(self, messages: FrameMessages) -> None:
        if not self._paused:
            self._worker.offer(messages.camera, messages)

    def _on_jump(self, camera: str, distance_m: float) -> None:
        action = self._config.on_pose_jump
        self._warn(
            f"{camera} jump", f"{camera}: pose jumped {distance_m:.2f} m between frames (on_pose_jump: {action})"
        )
        if action == "reset":
            self._worker.discard_frames()
            self._worker.call(self._owner.reset)
        self._paused |= action == "pause"

    def _on_completed(self, message: CompletedObject) -> None:
        self._worker.call(lambda: self._owner.remember(message))

    def _on_crash(self, error: BaseException) -> None:
        self.crash = error  # the spin loop sees it, ends the process and raises it

    # Services: coroutines that wait for the scene thread while the executor goes on with the inputs -------------

    def _create_services(self) -> None:
        group = ReentrantCallbackGroup()
        self.create_service(GetInstances, "get_instances", self._get_instances, callback_group=group)
        self.create_service(ObserveObject, "observe_object", self._observe_object, callback_group=group)
        self.create_service(Trigger, "reset", self._reset, callback_group=group)
        self.create_service(SetBool, "pause", self._pause, callback_group=group)
        self.create_subscription(CompletedObject, "completed_objects", self._on_completed, latched_qos(32))

    async def _on_scene(self, function: Callable[[], Answer]) -> Answer:
        """Run on the scene thread between frames; raises CancelledError when the node stops first."""
        done = await awaitable(self._worker.call(function), self.executor)
        if done.cancelled():
            raise CancelledError("the scene node is stopping")
        return done.result()

    async def _get_instances(
        self, request: GetInstances.Request, response: GetInstances.Response
    ) -> GetInstances.Response:
        try:
            return await self._on_scene(lambda: get_instances(self._owner.scene, self._outputs, request))
        except InstasceneError as error:
            response.error_code, response.error_msg = code_of(error), str(error)
            return response

    async def _observe_object(
        self, request: ObserveObject.Request, response: ObserveObject.Response
    ) -> ObserveObject.Response:
        try:
            return await self._on_scene(lambda: observe_object(self._owner.scene, self._outputs, request))
        except InstasceneError as error:
            response.error_code, response.error_msg = code_of(error), str(error)
            return response

    async def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            self._worker.discard_frames()
            await self._on_scene(self._owner.reset)
            response.success, response.message = True, f"new map {self._owner.counters.map_id}"
        except InstasceneError as error:
            response.success, response.message = False, str(error)
        return response

    def _pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._paused = request.data
        response.success, response.message = True, "paused" if request.data else "mapping"
        return response

    # Reports ----------------------------------------------------------------------------------------------------

    def _create_reports(self) -> None:
        self._status = self.create_publisher(MapStatus, "status", 1)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 1)  # the one absolute name (REP-107)
        self._reported, self._watched = self._health.tally(), self._health.tally()
        self.create_timer(PUMP_PERIOD_S, self._inputs.pump)
        self.create_timer(STATUS_PERIOD_S, self._report)
        if self._config.watchdog_period_s > 0:
            self.create_timer(self._config.watchdog_period_s, self._watch)

    def _report(self) -> None:
        now = self._health.tally()
        recent, self._reported = now.since(self._reported), now
        status = status_message(self._health, self._outputs.header, self._paused, recent)
        self._status.publish(status)
        header = self._outputs.header
        header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(diagnostics_message(self._health, self.get_fully_qualified_name(), status, header))
        self._worker.call(self._owner.flush)

    def _watch(self) -> None:
        """Say what is missing; say nothing while frames are integrated."""
        now = self._health.tally()
        recent, self._watched = now.since(self._watched), now
        if recent.integrated == 0 and not self._paused:
            self.get_logger().warning("\n  ".join(self._health.describe(recent, now)))


def main(make_scene: MakeScene = make_scene_mapper) -> None:
    """Run the node until Ctrl-C."""
    sys.exit(run(lambda: SceneNode(make_scene), num_threads=1))


if __name__ == "__main__":
    main()
