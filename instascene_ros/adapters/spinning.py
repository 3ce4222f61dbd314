"""The life of a node process: start, spin, and end cleanly on Ctrl-C, whatever it is doing."""

import gc
import os
import signal
import sys
from collections.abc import Callable
from threading import Event
from typing import NoReturn, Protocol, runtime_checkable

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from instascene_ros.adapters.middleware import make_room
from instascene_ros.core.errors import InstasceneError

WAKE_PERIOD_S = 0.2  # how late a signal may be noticed


@runtime_checkable
class RunnableNode(Protocol):
    """A node that can be stopped; `crash` ends the process: an error, or SystemExit when the work is done."""

    crash: BaseException | None

    def close(self) -> None: ...

    def destroy_node(self) -> None: ...


class _DrainedExecutor(MultiThreadedExecutor):
    """Lets callbacks that have begun come to their end before the node goes, as later releases of rclpy do."""

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        self._executor.shutdown(wait=True)
        return super().shutdown(timeout_sec)


def run(make_node: Callable[[], RunnableNode], num_threads: int = 2) -> int:
    """Spin the node until SIGINT or SIGTERM; the exit code. Wrong parameters are told in one line.

    rclpy's own handlers would invalidate the context while a frame is still being published.
    """
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    make_room()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        return _start_and_spin(make_node, num_threads, stop)
    finally:
        gc.collect()  # nodes refer to themselves in circles: only without them the participant says good-bye to DDS
        rclpy.try_shutdown()


def leave(status: int) -> NoReturn:
    """End the process, in which all work is done and every file closed.

    At once: the interpreter would take two seconds or more to take torch and open3d apart.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _start_and_spin(make_node: Callable[[], RunnableNode], num_threads: int, stop: Event) -> int:
    try:
        node = make_node()
    except (ParameterException, InstasceneError) as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return 2
    executor = SingleThreadedExecutor() if num_threads == 1 else _DrainedExecutor(num_threads)
    executor.add_node(node)
    try:
        while not stop.is_set() and node.crash is None:
            executor.spin_once(timeout_sec=WAKE_PERIOD_S)
    finally:
        node.close()
        executor.shutdown()
        node.destroy_node()
    if node.crash is not None:
        raise node.crash
    return 0
