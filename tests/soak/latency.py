"""Image stamp to published instances, over DDS: player -> scene -> this process, one process each.

`PYTHONPATH=.:tests:tests/nodes python tests/soak/latency.py SCENE --hz 10 30`; prints one row of Markdown a rate. With
FASTDDS_BUILTIN_TRANSPORTS=DEFAULT in the environment, Fast DDS is left as it comes (docs/troubleshooting.md).
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("ROS_DOMAIN_ID", "87")
os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))  # of the nodes: tests leave them one

from harness import Client, client, node_process, wait_until
from std_srvs.srv import SetBool

from instascene_ros.adapters.qos import latched_qos
from instascene_ros.adapters.stamps import ns_of_stamp
from instascene_ros.core.recording_formats import open_recording
from instascene_ros.msg import InstanceArray, MapStatus

WARM_UP = 30  # images before the first that counts


class Ears:
    """When each list came, and of which image it is."""

    def __init__(self, ros: Client) -> None:
        self.latencies_s: dict[int, float] = {}  # by image stamp; the first list of an image counts
        self.status = MapStatus()
        ros.node.create_subscription(InstanceArray, "instances", self._hear, latched_qos(10))
        ros.node.create_subscription(MapStatus, "status", lambda m: setattr(self, "status", m), 10)

    def _hear(self, array: InstanceArray) -> None:
        stamp_ns = ns_of_stamp(array.header.stamp)
        self.latencies_s.setdefault(stamp_ns, time.time() - stamp_ns / 1e9)


def measured(scene: str, masks: str, hz: float, seconds: float, rate_hz: float) -> str:
    played_hz = open_recording(Path(scene), masks or None).frame_rate_hz
    parameters = {"masks": "topic" if masks else "segmenter", "publish.instances_rate_hz": rate_hz}
    player = {"scene": scene, "masks": masks, "rate": hz / played_hz, "loop": True, "wait_for_subscribers": True}
    with node_process("instascene_ros.nodes.scene", parameters) as node, client() as ros:
        ears = Ears(ros)
        node.wait_for_output("mapping in frame", 300)
        with node_process("instascene_ros.nodes.player", {**player, "paused": True}):
            ros.call(SetBool, "player/pause", SetBool.Request(data=False))
            wait_until(lambda: ears.status.frames_received > WARM_UP, 300, lambda: "the first images")
            before, began_s = ears.status, time.monotonic()
            ears.latencies_s.clear()
            time.sleep(seconds)
            took_s, after = time.monotonic() - began_s, ears.status
    latencies_ms = 1000 * np.array([s for s in ears.latencies_s.values() if s < 60])
    p50, p90, p99 = np.percentile(latencies_ms, [50, 90, 99])
    received = after.frames_received - before.frames_received
    mapped, busy = after.frames_integrated - before.frames_integrated, after.dropped_busy - before.dropped_busy
    lost = after.dropped_no_pose - before.dropped_no_pose
    return (
        f"| {hz:g} | {received / took_s:.1f} | {mapped / took_s:.1f} | {busy / max(received, 1):.0%} | "
        f"{lost / max(received, 1):.0%} | {p50:.0f} | "
        f"{p90:.0f} | {p99:.0f} | {latencies_ms.max():.0f} | {after.num_gaussians} | {after.num_instances} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", help="folder of a recorded scene")
    parser.add_argument("--masks", default="masks", help="recorded masks to publish; '' = segment every frame")
    parser.add_argument("--hz", type=float, nargs="+", default=[10.0, 30.0], help="image rates")
    parser.add_argument("--seconds", type=float, default=40.0, help="of each rate")
    parser.add_argument("--instances-hz", type=float, default=100.0, help="publish.instances_rate_hz")
    options = parser.parse_args()
    print(
        "| images Hz | received Hz | mapped Hz | dropped busy | without a pose | p50 ms | p90 | p99 | max | Gaussians |"
        " instances |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for hz in options.hz:
        print(measured(options.scene, options.masks, hz, options.seconds, options.instances_hz), flush=True)


if __name__ == "__main__":
    main()
