"""Play a recorded scene through the real nodes, each its own process, and keep what comes back over DDS.

`python -m instascene_ros.nodes.demo --scene FOLDER --out FOLDER`: player -> scene -> completion, one action goal for
each instance, then the files of `instascene run` in OUT. Exit status 0, or 1 when a node failed or nothing was found.
"""

import argparse
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from time import monotonic

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import SetBool

from instascene_ros.adapters.completion_caller import CompletionCaller
from instascene_ros.adapters.demo_files import versions_with_middleware, write_map, write_timeline
from instascene_ros.adapters.map_listener import MapListener
from instascene_ros.adapters.middleware import make_room
from instascene_ros.adapters.node_processes import NodeProcesses, free_domain
from instascene_ros.core.errors import InstasceneError
from instascene_ros.core.recording_formats import open_recording
from instascene_ros.core.run_files import COMPLETED, RUN, TIMELINE, CompletedFolder, write_json
from instascene_ros.msg import Instance

NAMESPACE, CAMERA = "/instascene", "camera"
START_S, PLAY_S, SETTLE_S, COMPLETE_S = 300.0, 600.0, 60.0, 120.0  # patience


class Demo:
    """One run, from the thread that is not the executor's."""

    def __init__(self, options: argparse.Namespace, node: Node, processes: NodeProcesses) -> None:
        self._options, self._processes = options, processes
        self._heard = MapListener(node, CAMERA)
        self._caller = CompletionCaller(node)
        self._pause = node.create_client(SetBool, "player/pause")
        self._completed = CompletedFolder(options.out / COMPLETED)
        self._seconds: dict[str, float] = {}
        self._paused = True

    def run(self) -> bool:
        """All of it; whether an object was completed.

        Raises:
            InstasceneError: a node failed, or nothing came in time.
        """
        self._start()
        self._play()
        self._complete()
        self._write()
        return any(row["completed"] for row in self._completed.rows)

    def _start(self) -> None:
        began_s = monotonic()
        say("Starting the nodes scene and completion ...")
        # Patience with poses: nothing here is in a hurry, and the machine may be busy.
        self._processes.start("scene", {"device": self._options.device, "tf_timeout_s": 2.0})
        self._processes.start("completion", {})
        both = "the nodes to start"
        self._wait(lambda: self._caller.ready and self._heard.status.map_id != "", START_S, both)
        self._seconds["start of the nodes"] = monotonic() - began_s

    def _play(self) -> None:
        began_s, options = monotonic(), self._options
        scene = {"scene": options.scene.resolve(), "masks": options.masks, "rate": options.rate}
        say(f"Playing {options.scene.name} as a camera, at {options.rate:g} x ...")
        self._processes.start("player", {**scene, "wait_for_subscribers": True, "paused": True})
        self._wait(self._pause.service_is_ready, START_S, "the player to start")
        self._wait(self._played, PLAY_S, "the end of the recording")
        self._wait(self._heard.is_settled, SETTLE_S, "the last frame to be mapped")
        self._seconds["mapping"] = monotonic() - began_s
        status, played = self._heard.status, len(self._heard.pose_stamps_ns)
        found = f"{status.num_gaussians} Gaussians, {status.num_instances} instances"
        say(f"{status.frames_integrated} of {played} frames mapped: {found}")

    def _played(self) -> bool:
        """Whether the recording has ended. Until then the player waits for the mapper, however slow this machine is."""
        behind = self._heard.backlog() > 0
        if behind != self._paused:
            self._paused = behind
            self._pause.call_async(SetBool.Request(data=behind))
        return self._processes.ended("player")

    def _complete(self) -> None:
        began_s = monotonic()
        ids = [one.id for one in self._heard.arrays[-1].instances if one.state == Instance.STATE_CONFIRMED]
        for number, instance_id in enumerate(ids, 1):
            object_began_s, title = monotonic(), f"[{number}/{len(ids)}] instance {instance_id}"
            try:
                completed = self._caller.complete(instance_id, COMPLETE_S, progress_of(title), self._processes.check)
            except InstasceneError as error:
                self._processes.check()
                self._completed.fail(instance_id, error)
                say(f"{title}: {error}")
                continue
            took_s = monotonic() - object_began_s
            self._completed.add(completed, took_s)
            say(f"{title}: completed in {took_s:.1f} s, {completed.observed_fraction:.0%} of its surface was seen")
        self._seconds["completion"] = monotonic() - began_s

    def _write(self) -> None:
        out, options = self._options.out, self._options
        self._completed.write()
        write_map(out, self._heard.saved_map())
        used, dropped = write_timeline(out / TIMELINE, self._heard)
        about = {
            "command": shlex.join(["python", "-m", "instascene_ros.nodes.demo", *sys.argv[1:]]),
            "route": "ros",
            "scene": open_recording(options.scene).name,
            "frames": {"used": used, "dropped": dropped},
            "masks": f"recorded {options.masks}" if options.masks else "segmented by the scene node",
            "rasterizer": f"that of the scene node, device {options.device}",
            "seed": 0,
            "seconds": {name: round(seconds, 3) for name, seconds in self._seconds.items()},
            "versions": versions_with_middleware(),
        }
        write_json(out / RUN, about)

    def _wait(self, condition: Callable[[], bool], timeout_s: float, wanted: str) -> None:
        self._heard.wait_for(condition, timeout_s, wanted, self._processes.check)


def say(text: str) -> None:
    print(text, flush=True)


def progress_of(title: str) -> Callable[[float, str], None]:
    """Prints a line for each new message of a goal."""
    told: list[str] = []

    def tell(fraction: float, message: str) -> None:
        if message not in told:
            told.append(message)
            say(f"  {title}: {fraction:4.0%} {message}")

    return tell


@contextmanager
def spinning_node() -> Iterator[Node]:
    """A client node whose callbacks run on a thread of their own."""
    make_room()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)  # Ctrl-C stops the nodes first, then DDS
    node, executor = rclpy.create_node("demo", namespace=NAMESPACE), SingleThreadedExecutor()
    executor.add_node(node)

    def spin() -> None:
        with suppress(ExternalShutdownException):
            executor.spin()

    thread = Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield node
    finally:
        executor.shutdown()
        thread.join(2.0)
        node.destroy_node()
        rclpy.try_shutdown()


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m instascene_ros.nodes.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--scene", type=Path, required=True, help="folder of the recorded scene")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="what the map is rendered on")
    parser.add_argument(
        "--masks", default="masks", help="folder of recorded masks in the scene; '' = segment every frame"
    )
    parser.add_argument("--rate", type=float, default=0.5, help="speed at most, times the recorded one")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    options = parse(arguments)
    # Nobody else's robot: this machine only, and a domain of this run's own unless one was chosen.
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(free_domain()))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory() as logs,
            NodeProcesses(Path(logs), NAMESPACE) as processes,
            spinning_node() as node,
        ):
            return 0 if Demo(options, node, processes).run() else 1
    except InstasceneError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
