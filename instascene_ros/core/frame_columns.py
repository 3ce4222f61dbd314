"""Frames as named columns: how remembered keyframes are saved."""

from collections.abc import Sequence

import numpy as np

from instascene_ros.core.camera import Camera
from instascene_ros.core.columns import Columns, checked
from instascene_ros.core.frame import Frame


def frame_columns(frames: Sequence[Frame]) -> Columns:
    """One row a frame, and all pixels one after the other; without masks, which have voted already."""
    cameras = [(c.fx, c.fy, c.cx, c.cy, c.width, c.height) for c in (frame.camera for frame in frames)]
    rgb, depth_m = [f.rgb.reshape(-1, 3) for f in frames], [f.depth_m.reshape(-1) for f in frames]
    return {
        "views.stamp_ns": np.array([frame.stamp_ns for frame in frames], np.int64),
        "views.camera": np.array(cameras, np.float64).reshape(-1, 6),
        "views.T_world_camera": np.array([f.T_world_camera for f in frames], np.float64).reshape(-1, 4, 4),
        "pixels.rgb": np.concatenate([np.zeros((0, 3), np.uint8), *rgb]),
        "pixels.depth_m": np.concatenate([np.zeros(0, np.float32), *depth_m]),
    }


def frames_of_columns(columns: Columns) -> list[Frame]:
    """Undoes `frame_columns`.

    Raises:
        ValueError: the columns do not fit together, or a camera or pose is not one.
    """
    found = checked(frame_columns([]), columns)
    if not np.isfinite(found["views.camera"]).all():
        raise ValueError("the intrinsics of some keyframes are not finite")
    cameras = [Camera(*row[:4], int(row[4]), int(row[5])) for row in found["views.camera"].tolist()]
    ends = np.cumsum([camera.width * camera.height for camera in cameras], dtype=object).tolist()
    rgb, depth_m = found["pixels.rgb"], found["pixels.depth_m"]
    if (ends[-1] if ends else 0) != len(rgb):
        raise ValueError(f"{len(rgb)} pixels for keyframes of {ends[-1] if ends else 0}")
    frames = []
    for index, (camera, end) in enumerate(zip(cameras, ends, strict=True)):
        pixels, size = slice(end - camera.width * camera.height, end), (camera.height, camera.width)
        pose, stamp_ns = found["views.T_world_camera"][index], int(found["views.stamp_ns"][index])
        images = rgb[pixels].reshape(*size, 3).copy(), depth_m[pixels].reshape(size).copy()  # forgotten one by one
        frames.append(Frame(stamp_ns, camera, *images, pose))
    return frames
