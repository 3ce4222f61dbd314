"""Run one node until Ctrl-C, SIGTERM or a shutdown, and end it in an order that lets it say goodbye."""

import signal
from collections.abc import Callable
from threading import Event, Thread
from typing import Protocol

import rclpy
from rclpy.executors import Executor, ExternalShutdownException, MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions


class Runnable(Protocol):
    """A node that can be told to finish its work while it may still publish and answer."""

    num_threads: int  # of its executor

    def close(self) -> None: ...

    def destroy_node(self) -> None: ...


def run_node(make_node: Callable[[], Runnable]) -> None:
    """Spin the node. Exits with 1 when it cannot start or a callback fails, with 0 when it was told to stop.

    rclpy's own handler shuts DDS down at once, before anyone could be told; here the node is closed first.
    """
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    stop, failures = Event(), []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    node = make_node()
    executor = SingleThreadedExecutor() if node.num_threads == 1 else MultiThreadedExecutor(node.num_threads)
    executor.add_node(node)
    spinning = Thread(target=_spin, args=(executor, stop, failures), name="executor", daemon=True)
    spinning.start()
    stop.wait()
    node.close()
    executor.shutdown(timeout_sec=2.0)
    spinning.join(2.0)
    node.destroy_node()
    rclpy.try_shutdown()
    if failures:
        raise failures[0]


def _spin(executor: Executor, stop: Event, failures: list[Exception]) -> None:
    try:
        executor.spin()
    except ExternalShutdownException:
        pass
    except Exception as error:  # raised again on the main thread
        failures.append(error)
    finally:
        stop.set()
