"""Node `completion`: completes one object of the scene node's map, as a service or as an action."""

from collections.abc import Callable
from time import monotonic

from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup

from instascene_ros.action import CompleteObject as CompleteObjectAction
from instascene_ros.adapters.completer import Completer
from instascene_ros.adapters.completion_config import MAX_WAITING, CompletionNodeConfig
from instascene_ros.adapters.completion_desk import Answer, Asked, CompletionDesk, Tell
from instascene_ros.adapters.completion_outputs import CompletionOutputs
from instascene_ros.adapters.counters import release_memory
from instascene_ros.adapters.error_codes import Codes
from instascene_ros.adapters.job_queue import Progress
from instascene_ros.adapters.live_parameters import LiveParameters
from instascene_ros.adapters.managed_node import ManagedNode, started
from instascene_ros.adapters.qos import latched_qos
from instascene_ros.adapters.scene_client import SceneClient
from instascene_ros.adapters.spinning import leave, run
from instascene_ros.adapters.stamps import duration_of_s, s_of_duration
from instascene_ros.core.config import CompletionConfig, Config
from instascene_ros.core.errors import InvalidFrameError
from instascene_ros.core.protocols import Prior
from instascene_ros.core.topics import COMPLETED
from instascene_ros.models import make_prior
from instascene_ros.msg import CompletedObject, InstanceArray
from instascene_ros.srv import CompleteObject, ObserveObject

# One for every request that waits, and some for cancels, refusals and the scene node's answers.
NUM_THREADS = MAX_WAITING + 4
GOODBYE_S = 0.5


class CompletionNode(ManagedNode):
    """A managed node. configure: load the method; activate: take requests; deactivate: refuse them; cleanup: free all.

    `make_prior` (name, config) builds the methods that requests name.
    """

    def __init__(self, make_prior: Callable[[str, Config], Prior] = make_prior) -> None:
        super().__init__("completion")
        self._make_prior = make_prior
        self._desk: CompletionDesk | None = None
        self._outputs: CompletionOutputs | None = None
        self._settings = LiveParameters(
            self, {CompletionNodeConfig: "", CompletionConfig: "completion."}, lambda: self._desk is None,
            self._reconfigure,
        )  # fmt: skip
        config, self._requests = self._settings[CompletionNodeConfig], ReentrantCallbackGroup()
        self._scene = SceneClient(self, self._requests)
        news = MutuallyExclusiveCallbackGroup()
        self.create_subscription(InstanceArray, "instances", self._follow, latched_qos(), callback_group=news)
        self.create_subscription(
            CompletedObject, "completed_objects", self._hear, latched_qos(COMPLETED.depth), callback_group=news
        )
        self.create_service(CompleteObject, "complete_object", self._serve, callback_group=self._requests)
        self._action = ActionServer(
            self, CompleteObjectAction, "complete_object", self._execute, callback_group=self._requests,
            cancel_callback=lambda _: CancelResponse.ACCEPT, result_timeout=config.result_timeout_s,
        )  # fmt: skip

    def configure(self) -> None:
        """Load the method that requests get which name none.

        Raises:
            BackendUnavailableError: its library or weights are missing.
        """
        config, method_config = self._settings[CompletionNodeConfig], self._settings[CompletionConfig]
        core = Config(completion=method_config)
        self._outputs = outputs = CompletionOutputs(self, config.max_marker_faces)
        completer = Completer(
            method_config, self._observe, outputs.current_map_id, outputs.heard_of, config.mesh_dir, config.cache_size
        )  # fmt: skip
        self._desk = CompletionDesk(config, completer, lambda name: self._make_prior(name, core), outputs.add)
        self._desk.prior(config.method)
        self.get_logger().info(f"completes objects; method {config.method!r} unless a request names another")

    def activate(self) -> None:
        """Take requests."""
        self._desk.open()

    def deactivate(self) -> None:
        """Take no more requests; those that wait are told CANCELED."""
        self._desk.shut()

    def cleanup(self) -> None:
        """Free the methods, and what was completed."""
        desk, self._desk = self._desk, None
        outputs, self._outputs = self._outputs, None
        if desk is not None:
            desk.close()
        if outputs is not None:
            outputs.close()
        release_memory()

    def close(self) -> None:
        """End the work. Whoever waits is told CANCELED: those answers still leave through the executor."""
        waiting = self._desk is not None and self._desk.num_waiting
        super().close()
        last_s = monotonic() + GOODBYE_S
        while waiting and monotonic() < last_s:
            self.executor.spin_once(timeout_sec=0.05)

    def _observe(self, request: ObserveObject.Request, cancelled: Callable[[], bool]) -> ObserveObject.Response:
        return self._scene.observe(request, cancelled, self._settings[CompletionNodeConfig].observe_timeout_s)

    def _reconfigure(self) -> None:
        config = self._settings[CompletionNodeConfig]
        if self._desk is not None:
            self._desk.configure(config)
            self._outputs.max_marker_faces = config.max_marker_faces

    def _follow(self, array: InstanceArray) -> None:
        outputs = self._outputs
        if outputs is not None:
            outputs.follow(array)

    def _hear(self, message: CompletedObject) -> None:
        outputs = self._outputs
        if outputs is not None:
            try:
                outputs.hear(message)
            except (InvalidFrameError, KeyError, ValueError) as error:  # another node's fault, not ours
                self.get_logger().warning(f"completed object {message.instance_id} cannot be shown: {error}")

    def _answer(self, asked: Asked, answer: Answer, timeout_s: float, gave_up: Callable[[], bool], tell: Tell) -> None:
        desk = self._desk
        if desk is not None and desk.is_open:
            desk.answer(asked, answer, timeout_s, gave_up, tell)
        else:
            answer.error_code = Codes.METHOD_UNAVAILABLE
            answer.error_msg = f"{self.full_name} is {self.state}: ros2 lifecycle set {self.full_name} activate"

    def _serve(self, request: CompleteObject.Request, response: CompleteObject.Response) -> CompleteObject.Response:
        self._answer(request, response, s_of_duration(request.timeout), lambda: False, lambda _: None)
        return response

    def _execute(self, goal: ServerGoalHandle) -> CompleteObjectAction.Result:
        started_s, result = monotonic(), CompleteObjectAction.Result()
        limit_s = s_of_duration(goal.request.time_limit)

        def tell(now: Progress) -> None:
            feedback = CompleteObjectAction.Feedback(stage=now.stage, progress=now.fraction, message=now.message)
            goal.publish_feedback(feedback)

        self._answer(goal.request, result, limit_s, lambda: goal.is_cancel_requested, tell)
        result.total_time = duration_of_s(monotonic() - started_s)
        if result.error_code == Codes.NONE:
            goal.succeed()
        elif result.error_code == Codes.CANCELED and goal.is_cancel_requested:
            goal.canceled()
        else:
            goal.abort()
        return result


def main() -> None:
    """Run the node until Ctrl-C."""
    leave(run(lambda: started(CompletionNode()), NUM_THREADS))


if __name__ == "__main__":
    main()
