"""The nodes of this package as child processes, for programs that bring their own robot along (the demo)."""

import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

from instascene_ros.core.errors import InstasceneError

STOP_S, TAIL_LINES = 10.0, 15
LAST_SAFE_DOMAIN = 101  # above it the ports of a domain collide with Linux's ephemeral ones


def free_domain() -> int:
    """A ROS domain that nobody on this machine uses now, as far as the discovery port tells (DDSI-RTPS 9.6.1)."""
    for domain in random.SystemRandom().sample(range(1, LAST_SAFE_DOMAIN + 1), LAST_SAFE_DOMAIN):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
            probe.bind(("", 7400 + 250 * domain))
            return domain
    raise NodeFailedError(f"all ROS domains from 1 to {LAST_SAFE_DOMAIN} are in use on this machine")


class NodeFailedError(InstasceneError):
    """A node ended that should be running."""


class NodeProcesses:
    """Starts nodes, each with a log file of its own in `folder`; leaving the `with` stops them in reverse order."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self._folder, self._namespace = folder, namespace
        self._running: dict[str, subprocess.Popen] = {}
        self._files = ExitStack()

    def __enter__(self) -> "NodeProcesses":
        return self

    def start(self, node: str, parameters: Mapping[str, object]) -> None:
        """Start `instascene_ros.nodes.<node>` with those parameters."""
        command = [sys.executable, "-m", f"instascene_ros.nodes.{node}", "--ros-args", "-r", f"__ns:={self._namespace}"]
        for name, value in parameters.items():
            command += ["-p", f"{name}:={value}"]
        log = self._files.enter_context(self.log(node).open("w"))
        # A process group of its own: Ctrl-C goes to us alone, and we stop the nodes in order.
        self._running[node] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    def log(self, node: str) -> Path:
        return self._folder / f"{node}.log"

    def ended(self, node: str) -> bool:
        """Whether a node that ends by itself has done so.

        Raises:
            NodeFailedError: it failed.
        """
        status = self._running[node].poll()
        if status:
            raise NodeFailedError(f"node {node} ended with status {status}:\n{self._tail(node)}")
        return status == 0

    def check(self) -> None:
        """Raises NodeFailedError: a node has failed; its last words are in the message."""
        for node in self._running:
            self.ended(node)

    def _tail(self, node: str) -> str:
        return "\n".join(self.log(node).read_text().splitlines()[-TAIL_LINES:])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._running.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in self._running.values():
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._files.close()
