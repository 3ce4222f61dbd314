"""The real completion node, whose jobs can be held at a stage: methods `hold-generate`, `hold-optimize`, `hold-mesh`.

Service `gate` (SetBool, false = shut) opens what is held. Methods `broken` and `hungry` fail as a faulty or
greedy prior would. As a process: `python -m gated_completion`.
"""

import sys
from threading import Event
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from std_srvs.srv import SetBool

from instascene_ros.adapters import completer
from instascene_ros.adapters.managed_node import started
from instascene_ros.adapters.spinning import run
from instascene_ros.core.completion import Stage
from instascene_ros.core.config import Config
from instascene_ros.core.errors import CancelledError
from instascene_ros.core.protocols import Prior
from instascene_ros.models import make_prior
from instascene_ros.nodes.completion import NUM_THREADS, CompletionNode

complete_object = completer.complete_object
gate = Event()
gate.set()


class Held:
    """A real prior under a name that says where to hold, or how to fail."""

    def __init__(self, name: str, prior: Prior) -> None:
        self.name, self.exact, self._prior = name, prior.exact, prior

    def __call__(self, *args: Any) -> Any:
        if self.name == "broken":
            raise RuntimeError("a fault of the method")
        if self.name == "hungry":
            raise MemoryError("cannot allocate 80 GiB")
        return self._prior(*args)


def make_held_prior(name: str, config: Config) -> Prior:
    held = name.startswith("hold-") or name in ("broken", "hungry")
    return Held(name, make_prior("geometric", config)) if held else make_prior(name, config)


def held_completion(observation, prior, config, seed, max_faces, progress, cancelled):  # noqa: ANN001, ANN201
    """The real one; waits at the start of the stage that the prior's name names."""

    def hold(stage: Stage, fraction: float, message: str) -> None:
        progress(stage, fraction, message)
        while prior.name == f"hold-{stage.name.lower()}" and not gate.wait(0.01):
            if cancelled():
                raise CancelledError("cancelled while held")

    return complete_object(observation, prior, config, seed, max_faces, hold, cancelled)


class GatedCompletion(CompletionNode):
    def __init__(self) -> None:
        completer.complete_object = held_completion
        super().__init__(make_held_prior)
        self.create_service(SetBool, "gate", self._gate, callback_group=ReentrantCallbackGroup())

    def close(self) -> None:
        gate.set()
        super().close()

    def _gate(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        (gate.set if request.data else gate.clear)()
        response.success = True
        return response


if __name__ == "__main__":
    sys.exit(run(lambda: started(GatedCompletion()), NUM_THREADS))
