"""Frames as named columns: how remembered keyframes are saved."""

from collections.abc import Sequence

import numpy as np

from instascene_ros.core.camera import Camera
from instascene_ros.core.columns import Columns, checked
from instascene_ros.core.frame import Frame
from instascene_ros.core.masks import Masks


def frame_columns(frames: Sequence[Frame]) -> Columns:
    """One row a frame, and all pixels and all masks one after the other."""
    cameras = [(c.fx, c.fy, c.cx, c.cy, c.width, c.height) for c in (frame.camera for frame in frames)]
    masks = [frame.masks for frame in frames]
    scores = [found.scores for found in masks if found is not None]
    labels = [np.zeros(f.depth_m.size, np.uint16) if f.masks is None else f.masks.labels.reshape(-1) for f in frames]
    rgb, depth_m = [f.rgb.reshape(-1, 3) for f in frames], [f.depth_m.reshape(-1) for f in frames]
    return {
        "views.stamp_ns": np.array([frame.stamp_ns for frame in frames], np.int64),
        "views.camera": np.array(cameras, np.float64).reshape(-1, 6),
        "views.T_world_camera": np.array([f.T_world_camera for f in frames], np.float64).reshape(-1, 4, 4),
        "views.num_masks": np.array([-1 if found is None else len(found) for found in masks], np.int64),
        "masks.score": np.concatenate([np.zeros(0, np.float32), *scores]),
        "pixels.rgb": np.concatenate([np.zeros((0, 3), np.uint8), *rgb]),
        "pixels.depth_m": np.concatenate([np.zeros(0, np.float32), *depth_m]),
        "pixels.mask": np.concatenate([np.zeros(0, np.uint16), *labels]).astype(np.uint16),
    }


def frames_of_columns(columns: Columns) -> list[Frame]:
    """Undoes `frame_columns`; what was saved before there were masks in it comes back without them.

    Raises:
        ValueError: the columns do not fit together, or a camera or pose is not one.
    """
    if "pixels.mask" not in columns:
        columns = {**columns, **_no_masks(columns)}
    found = checked(frame_columns([]), columns)
    if not np.isfinite(found["views.camera"]).all():
        raise ValueError("the intrinsics of some keyframes are not finite")
    cameras = [Camera(*row[:4], int(row[4]), int(row[5])) for row in found["views.camera"].tolist()]
    ends = np.cumsum([camera.width * camera.height for camera in cameras], dtype=object).tolist()
    rgb, depth_m = found["pixels.rgb"], found["pixels.depth_m"]
    if (ends[-1] if ends else 0) != len(rgb):
        raise ValueError(f"{len(rgb)} pixels for keyframes of {ends[-1] if ends else 0}")
    counts = found["views.num_masks"]
    if (counts < -1).any() or counts.clip(min=0).sum() != len(found["masks.score"]):
        raise ValueError(f"{len(found['masks.score'])} scores of masks for {counts.tolist()} masks")
    last_score = np.cumsum(counts.clip(min=0)).tolist()
    frames = []
    for index, (camera, end) in enumerate(zip(cameras, ends, strict=True)):
        pixels, size = slice(end - camera.width * camera.height, end), (camera.height, camera.width)
        pose, stamp_ns = found["views.T_world_camera"][index], int(found["views.stamp_ns"][index])
        images = rgb[pixels].reshape(*size, 3).copy(), depth_m[pixels].reshape(size).copy()  # forgotten one by one
        scores = found["masks.score"][last_score[index] - max(int(counts[index]), 0) : last_score[index]].copy()
        labels = found["pixels.mask"][pixels].reshape(size).astype(np.int32)
        masks = None if counts[index] < 0 else Masks(labels, scores)
        frames.append(Frame(stamp_ns, camera, *images, pose, masks))
    return frames


def _no_masks(columns: Columns) -> Columns:
    empty = frame_columns([])
    counts = np.full(len(columns.get("views.stamp_ns", ())), -1, np.int64)
    mask = np.zeros(len(columns.get("pixels.rgb", ())), np.uint16)
    return {"views.num_masks": counts, "masks.score": empty["masks.score"], "pixels.mask": mask}
