"""Cameras chosen by what they add: the most surface that no view has shown yet (SimRecon's idea, on voxels)."""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from scipy import ndimage

from instascene_ros.core.geometry import inverse, project, transform
from instascene_ros.core.objects import ObjectObservation
from instascene_ros.core.possible_space import PossibleSpace
from instascene_ros.core.views import PosedCamera, Rig

CANDIDATES = ((-30.0, 12), (0.0, 12), (30.0, 16), (60.0, 12), (85.0, 1), (-85.0, 1))  # elevation in degrees, number
NEEDED = 2  # views that a piece of surface should be in: fusing believes no single one
BUFFER_PX = 48
MIN_COSINE = 0.2  # a surface seen flatter than this is not shown
COVER_VOXELS = 1.5  # what lies this much deeper than the nearest is hidden by it


def gain_cameras(
    space: PossibleSpace, observation: ObjectObservation, count: int, size_px: int
) -> list[PosedCamera]:
    """`count` cameras around the object, each the one that adds most to those before it.

    Counted is the border of the space that the object may fill, as if it filled it: a border voxel without seen surface
    counts until it was in two views. When nothing is left to add, the rest is as far from the others as can be.
    """
    sphere = space.sphere
    candidates = Rig.rings(CANDIDATES, size_px).cameras(sphere.center_m, sphere.radius_m, observation.up)
    border = space.possible & ~ndimage.binary_erosion(space.possible)
    points_m = space.grid.centers_m()[border.ravel()]
    normals = _outward(space)[border]
    unseen = ~ndimage.binary_dilation(space.seen)[border]
    shows = np.stack([_shows(points_m, normals, camera, space.grid.voxel_m) for camera in candidates])
    rows = _greedy(shows[:, unseen], np.stack([T[:3, 2] for _, T in candidates]), count)
    return [candidates[row] for row in rows]


def _greedy(
    shows: Bool[np.ndarray, "V N"], directions: Float64[np.ndarray, "V 3"], count: int
) -> list[int]:
    left = np.full(shows.shape[1], NEEDED)
    chosen: list[int] = []
    while len(chosen) < min(count, len(shows)):
        gains = (shows & (left > 0)).sum(1).astype(np.float64)
        if chosen:
            gains += 1e-3 * (1 - (directions @ directions[chosen].T).max(1))  # decides where nothing else does
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        left -= shows[chosen[-1]]
    return chosen


def _outward(space: PossibleSpace) -> Float32[np.ndarray, "X Y Z 3"]:
    """Unit normals of the possible space, world; 0 deep inside."""
    smooth = ndimage.gaussian_filter(space.possible.astype(np.float32), 1.0)
    fall = -np.stack(np.gradient(smooth), axis=-1) @ space.grid.T_world_grid[:3, :3].T
    return (fall / np.maximum(np.linalg.norm(fall, axis=-1, keepdims=True), 1e-9)).astype(np.float32)


def _shows(
    points_m: Float32[np.ndarray, "N 3"], normals: Float32[np.ndarray, "N 3"], posed: PosedCamera, voxel_m: float
) -> Bool[np.ndarray, " N"]:
    """Which of the points the camera sees from their front, if all were voxels that let nothing through."""
    camera, T_world_camera = posed
    small = camera.scaled_to_width(BUFFER_PX)
    pixels, z = project(transform(inverse(T_world_camera), points_m), small)
    cell: Int64[np.ndarray, "N 2"] = np.clip(np.rint(pixels), 0, BUFFER_PX - 1).astype(np.int64)
    nearest_m = np.full((BUFFER_PX, BUFFER_PX), np.inf, np.float32)
    np.minimum.at(nearest_m, (cell[:, 1], cell[:, 0]), z)
    reach_px = max(1, round(voxel_m * small.fx / float(np.median(z)))) if len(z) else 1
    nearest_m = ndimage.minimum_filter(nearest_m, size=2 * (reach_px // 2) + 1)
    to_eye = T_world_camera[:3, 3] - points_m
    facing = (normals * to_eye).sum(-1) > MIN_COSINE * np.linalg.norm(to_eye, axis=-1)
    return facing & (z < nearest_m[cell[:, 1], cell[:, 0]] + COVER_VOXELS * voxel_m)

