"""The scene thread: subscriptions and services leave work at its door, and it alone touches the scene."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Condition, Thread
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class SceneWorker(Generic[Item]):
    """One thread. The newest frame of each camera wins; requests run between frames, in order, before the next frame.

    An exception of `handle`, or of what was posted, ends the thread and is given to `on_crash`; one of a request
    belongs to its caller.
    """

    def __init__(self, handle: Callable[[Item], None], on_crash: Callable[[BaseException], None]) -> None:
        self._handle, self._on_crash = handle, on_crash
        self._wake = Condition()
        self._frames: dict[str, Item] = {}  # at most one a camera; taken in the order in which they came
        self._requests: list[tuple[Future | None, Callable[[], Any]]] = []
        self._running = True
        self.dropped = 0  # frames that a newer one replaced
        self.busy = False  # with a frame
        self._thread = Thread(target=self._run, name="scene", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def offer(self, camera: str, frame: Item) -> None:
        """Leave a frame; returns at once."""
        with self._wake:
            self.dropped += self._frames.pop(camera, None) is not None
            self._frames[camera] = frame
            self._wake.notify()

    @property
    def waited_for(self) -> bool:
        """Whether a frame or a request waits for the thread."""
        return bool(self._frames or self._requests)

    def discard_frames(self) -> None:
        """Forget the frames that wait; call it from a request that makes them void."""
        with self._wake:
            self.dropped += len(self._frames)
            self._frames.clear()

    def call(self, function: Callable[[], Result]) -> "Future[Result]":
        """Run a function on the scene thread; its future is cancelled when the worker stops first."""
        future: Future[Result] = Future()
        with self._wake:
            if self._running:
                self._requests.append((future, function))
                self._wake.notify()
            else:
                future.cancel()
        return future

    def post(self, function: Callable[[], Any]) -> None:
        """Run a function on the scene thread for which nobody waits: its error ends the thread, as one of a frame."""
        with self._wake:
            if self._running:
                self._requests.append((None, function))
                self._wake.notify()

    def stop(self) -> None:
        """Finish the frame at hand, cancel what waits, end the thread."""
        self._close()
        if self._thread.is_alive():
            self._thread.join()

    def _close(self) -> None:
        with self._wake:
            self._running = False
            waiting, self._requests = self._requests, []
            self._frames.clear()
            self._wake.notify()
        for future, _ in waiting:
            if future is not None:
                future.cancel()

    def _run(self) -> None:
        try:
            while self._step():
                pass
        except BaseException as error:  # whatever it is, the node must hear of it and stop
            self._close()
            self._on_crash(error)

    def _step(self) -> bool:
        with self._wake:
            self._wake.wait_for(lambda: self._requests or self._frames or not self._running)
            if not self._running:
                return False
            request = self._requests.pop(0) if self._requests else None
            frame = None if request else self._frames.pop(next(iter(self._frames)))
        if request:
            _answer(*request)
        else:
            self.busy = True
            self._handle(frame)
            self.busy = False
        return True


def _answer(future: Future | None, function: Callable[[], Any]) -> None:
    if future is None:
        function()
        return
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function())
    except Exception as error:  # the caller re-raises it
        future.set_exception(error)
