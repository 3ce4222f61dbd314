"""One thread, newest frame wins, requests between frames."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from instascene_ros.adapters.worker import SceneWorker

LONG_S = 20.0


class Recorder:
    """Handles frames by noting them; holds while `gate` is closed."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.entered, self.gate = threading.Semaphore(0), threading.Event()
        self.gate.set()
        self.crashes: list[BaseException] = []

    def handle(self, frame: str) -> None:
        self.entered.release()
        assert self.gate.wait(LONG_S)
        if frame == "bug":
            raise ZeroDivisionError("bug")
        self.seen.append(frame)


@contextmanager
def running(recorder: Recorder) -> Iterator[SceneWorker[str]]:
    worker: SceneWorker[str] = SceneWorker(recorder.handle, recorder.crashes.append)
    worker.start()
    yield worker
    recorder.gate.set()
    worker.stop()


def settle(worker: SceneWorker[str]) -> None:
    """Wait until everything before this has been handled."""
    while not worker.call(lambda: worker._frames == {}).result(LONG_S):
        pass


def hold(recorder: Recorder, worker: SceneWorker[str]) -> None:
    """Let the worker be busy with a frame."""
    recorder.gate.clear()
    worker.offer("held", "held")
    assert recorder.entered.acquire(timeout=LONG_S)


def test_newest_frame_of_each_camera_wins_and_drops_are_counted() -> None:
    recorder = Recorder()
    with running(recorder) as worker:
        hold(recorder, worker)
        for camera, frame in [("left", "l1"), ("right", "r1"), ("left", "l2"), ("left", "l3")]:
            worker.offer(camera, frame)
        recorder.gate.set()
        settle(worker)
    assert recorder.seen == ["held", "r1", "l3"]
    assert worker.dropped == 2


def test_requests_run_in_order_before_the_next_frame_and_on_the_same_thread() -> None:
    recorder, threads = Recorder(), set()

    def note(name: str) -> Callable[[], str]:
        def run() -> str:
            threads.add(threading.current_thread().name)
            recorder.seen.append(name)
            return name

        return run

    with running(recorder) as worker:
        hold(recorder, worker)
        worker.offer("left", "l1")
        futures = [worker.call(note(name)) for name in ("a", "b")]
        recorder.gate.set()
        assert [future.result(LONG_S) for future in futures] == ["a", "b"]
        settle(worker)
    assert recorder.seen == ["held", "a", "b", "l1"]
    assert threads == {"scene"}


def test_an_error_of_a_request_belongs_to_its_caller() -> None:
    recorder = Recorder()
    with running(recorder) as worker:
        with pytest.raises(ZeroDivisionError):
            worker.call(lambda: 1 // 0).result(LONG_S)
        assert worker.call(lambda: 7).result(LONG_S) == 7
    assert recorder.crashes == []


def test_an_error_of_a_frame_stops_the_worker_and_is_reported() -> None:
    recorder = Recorder()
    with running(recorder) as worker:
        hold(recorder, worker)
        worker.offer("left", "bug")
        recorder.gate.set()
        worker._thread.join(LONG_S)
        assert worker.call(lambda: 7).cancelled()
    assert [type(error) for error in recorder.crashes] == [ZeroDivisionError]


def test_an_error_of_what_was_posted_stops_the_worker_and_is_reported() -> None:
    crashes: list[BaseException] = []
    worker = SceneWorker(lambda frame: None, crashes.append)
    worker.start()
    worker.post(lambda: 1 / 0)
    waiting = worker.call(lambda: None)
    with pytest.raises(CancelledError):
        waiting.result(LONG_S)
    worker.stop()
    assert isinstance(crashes[0], ZeroDivisionError)


def test_stopping_finishes_the_frame_at_hand_and_cancels_what_waits() -> None:
    recorder = Recorder()
    with running(recorder) as worker:
        hold(recorder, worker)
        worker.offer("left", "never")
        future = worker.call(lambda: 7)
        stopper = threading.Thread(target=worker.stop)
        stopper.start()
        with pytest.raises(CancelledError):
            future.result(LONG_S)
        recorder.gate.set()
        stopper.join(LONG_S)
    assert recorder.seen == ["held"]


def test_discarded_frames_are_not_handled() -> None:
    recorder = Recorder()
    with running(recorder) as worker:
        hold(recorder, worker)
        worker.offer("left", "void")
        worker.discard_frames()
        recorder.gate.set()
        settle(worker)
    assert recorder.seen == ["held"]
    assert worker.dropped == 1
