"""The sample scene, back and forth, into a scene node, and the node's memory meanwhile."""

import itertools
import time
from dataclasses import replace

import numpy as np
from camera_driver import CameraDriver
from camera_messages import MS, header
from faults import TABLE, memory_mb
from harness import ROOT, Client, NodeProcess
from std_msgs.msg import Header

from instascene_ros.adapters.camera_infos import info_of
from instascene_ros.adapters.images import encode, encode_depth, encode_labels
from instascene_ros.adapters.transforms import pose_of_matrix
from instascene_ros.core.frame import Frame
from instascene_ros.core.recording_formats import open_recording

PERIOD_S = 0.1


def messages_of(frame: Frame, stamp_ms: int) -> dict[str, object]:
    from geometry_msgs.msg import PoseStamped

    at: Header = header(stamp_ms)
    return {
        "pose": PoseStamped(header=header(stamp_ms, "odom"), pose=pose_of_matrix(frame.T_world_camera)),
        "info": info_of(frame.camera, at), "color": encode(frame.rgb, "rgb8", at),
        "depth": encode_depth(frame.depth_m, "16UC1", at), "masks": encode_labels(frame.masks.labels, at),
    }  # fmt: skip


def watched_loop(ros: Client, node: NodeProcess, duration_s: float) -> str:
    """Feed the node for that long; what its memory did, in words."""
    recording = open_recording(ROOT / "instascene_ros" / "sample", "masks")
    frames = [recording.frame(i) for i in range(len(recording))]
    node.wait_for_output("active", 300)
    driver = CameraDriver(ros)
    driver.wait_for_node()
    began_s, samples = time.monotonic(), []
    for frame in itertools.cycle([*frames, *frames[-2:0:-1]]):
        now_s = time.monotonic() - began_s
        if now_s > duration_s:
            break
        assert node.process.poll() is None, node.output
        stamp_ms = 100_000 + round(now_s * 1000)
        driver.send(stamp_ms, **messages_of(replace(frame, stamp_ns=stamp_ms * MS), stamp_ms))
        samples.append((now_s, memory_mb(node)))
        time.sleep(max(0.0, PERIOD_S - (time.monotonic() - began_s - now_s)))
    np.savetxt(TABLE.with_suffix(".memory.txt"), samples, "%.3f", header="elapsed [s], resident [MB]")
    status, table = driver.status, np.array(samples[len(samples) // 2 :])
    slope_mb_per_h = float(np.polyfit(table[:, 0], table[:, 1], 1)[0] * 3600)
    return (
        f"{status.frames_integrated} frames mapped, {status.num_gaussians} Gaussians, "
        f"{status.num_instances} instances, "
        f"resident {table[0, 1]:.0f} -> {table[-1, 1]:.0f} MB in the last half, slope {slope_mb_per_h:+.1f} MB/h"
    )
