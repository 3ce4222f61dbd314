"""Recorded folders written from frames, for tests."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from instascene_ros.core.frame import Frame


def pose_line(stamp_s: float, T_world_camera: np.ndarray) -> str:
    numbers = [*T_world_camera[:3, 3], *Rotation.from_matrix(T_world_camera[:3, :3]).as_quat()]
    return f"{stamp_s:.6f} " + " ".join(f"{number:.9f}" for number in numbers)


def write_scene(folder: Path, frames: Sequence[Frame], masks: Sequence[str] = (), name: str = "made") -> Path:
    """The frames in our scene format, with their masks in each of the named folders."""
    camera = frames[0].camera
    intrinsics = {k: getattr(camera, k) for k in ("fx", "fy", "cx", "cy", "width", "height")}
    for part in ("color", "depth", *masks):
        (folder / part).mkdir(parents=True, exist_ok=True)
    about = {"name": name, "intrinsics": intrinsics, "depth_scale": 1000, "frame_rate": 10}
    (folder / "scene.json").write_text(json.dumps(about))
    for index, frame in enumerate(frames):
        Image.fromarray(frame.rgb).save(folder / "color" / f"{index:06d}.jpg", quality=95)
        Image.fromarray(np.round(frame.depth_m * 1000).astype(np.uint16)).save(folder / "depth" / f"{index:06d}.png")
        for part in masks:
            Image.fromarray(frame.masks.labels.astype(np.uint16)).save(folder / part / f"{index:06d}.png")
    lines = [pose_line(frame.stamp_ns / 1e9, frame.T_world_camera) for frame in frames]
    (folder / "trajectory.txt").write_text("# timestamp tx ty tz qx qy qz qw\n" + "\n".join(lines) + "\n")
    return folder


def write_tum(folder: Path, frames: Sequence[Frame], color_offset_s: float = 0.004) -> Path:
    """The frames as a TUM RGB-D folder whose colour images are a little later than depth and poses."""
    camera = frames[0].camera
    lists: dict[str, list[str]] = {"rgb": [], "depth": [], "groundtruth": []}
    for part in ("rgb", "depth"):
        (folder / part).mkdir(parents=True)
    for frame in frames:
        stamp_s = frame.stamp_ns / 1e9
        color, depth = f"rgb/{stamp_s + color_offset_s:.6f}.png", f"depth/{stamp_s:.6f}.png"
        Image.fromarray(frame.rgb).save(folder / color)
        Image.fromarray(np.round(frame.depth_m * 5000).astype(np.uint16)).save(folder / depth)
        lists["rgb"].append(f"{stamp_s + color_offset_s:.6f} {color}")
        lists["depth"].append(f"{stamp_s:.6f} {depth}")
        for offset_s in (-0.02, 0.03):  # the pose stays, so that interpolation cannot hide an error of association
            lists["groundtruth"].append(pose_line(stamp_s + offset_s, frame.T_world_camera))
    for part, lines in lists.items():
        (folder / f"{part}.txt").write_text("# a comment\n" + "\n".join(lines) + "\n")
    (folder / "calibration.txt").write_text(f"{camera.fx} {camera.fy} {camera.cx} {camera.cy}")
    return folder
