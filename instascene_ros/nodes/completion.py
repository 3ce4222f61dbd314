"""Node `completion`: completes one object of the scene node's map, as a service or as an action."""

import sys
from collections.abc import Callable
from time import monotonic

from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.node import Node

from instascene_ros.action import CompleteObject as CompleteObjectAction
from instascene_ros.adapters.completer import Completer
from instascene_ros.adapters.completion_config import MAX_WAITING, CompletionNodeConfig
from instascene_ros.adapters.completion_desk import CompletionDesk
from instascene_ros.adapters.completion_outputs import CompletionOutputs
from instascene_ros.adapters.error_codes import Codes
from instascene_ros.adapters.job_queue import Progress
from instascene_ros.adapters.logs import forward_logging
from instascene_ros.adapters.parameters import declare
from instascene_ros.adapters.qos import latched_qos
from instascene_ros.adapters.scene_client import SceneClient
from instascene_ros.adapters.spinning import run
from instascene_ros.adapters.stamps import duration_of_s, s_of_duration
from instascene_ros.core.config import CompletionConfig, Config
from instascene_ros.core.protocols import Prior
from instascene_ros.models import make_prior
from instascene_ros.msg import InstanceArray
from instascene_ros.srv import CompleteObject

# One for every request that waits, and some for cancels, refusals and the scene node's answers.
NUM_THREADS = MAX_WAITING + 4
GOODBYE_S = 0.5


class CompletionNode(Node):
    """Wiring; `make_prior` (name, config) builds the methods that requests name."""

    crash: BaseException | None = None

    def __init__(self, make_prior: Callable[[str, Config], Prior] = make_prior) -> None:
        super().__init__("completion", namespace="instascene")
        forward_logging(self.get_logger())
        config = declare(self, CompletionNodeConfig)
        method_config = declare(self, CompletionConfig, "completion.")
        requests, news = ReentrantCallbackGroup(), MutuallyExclusiveCallbackGroup()
        outputs = CompletionOutputs(self, config.max_marker_faces)
        scene = SceneClient(self, requests, config.observe_timeout_s)
        completer = Completer(method_config, scene.observe, outputs.current_map_id, config.mesh_dir, config.cache_size)
        self._desk = CompletionDesk(
            config, completer, lambda name: make_prior(name, Config(completion=method_config)), outputs.add
        )
        self._desk.prior(config.method)  # a missing library is an error now, not at the first request
        self.create_subscription(InstanceArray, "instances", outputs.follow, latched_qos(), callback_group=news)
        self.create_service(CompleteObject, "complete_object", self._serve, callback_group=requests)
        self._action = ActionServer(
            self, CompleteObjectAction, "complete_object", self._execute, callback_group=requests,
            cancel_callback=lambda _: CancelResponse.ACCEPT, result_timeout=config.result_timeout_s,
        )  # fmt: skip
        self.get_logger().info(f"completes objects; method {config.method!r} unless a request names another")

    def close(self) -> None:
        """End the work. Whoever waits is told CANCELED: those answers still leave through the executor."""
        self._desk.close()
        last_s = monotonic() + GOODBYE_S
        while monotonic() < last_s:
            self.executor.spin_once(timeout_sec=0.05)

    def _serve(self, request: CompleteObject.Request, response: CompleteObject.Response) -> CompleteObject.Response:
        self._desk.answer(request, response, s_of_duration(request.timeout), lambda: False, lambda _: None)
        return response

    def _execute(self, goal: ServerGoalHandle) -> CompleteObjectAction.Result:
        started_s, result = monotonic(), CompleteObjectAction.Result()
        limit_s = s_of_duration(goal.request.time_limit)

        def tell(now: Progress) -> None:
            feedback = CompleteObjectAction.Feedback(stage=now.stage, progress=now.fraction, message=now.message)
            goal.publish_feedback(feedback)

        self._desk.answer(goal.request, result, limit_s, lambda: goal.is_cancel_requested, tell)
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
    sys.exit(run(CompletionNode, NUM_THREADS))


if __name__ == "__main__":
    main()
