"""Let a service callback wait for another thread without holding up the executor."""

from concurrent.futures import Future as ThreadFuture
from typing import TypeVar

from rclpy.executors import Executor
from rclpy.task import Future

Result = TypeVar("Result")


def awaitable(future: "ThreadFuture[Result]", executor: Executor | None) -> Future:
    """For `await` in a coroutine that `executor` runs: resumes when `future` is done, and gives it back."""
    waiting = Future(executor=executor)

    def resume(done: "ThreadFuture[Result]") -> None:
        waiting.set_result(done)
        if executor is not None:
            executor.wake()

    future.add_done_callback(resume)
    return waiting
