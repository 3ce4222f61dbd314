"""Two completion nodes on one scene node at once; one of them is killed in the middle of a job."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from harness import NAMESPACE, ROOT, client, node_process, require_ros, wait_until

require_ros()

from completion_calls import LONG_S, Completions

SECOND = f"{NAMESPACE}/second"
SHARED = {name: f"{NAMESPACE}/{name}" for name in ("observe_object", "instances", "completed_objects")}
MISSED_S = 60.0  # DDS misses a killed process after its lease of 20 s


@pytest.fixture
def workers() -> Iterator[tuple[Completions, Completions]]:
    """One whose jobs are held until its gate opens, and one that works."""
    with (
        node_process("stand_in_scene") as scene,
        node_process("gated_completion", {"method": "hold-generate"}) as one,
        node_process("instascene_ros.nodes.completion", namespace=SECOND, remappings=SHARED) as other,
        client() as ros,
        client(SECOND) as second_ros,
    ):
        scene.wait_for_output("stand-in scene is up", LONG_S)
        for worker in (one, other):
            worker.wait_for_output("completes objects", LONG_S)
        yield Completions(ros, scene, one), Completions(second_ros, scene, other)


def test_a_worker_that_is_killed_is_missed_and_stops_nobody_else(workers: tuple[Completions, Completions]) -> None:
    held, working = workers
    held.set_gate(False)
    picking = subprocess.Popen(
        [sys.executable, ROOT / "examples" / "pick_object.py", "--id", "2"], stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: held.observations(2), LONG_S, lambda: "the example's goal reaches the first worker")
    answer = working.call(instance_id=2, max_faces=500)
    assert (answer.error_code, answer.object.instance_id) == (0, 2), answer.error_msg
    assert picking.poll() is None, "the first worker holds the same object still"
    held.completion.process.kill()
    answer = working.call(instance_id=1, max_faces=500)
    assert (answer.error_code, answer.object.instance_id) == (0, 1), answer.error_msg
    _, told = picking.communicate(timeout=MISSED_S)
    assert picking.returncode == 1 and "the completion node is gone" in told
