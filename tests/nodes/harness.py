"""Start nodes as processes and talk to them over real DDS, in the domain that tests/conftest.py chose for this run.

Use: `pytest.importorskip`-like `require_ros()` first, then `with node_process(...) as node, client() as ros: ...`.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "/instascene"


def require_ros() -> None:
    """Skip the calling module where rclpy or the package's generated messages are missing."""
    for module in ("rclpy", "instascene_ros.srv"):
        try:
            import_module(module)
        except ImportError as error:
            pytest.skip(
                f"{error}: needs the ROS wheels and the overlay (make setup; . install/setup.bash)",
                allow_module_level=True,
            )


class NodeProcess:
    """One running node: its output so far, and ways to stop it."""

    def __init__(self, argv: list[str]) -> None:
        folders = [
            str(ROOT),
            str(ROOT / "tests"),
            str(ROOT / "tests" / "nodes"),
            str(ROOT / "tests" / "soak"),
            os.environ.get("PYTHONPATH", ""),
        ]
        path = os.pathsep.join(folders)
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
        environment.setdefault("OMP_NUM_THREADS", "1")
        self.process = subprocess.Popen(
            argv, env=environment, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_for_output(self, text: str, timeout_s: float = 90.0) -> None:
        """Fail unless the node prints `text` (it may have done so before)."""
        ended = self.process.poll
        wait_until(
            lambda: text in self.output or ended() is not None, timeout_s, lambda: f"{text!r} in:\n{self.output}"
        )
        if text not in self.output:
            pytest.fail(f"the node ended with {ended()} before it printed {text!r}:\n{self.output}")

    def stop(self, number: int = signal.SIGINT, timeout_s: float = 15.0) -> int:
        """Send a signal (SIGINT = Ctrl-C) and return the exit code; kills a node that does not end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail(f"the node did not end {timeout_s} s after signal {number}:\n{self.output}")
        self._reader.join(5)
        return self.process.returncode


@contextmanager
def node_process(
    module: str,
    parameters: dict[str, Any] | None = None,
    namespace: str = NAMESPACE,
    remappings: dict[str, str] | None = None,
) -> Iterator[NodeProcess]:
    """`python -m module` with ROS parameters, e.g. `node_process("instascene_ros.nodes.scene", {"device": "cpu"})`."""
    argv = [sys.executable, "-m", module, "--ros-args", "-r", f"__ns:={namespace}"]
    for name, value in (parameters or {}).items():
        argv += ["-p", f"{name}:={_yaml(value)}"]
    for name, target in (remappings or {}).items():
        argv += ["-r", f"{name}:={target}"]
    node = NodeProcess(argv)
    try:
        yield node
    finally:
        node.stop()


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{value}'"
    return str(list(value)) if isinstance(value, list | tuple) else str(value)


def wait_until(condition: Callable[[], Any], timeout_s: float, wanted: Callable[[], str]) -> None:
    """Poll until the condition holds; fail with what was wanted."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"after {timeout_s} s still not: {wanted()}")
        time.sleep(0.02)


class Client:
    """A plain rclpy node in the test process, spun in a thread of its own."""

    def __init__(self, namespace: str = NAMESPACE) -> None:
        import rclpy
        from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

        from instascene_ros.adapters.middleware import make_room

        make_room()
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("test_client", namespace=namespace, context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

        def spin() -> None:
            with suppress(ExternalShutdownException):
                self.executor.spin()

        self._thread = threading.Thread(target=spin, daemon=True)
        self._thread.start()

    def collect(self, kind: type, topic: str, qos: Any) -> list[Any]:
        """Subscribe; the list that is returned grows with every message."""
        messages: list[Any] = []
        self.node.create_subscription(kind, topic, messages.append, qos)
        return messages

    def call(self, kind: type, name: str, request: Any, timeout_s: float = 90.0) -> Any:
        """Call a service and wait for its response."""
        service = self.node.create_client(kind, name)
        wait_until(service.service_is_ready, timeout_s, lambda: f"service {name} is there")
        future = service.call_async(request)
        wait_until(future.done, timeout_s, lambda: f"an answer of {name}")
        self.node.destroy_client(service)
        return future.result()

    def close(self) -> None:
        self.executor.shutdown()
        self._thread.join(5)
        self.node.destroy_node()
        self.context.try_shutdown()


@contextmanager
def client(namespace: str = NAMESPACE) -> Iterator[Client]:
    ros = Client(namespace)
    try:
        yield ros
    finally:
        ros.close()
