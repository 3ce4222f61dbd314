"""Jobs are shared, ordered, and dropped when nobody wants them."""

import threading
from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")
pytest.importorskip("instascene_ros.srv", reason="the interfaces are not built: make test builds them")

from instascene_ros.adapters.error_codes import RequestTimeoutError
from instascene_ros.adapters.job_queue import Job, JobQueue, Progress, wait_for
from instascene_ros.core.errors import CancelledError, TooFewPointsError

LONG_S = 20.0


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    queue = JobQueue(max_jobs=3)
    yield queue
    queue.stop()


class Gate:
    """Work that holds until it is opened, and stops when the job is cancelled."""

    def __init__(self) -> None:
        self.entered, self.open, self.runs = threading.Event(), threading.Event(), 0

    def __call__(self, job: Job) -> str:
        self.runs += 1
        self.entered.set()
        while not self.open.wait(0.01):
            if job.cancelled():
                raise CancelledError("nobody waits")
        return "done"


def wait(job: Job, timeout_s: float = LONG_S) -> object:
    return wait_for(job, timeout_s, lambda: False, lambda _: None)


def test_equal_keys_share_one_run(queue: JobQueue) -> None:
    gate = Gate()
    first, second = queue.join("a", gate), queue.join("a", gate)
    assert first is second
    gate.open.set()
    assert (wait(first), wait(second), gate.runs) == ("done", "done", 1)


def test_jobs_run_in_order_and_know_how_many_are_ahead(queue: JobQueue) -> None:
    gate, order = Gate(), []
    first = queue.join("a", gate)
    gate.entered.wait(LONG_S)
    later = [queue.join(key, lambda job: order.append(job.key)) for key in ("b", "c")]
    assert [queue.ahead_of(job) for job in (first, *later)] == [0, 1, 2]
    gate.open.set()
    for job in later:
        wait(job)
    assert order == ["b", "c"]
    assert queue.ahead_of(first) == 0


def test_a_full_queue_refuses_new_work_but_still_shares_old(queue: JobQueue) -> None:
    gate = Gate()
    for key in "abc":
        assert queue.join(key, gate) is not None
    assert queue.join("d", gate) is None
    assert queue.join("b", gate) is not None


def test_the_job_stops_only_when_its_last_caller_has_left(queue: JobQueue) -> None:
    gate = Gate()
    job = queue.join("a", gate)
    queue.join("a", gate)
    gate.entered.wait(LONG_S)
    queue.leave(job)
    assert not job.cancelled()
    queue.leave(job)
    with pytest.raises(CancelledError, match="nobody waits"):
        wait(job)


def test_a_job_left_before_its_turn_never_runs(queue: JobQueue) -> None:
    gate, never = Gate(), Gate()
    first, second = queue.join("a", gate), queue.join("b", never)
    queue.leave(second)
    gate.open.set()
    wait(first)
    with pytest.raises(CancelledError, match="before its turn"):
        wait(second)
    assert never.runs == 0


def test_a_dropped_job_is_not_shared_with_the_next_caller(queue: JobQueue) -> None:
    gate = Gate()
    blocked = queue.join("x", gate)
    dropped = queue.join("a", Gate())
    queue.leave(dropped)
    assert queue.join("a", gate) is not dropped
    gate.open.set()
    wait(blocked)


def test_a_caller_out_of_time_gets_its_answer_later_from_the_same_job(queue: JobQueue) -> None:
    gate = Gate()
    job = queue.join("a", gate)
    with pytest.raises(RequestTimeoutError, match=r"not done after 0\.05 s"):
        wait(job, 0.05)
    queue.leave(job, wanted_anyway=True)
    again = queue.join("a", gate)
    assert again is job
    gate.open.set()
    assert (wait(again), gate.runs) == ("done", 1)


def test_giving_up_is_answered_while_the_work_still_runs(queue: JobQueue) -> None:
    release = threading.Event()
    job = queue.join("a", lambda _: release.wait(LONG_S))
    with pytest.raises(CancelledError, match="as requested"):
        wait_for(job, LONG_S, lambda: True, lambda _: None)
    assert not job.finished
    release.set()


def test_progress_reaches_every_caller_in_order_and_never_falls(queue: JobQueue) -> None:
    def work(job: Job) -> None:
        for stage, fraction in ((1, 0.0), (1, 0.2), (2, 0.1), (2, 0.205), (2, 0.6), (2, 1.7)):
            job.report(stage, fraction, "")

    job, told = queue.join("a", work), []
    wait_for(job, LONG_S, lambda: False, told.append)
    # 0.1 is lifted to what was reached; 0.205 is too small a step to tell; more than all is all.
    assert told == [Progress(s, f, "") for s, f in ((1, 0.0), (1, 0.2), (2, 0.2), (2, 0.6), (2, 1.0))]
    late: list[Progress] = []
    wait_for(job, LONG_S, lambda: False, late.append)
    assert late == told


def test_an_error_belongs_to_the_callers_and_the_queue_goes_on(queue: JobQueue) -> None:
    def fail(_: Job) -> None:
        raise TooFewPointsError("3 surfels")

    with pytest.raises(TooFewPointsError, match="3 surfels"):
        wait(queue.join("a", fail))
    assert wait(queue.join("a", lambda _: 5)) == 5


def test_stopping_cancels_what_runs_and_what_waits() -> None:
    queue, gate = JobQueue(3), Gate()
    jobs = [queue.join(key, gate) for key in "ab"]
    gate.entered.wait(LONG_S)
    queue.stop()
    for job in jobs:
        with pytest.raises(CancelledError, match="shutting down"):
            wait(job)
    assert queue.join("c", gate) is None
