"""Talk to the completion node as a client would, in tests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness import NAMESPACE, Client, NodeProcess, client, node_process, wait_until
from rclpy.action import ActionClient
from rclpy.executors import Executor
from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger

from instascene_ros.action import CompleteObject as CompleteObjectAction
from instascene_ros.srv import CompleteObject

LONG_S = 60.0


class Goal:
    """One action goal: its feedback so far, cancel, and its end."""

    def __init__(self, actions: ActionClient, executor: Executor, **fields: Any) -> None:
        self.feedback: list[CompleteObjectAction.Feedback] = []
        self._executor = executor
        goal = CompleteObjectAction.Goal(**fields)
        sent = self._ask(lambda: actions.send_goal_async(goal, lambda m: self.feedback.append(m.feedback)))
        wait_until(sent.done, LONG_S, lambda: "the goal is answered")
        self.handle = sent.result()
        assert self.handle.accepted
        self._ended = self._ask(self.handle.get_result_async)

    def _ask(self, question: Callable[[], Future]) -> Future:
        """On the executor's thread: rclpy's action client loses answers that come while another thread still asks."""
        task = self._executor.create_task(question)
        wait_until(task.done, LONG_S, lambda: "the executor runs")
        return task.result()

    @property
    def stages(self) -> list[int]:
        """Without repetitions."""
        numbers = [f.stage for f in self.feedback]
        return [n for i, n in enumerate(numbers) if i == 0 or n != numbers[i - 1]]

    def wait_for_stage(self, stage: int) -> None:
        wait_until(lambda: stage in self.stages, LONG_S, lambda: f"stage {stage}; had {self.stages}")

    @property
    def done(self) -> bool:
        return self._ended.done()

    def cancel(self) -> Any:
        """The cancel response."""
        asked = self._ask(self.handle.cancel_goal_async)
        wait_until(asked.done, LONG_S, lambda: "the cancel is answered")
        return asked.result()

    def end(self) -> tuple[int, CompleteObjectAction.Result]:
        """(GoalStatus, result)."""
        wait_until(self._ended.done, LONG_S, lambda: f"the goal ends; stages so far {self.stages}")
        return self._ended.result().status, self._ended.result().result


class Completions:
    """A scene stand-in, the completion node whose jobs can be held, and a client of both."""

    def __init__(self, ros: Client, scene: NodeProcess, completion: NodeProcess) -> None:
        self.ros, self.scene, self.completion = ros, scene, completion
        self._actions = ActionClient(ros.node, CompleteObjectAction, "complete_object")
        self._seed = 1000

    def new_seed(self) -> int:
        """So that no test meets another's cached result."""
        self._seed += 1
        return self._seed

    def call(self, **fields: Any) -> CompleteObject.Response:
        return self.ros.call(CompleteObject, "complete_object", CompleteObject.Request(**fields), LONG_S)

    def send(self, **fields: Any) -> Goal:
        wait_until(self._actions.server_is_ready, LONG_S, lambda: "the action is served")
        return Goal(self._actions, self.ros.executor, **fields)

    @contextmanager
    def shut_gate(self) -> Iterator[None]:
        """Methods `hold-<stage>` wait at that stage."""
        self.set_gate(False)
        try:
            yield
        finally:
            self.set_gate(True)

    def set_gate(self, is_open: bool) -> None:
        self.ros.call(SetBool, "gate", SetBool.Request(data=is_open))

    @contextmanager
    def silent_scene(self) -> Iterator[None]:
        """The scene node does not answer."""
        self.ros.call(SetBool, "hold", SetBool.Request(data=True))
        try:
            yield
        finally:
            self.ros.call(SetBool, "hold", SetBool.Request(data=False))

    def reset_map(self) -> None:
        assert self.ros.call(Trigger, "reset", Trigger.Request()).success

    def observations(self, instance_id: int) -> int:
        """How often the scene node was asked about an object."""
        return self.scene.lines.count(f"observe {instance_id}")


@contextmanager
def completion_stack(mesh_dir: str, namespace: str = NAMESPACE) -> Iterator[Completions]:
    with (
        node_process("stand_in_scene", namespace=namespace) as scene,
        node_process("gated_completion", {"mesh_dir": mesh_dir}, namespace) as completion,
        client(namespace) as ros,
    ):
        scene.wait_for_output("stand-in scene is up", LONG_S)
        completion.wait_for_output("completes objects", LONG_S)
        yield Completions(ros, scene, completion)
