"""Several requests at once, cancel, timeouts, a client that vanishes, a map that is reset."""

from pathlib import Path

import pytest
from harness import require_ros, wait_until

require_ros()

from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from completion_calls import LONG_S, Completions, Goal, completion_stack
from harness import client
from sensor_msgs.msg import PointCloud2

from instascene_ros.action import CompleteObject as CompleteObjectAction
from instascene_ros.adapters.completion_config import MAX_WAITING
from instascene_ros.adapters.qos import latched_qos
from instascene_ros.srv import CompleteObject

Codes = CompleteObject.Response
Feedback = CompleteObjectAction.Feedback
GOAL_SOON = Duration(nanosec=300_000_000)
BOX, CAN, MUG = 1, 2, 3


def assert_canceled(goal: Goal) -> None:
    assert len(goal.cancel().goals_canceling) == 1
    status, result = goal.end()
    assert (status, result.error_code) == (GoalStatus.STATUS_CANCELED, Codes.CANCELED)
    assert "cancel" in result.error_msg


@pytest.mark.parametrize(
    ("method", "stage"),
    [
        ("hold-generate", Feedback.STAGE_GENERATE),
        ("hold-optimize", Feedback.STAGE_OPTIMIZE),
        ("hold-mesh", Feedback.STAGE_MESH),
    ],
)
def test_cancel_while_the_method_works(completions: Completions, method: str, stage: int) -> None:
    with completions.shut_gate():
        goal = completions.send(instance_id=BOX, method=method, seed=completions.new_seed())
        goal.wait_for_stage(stage)
        assert_canceled(goal)
    assert completions.call(instance_id=BOX).error_code == Codes.NONE


def test_cancel_while_the_scene_node_is_asked(completions: Completions) -> None:
    with completions.silent_scene():
        goal = completions.send(instance_id=BOX, seed=completions.new_seed())
        goal.wait_for_stage(Feedback.STAGE_OBSERVE)
        assert_canceled(goal)


def test_a_second_goal_is_queued_and_can_be_cancelled_there(completions: Completions) -> None:
    with completions.shut_gate():
        first = completions.send(instance_id=BOX, method="hold-generate", seed=completions.new_seed())
        first.wait_for_stage(Feedback.STAGE_GENERATE)
        second = completions.send(instance_id=CAN, seed=completions.new_seed())
        second.wait_for_stage(Feedback.STAGE_QUEUED)
        assert second.feedback[0].message == "1 before it"
        assert_canceled(second)
        assert not first.done
    assert first.end()[0] == GoalStatus.STATUS_SUCCEEDED
    assert second.stages == [Feedback.STAGE_QUEUED]


def test_two_goals_are_done_in_order(completions: Completions) -> None:
    with completions.shut_gate():
        first = completions.send(instance_id=BOX, method="hold-generate", seed=completions.new_seed())
        first.wait_for_stage(Feedback.STAGE_GENERATE)
        second = completions.send(instance_id=CAN, seed=completions.new_seed())
        second.wait_for_stage(Feedback.STAGE_QUEUED)
    (first_status, first_result), (second_status, second_result) = first.end(), second.end()
    assert first_status == second_status == GoalStatus.STATUS_SUCCEEDED
    assert (first_result.object.instance_id, second_result.object.instance_id) == (BOX, CAN)
    assert second.stages[0] == Feedback.STAGE_QUEUED
    assert [f.progress for f in second.feedback] == sorted(f.progress for f in second.feedback)


def test_the_same_goal_twice_is_one_job_and_outlives_a_cancel_of_one(completions: Completions) -> None:
    seed, asked_before = completions.new_seed(), completions.observations(MUG)
    with completions.shut_gate():
        goals = [completions.send(instance_id=MUG, method="hold-mesh", seed=seed) for _ in range(3)]
        for goal in goals:
            goal.wait_for_stage(Feedback.STAGE_MESH)
        assert_canceled(goals[1])
    ends = [goals[i].end() for i in (0, 2)]
    assert [status for status, _ in ends] == [GoalStatus.STATUS_SUCCEEDED] * 2
    assert ends[0][1].object == ends[1][1].object
    assert completions.observations(MUG) == asked_before + 1


