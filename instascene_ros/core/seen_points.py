"""The seen surface of an object as points, straight from the images: denser than the map's surfels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from instascene_ros.core.geometry import points_of_depth, transform
from instascene_ros.core.objects import MASK_OBJECT, ObjectView

STRAY_PERCENT, STRAY_M = 1, 0.01  # points this far beyond the outermost percent of a box are strays


@dataclass(frozen=True)
class SeenPoints:
    """Row-aligned columns."""

    points_m: Float32[np.ndarray, "P 3"]  # world
    normals: Float32[np.ndarray, "P 3"]  # unit, towards the cameras
    colors: UInt8[np.ndarray, "P 3"]

    def __len__(self) -> int:
        return len(self.points_m)


def seen_points(views: Sequence[ObjectView], spacing_m: float, label: int = MASK_OBJECT) -> SeenPoints:
    """Points whose mask is `label`, in any view, averaged in cells of `spacing_m`.

    Pixels without a normal, as at steps in depth, are left out.
    """
    points, normals, colors = [np.zeros((0, 3))], [np.zeros((0, 3))], [np.zeros((0, 3))]
    for view in views:
        of_pixel = view.normals
        known = (view.mask == label) & (view.depth_m > 0) & (np.abs(of_pixel).sum(-1) > 0)
        camera_m = points_of_depth(view.depth_m, view.camera)[known].astype(np.float64)
        points.append(transform(view.T_world_camera, camera_m))
        normals.append(of_pixel[known] @ view.T_world_camera[:3, :3].T)
        colors.append(view.rgb[known])
    return _averaged(np.concatenate(points), np.concatenate(normals), np.concatenate(colors), spacing_m)


def without_strays(points_m: Float32[np.ndarray, "P 3"]) -> Bool[np.ndarray, " P"]:
    """Which points lie in the box of most of them, or a little beside it."""
    if len(points_m) == 0:
        return np.zeros(0, bool)
    low, high = np.percentile(points_m, (STRAY_PERCENT, 100 - STRAY_PERCENT), axis=0)
    return ((points_m > low - STRAY_M) & (points_m < high + STRAY_M)).all(-1)


def _averaged(points: np.ndarray, normals: np.ndarray, colors: np.ndarray, spacing_m: float) -> SeenPoints:
    _, cell, count = np.unique(_cells(points, spacing_m), return_inverse=True, return_counts=True)
    columns = np.concatenate([points, normals, colors], axis=1)
    total = np.stack([np.bincount(cell.reshape(-1), column, len(count)) for column in columns.T], axis=1)
    mean = total / count[:, None]
    length = np.maximum(np.linalg.norm(mean[:, 3:6], axis=1, keepdims=True), 1e-9)
    return SeenPoints(
        mean[:, :3].astype(np.float32),
        (mean[:, 3:6] / length).astype(np.float32),
        np.rint(mean[:, 6:]).astype(np.uint8),
    )


def _cells(points: Float64[np.ndarray, "P 3"], spacing_m: float) -> Int64[np.ndarray, " P"]:
    """One number for each point's cell: sorting those takes a tenth of what sorting rows of three does."""
    cells = np.floor(points / spacing_m).astype(np.int64)
    cells -= cells.min(0, initial=0)
    _, wide, high = cells.max(0, initial=0) + 1
    return (cells[:, 0] * wide + cells[:, 1]) * high + cells[:, 2]
