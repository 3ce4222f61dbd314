"""What the completion node cannot do it says in words, with a code, and lives on."""

import pytest
from harness import client, node_process, require_ros

require_ros()

from action_msgs.msg import GoalStatus
from completion_calls import LONG_S, Completions
from geometry_msgs.msg import Point, PointStamped

from instascene_ros.srv import CompleteObject

Codes = CompleteObject.Response
FAR = PointStamped(point=Point(x=5.0))
NOWHERE = PointStamped(point=Point(x=float("nan")))

REFUSALS = [
    pytest.param({"instance_id": 99}, Codes.NO_SUCH_INSTANCE, "99", id="unknown id"),
    pytest.param({"instance_id": 1, "map_id": "gone"}, Codes.MAP_CHANGED, "the map is map-", id="stale map"),
    pytest.param({"instance_id": 1, "method": "magic"}, Codes.METHOD_UNAVAILABLE, "geometric", id="unknown method"),
    pytest.param({"select_by": 7, "instance_id": 1}, Codes.INVALID_REQUEST, "select_by is 7", id="unknown select_by"),
    pytest.param({"select_by": 1, "point": FAR}, Codes.NO_SUCH_INSTANCE, "near", id="no instance near the point"),
    pytest.param({"select_by": 1, "point": NOWHERE}, Codes.INVALID_REQUEST, "finite", id="point not finite"),
    pytest.param({"instance_id": 1, "target_frame": "gripper"}, Codes.TF_ERROR, "gripper", id="other frame"),
    pytest.param({"instance_id": 1, "max_faces": 3}, Codes.INVALID_REQUEST, "max_faces is 3", id="too few faces"),
    pytest.param({"instance_id": 1, "method": "broken"}, Codes.UNKNOWN, "a fault of the method", id="faulty method"),
    pytest.param({"instance_id": 1, "method": "hungry"}, Codes.OUT_OF_MEMORY, "80 GiB", id="out of memory"),
]


@pytest.mark.parametrize(("asked", "code", "words"), REFUSALS)
def test_service_and_action_refuse_alike(completions: Completions, asked: dict, code: int, words: str) -> None:
    answer = completions.call(**asked)
    assert (answer.error_code, answer.object.instance_id) == (code, 0)
    assert words in answer.error_msg
    status, result = completions.send(**asked).end()
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, code)
    assert words in result.error_msg


def test_the_map_frame_is_a_fine_target(completions: Completions) -> None:
    assert completions.call(instance_id=2, target_frame="odom").error_code == Codes.NONE


def test_without_a_scene_node_the_answer_says_so() -> None:
    with (
        node_process("instascene_ros.nodes.completion", {"observe_timeout_s": 0.5}, "/alone") as node,
        client("/alone") as ros,
    ):
        node.wait_for_output("completes objects", LONG_S)
        answer = ros.call(CompleteObject, "complete_object", CompleteObject.Request(instance_id=1))
        assert answer.error_code == Codes.NO_MAP
        assert "/alone/observe_object" in answer.error_msg
        assert node.stop() == 0


def test_a_method_that_does_not_exist_stops_the_node_at_start() -> None:
    with node_process("instascene_ros.nodes.completion", {"method": "magic"}) as node:
        node.wait_for_output("there is no completion method 'magic'; expected one of: auto, geometric", LONG_S)
        assert node.process.wait(LONG_S) == 2