def test_after_a_timeout_the_job_goes_on_and_the_next_call_hits_the_cache(completions: Completions) -> None:
    seed = completions.new_seed()
    asked = {"instance_id": BOX, "method": "hold-generate", "seed": seed}
    with completions.shut_gate():
        late = completions.call(**asked, timeout=GOAL_SOON)
        status, result = completions.send(**asked, time_limit=GOAL_SOON).end()
    assert (late.error_code, result.error_code, status) == (Codes.TIMEOUT, Codes.TIMEOUT, GoalStatus.STATUS_ABORTED)
    assert "0.3 s" in late.error_msg
    # The job is still at work or done; either way nothing starts anew.
    observed = completions.observations(BOX)
    wait_until(lambda: completions.call(**asked).from_cache, LONG_S, lambda: "an answer from the cache")
    assert completions.observations(BOX) == observed


def test_what_is_known_is_told_without_the_scene_and_before_whoever_waits(completions: Completions) -> None:
    seed = completions.new_seed()
    first = completions.call(instance_id=CAN, seed=seed)
    with completions.shut_gate():
        goal = completions.send(instance_id=BOX, method="hold-generate", seed=completions.new_seed())
        goal.wait_for_stage(Feedback.STAGE_GENERATE)
        with completions.silent_scene():
            again = completions.call(instance_id=CAN, seed=seed)
            status, result = completions.send(instance_id=CAN, seed=seed).end()
            elsewhere = completions.call(instance_id=CAN, seed=seed, target_frame="elsewhere")
        assert not goal.done
    assert again.from_cache and again.object == first.object
    assert (status, result.from_cache, result.object) == (GoalStatus.STATUS_SUCCEEDED, True, first.object)
    assert elsewhere.error_code == Codes.TF_ERROR


def test_a_client_that_vanishes_leaves_the_node_and_the_job_alone(completions: Completions) -> None:
    seed = completions.new_seed()
    asked = {"instance_id": CAN, "method": "hold-generate", "seed": seed}
    with completions.shut_gate(), client() as other:
        gone = Completions(other, completions.scene, completions.completion).send(**asked)
        gone.wait_for_stage(Feedback.STAGE_GENERATE)
    wait_until(lambda: completions.call(**asked).from_cache, LONG_S, lambda: "the orphan's result in the cache")


def test_a_reset_of_the_map_ends_its_completions(completions: Completions) -> None:
    clouds = completions.ros.collect(PointCloud2, "completed_objects/points", latched_qos())
    assert completions.call(instance_id=CAN).error_code == Codes.NONE
    wait_until(lambda: clouds and clouds[-1].width > 0, LONG_S, lambda: "points of the completed object")
    with completions.shut_gate():
        goal = completions.send(instance_id=BOX, method="hold-optimize", seed=completions.new_seed())
        goal.wait_for_stage(Feedback.STAGE_OPTIMIZE)
        completions.reset_map()
        status, result = goal.end()  # while the gate is still shut
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Codes.MAP_CHANGED)
    wait_until(lambda: clouds[-1].width == 0, LONG_S, lambda: "an empty cloud after the reset")
    again = completions.call(instance_id=BOX)
    assert (again.error_code, again.from_cache) == (Codes.NONE, False)


def test_more_requests_than_may_wait_are_refused_at_once(completions: Completions) -> None:
    with completions.shut_gate():
        method = "hold-generate"
        goals = [
            completions.send(instance_id=BOX, method=method, seed=completions.new_seed()) for _ in range(MAX_WAITING)
        ]
        goals[0].wait_for_stage(Feedback.STAGE_GENERATE)
        wait_until(lambda: all(g.feedback for g in goals), LONG_S, lambda: "every goal waits")
        status, result = completions.send(instance_id=BOX, seed=completions.new_seed()).end()
        assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Codes.UNKNOWN)
        assert f"{MAX_WAITING} requests wait already" in result.error_msg
        for goal in goals:
            assert_canceled(goal)


def test_ctrl_c_answers_who_waits_and_ends_cleanly(tmp_path: Path) -> None:
    with completion_stack(str(tmp_path), "/brief") as brief:
        brief.set_gate(False)
        goal = brief.send(instance_id=BOX, method="hold-generate", seed=1)
        goal.wait_for_stage(Feedback.STAGE_GENERATE)
        node = brief.completion
        assert node.stop() == 0, node.output
        status, result = goal.end()
        assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Codes.CANCELED)
        assert "Traceback" not in node.output
