"""What each lifecycle state of the nodes `scene` and `completion` takes in memory, on this machine and its GPU.

`PYTHONPATH=.:tests:tests/nodes:tests/soak python tests/soak/memory_by_state.py`; prints one row of Markdown a state.
GPU memory is that of the whole device, less what was in use before: nothing else should run on it.
"""

import argparse
import os
import shutil
import subprocess

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("ROS_DOMAIN_ID", "86")

from faults import memory_mb
from harness import ROOT, Client, NodeProcess, client, node_process, wait_until
from lifecycle_calls import ManagedClient
from rclpy.qos import QoSProfile

from instascene_ros.msg import Instance, MapStatus
from instascene_ros.srv import CompleteObject, GetInstances

START_S = 300.0
SAMPLE = str(ROOT / "instascene_ros" / "sample")


def gpu_mb() -> float:
    """In use on all devices together; 0 without one."""
    if shutil.which("nvidia-smi") is None:
        return 0.0
    asked = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return sum(float(line) for line in subprocess.check_output(asked, text=True).split())


class States:
    """Both nodes, unconfigured, and the rows of the table."""

    def __init__(self, ros: Client, scene: NodeProcess, completion: NodeProcess, before_mb: float) -> None:
        self.ros, self._processes, self._before_mb = ros, (scene, completion), before_mb
        self.nodes = [ManagedClient(ros, name) for name in ("scene", "completion")]
        self.statuses = ros.collect(MapStatus, "status", QoSProfile(depth=10))

    def change(self, transition: str) -> None:
        assert all(node.change(transition) for node in self.nodes), transition

    def tell(self, state: str) -> None:
        host = " | ".join(f"{memory_mb(process):.0f}" for process in self._processes)
        print(f"| {state} | {host} | {gpu_mb() - self._before_mb:.0f} |", flush=True)

    def map_frames(self, count: int, rate: float) -> None:
        played = {"scene": SAMPLE, "masks": "masks", "count": count, "rate": rate, "wait_for_subscribers": True}
        with node_process("instascene_ros.nodes.player", played) as player:
            player.wait_for_output(f"finished: {count} frames played", START_S)
        wait_until(lambda: self.statuses[-1].message.startswith("waiting"), START_S, lambda: "the last frame")

    def complete(self) -> None:
        listed = self.ros.call(GetInstances, "get_instances", GetInstances.Request()).instances.instances
        known = next(one for one in listed if one.state == Instance.STATE_CONFIRMED)
        answer = self.ros.call(CompleteObject, "complete_object", CompleteObject.Request(instance_id=known.id), START_S)
        assert answer.error_code == 0, answer.error_msg


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--frames", type=int, default=30, help="of the sample")
    parser.add_argument("--rate", type=float, default=0.3, help="times the recorded speed")
    options = parser.parse_args()
    before_mb, asleep = gpu_mb(), {"autostart": False}
    with (
        node_process("instascene_ros.nodes.scene", {**asleep, "masks": "topic", "device": options.device}) as scene,
        node_process("instascene_ros.nodes.completion", asleep) as completion,
        client() as ros,
    ):
        states = States(ros, scene, completion, before_mb)
        print("| state | `scene` MB | `completion` MB | GPU, both, MB |\n|---|---|---|---|")
        wait_until(lambda: all(node.state for node in states.nodes), START_S, lambda: "both nodes")
        states.tell("unconfigured")
        for transition, state in (("configure", "inactive, after *configure*"), ("activate", "active")):
            states.change(transition)
            states.tell(state)
        states.map_frames(options.frames, options.rate)
        states.tell(f"active, {states.statuses[-1].frames_integrated} frames mapped")
        states.complete()
        states.tell("active, one object completed")
        states.change("deactivate")
        states.tell("inactive, after *deactivate*")
        states.change("cleanup")
        states.tell("unconfigured, after *cleanup*")


if __name__ == "__main__":
    main()
