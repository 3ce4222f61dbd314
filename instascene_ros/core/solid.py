"""One closed volume from what was seen and what a prior made up; what was seen wins."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32, Float64
from scipy import ndimage

from instascene_ros.core.free_space import Evidence
from instascene_ros.core.geometry import inverse, normals_of_depth, points_of_depth, project, transform
from instascene_ros.core.objects import GeneratedView
from instascene_ros.core.volume import VoxelGrid

TRUNCATION_VOXELS = 2.0
MIN_PART = 0.03  # of the observed surface on the part that holds most of it
EDGE_SLANT = 0.7  # cosine assumed where a surface has no normal, at its edges


def solid_of_views(grid: VoxelGrid, views: Sequence[GeneratedView]) -> Float32[np.ndarray, "X Y Z"]:
    """Signed distance (m, truncated, negative inside) that generated views agree on.

    A voxel is outside when two views see past it: the second largest distance over the views, so that one view's
    mistake carves nothing and a thin wall seen from both sides stays. What no view contradicts is inside.
    """
    truncation_m = TRUNCATION_VOXELS * grid.voxel_m
    first = np.full(grid.size, -truncation_m, np.float32)
    second = first.copy()
    centers_m = grid.centers_m()
    for view in views:
        distance_m = _distance_in_front(view, centers_m, truncation_m)
        second = np.maximum(second, np.minimum(first, distance_m))
        first = np.maximum(first, distance_m)
    return second.reshape(grid.shape)


def _distance_in_front(
    view: GeneratedView, points_m: Float32[np.ndarray, "N 3"], truncation_m: float
) -> Float32[np.ndarray, " N"]:
    """How far each point is outside what the view shows, m, truncated; beyond the image: nothing said (inside).

    In front of the surface that is the distance to the plane of the nearest pixel, beside the silhouette the distance
    to the half-alpha line: both exact to first order, so that the largest over many views is not biased outward.
    """
    camera = view.camera
    points_camera = transform(inverse(view.T_world_camera), points_m)
    pixels, z = project(points_camera, camera)
    pixels = np.nan_to_num(pixels, nan=-9)
    inside = ((pixels > -0.5) & (pixels < (camera.width - 0.5, camera.height - 0.5))).all(-1)
    u, v = np.rint(np.where(inside[:, None], pixels, 0)).astype(np.int64).T
    normals = normals_of_depth(view.depth_m, camera, radius_px=1)[v, u]
    to_plane_m = (normals * (points_camera - points_of_depth(view.depth_m, camera)[v, u])).sum(-1)
    along_ray_m = EDGE_SLANT * (view.depth_m[v, u] - z)
    distance_m = np.where(np.abs(normals).sum(-1) > 0, to_plane_m, along_ray_m)
    distance_m = np.where(view.alpha[v, u] < 0.5, -truncation_m, distance_m)
    alpha = ndimage.map_coordinates(view.alpha, pixels[:, ::-1].T, order=1, mode="nearest")
    beside_m = np.where(alpha > 0, (0.5 - alpha) * z / camera.fx, truncation_m)
    distance_m = np.clip(
        np.maximum(distance_m, np.where(alpha < 1, beside_m, -truncation_m)), -truncation_m, truncation_m
    )
    return np.where(inside, distance_m, -truncation_m).astype(np.float32)


def fuse(evidence: Evidence, generated: Float32[np.ndarray, "X Y Z"]) -> Float32[np.ndarray, "X Y Z"]:
    """Observed surface where there is one, never inside observed free space or another surface, otherwise generated."""
    truncation_m = TRUNCATION_VOXELS * evidence.grid.voxel_m
    seen = np.clip(evidence.weight, 0, 1)
    signed_m = np.clip(np.nan_to_num(evidence.signed_m), -truncation_m, truncation_m)
    field = seen * signed_m + (1 - seen) * generated
    field = np.where(evidence.free, np.maximum(field, signed_m), field)
    field = np.where(evidence.taken, np.maximum(field, 0.25 * truncation_m), field)
    return ndimage.gaussian_filter(field, 0.5).astype(np.float32)


def above_floor(
    field: Float[np.ndarray, "X Y Z"], grid: VoxelGrid, floor_m: float, up: Float64[np.ndarray, " 3"]
) -> Float32[np.ndarray, "X Y Z"]:
    """The field of which nothing is left below a height along `up`."""
    heights_m = (grid.centers_m() @ up.astype(np.float32)).reshape(grid.shape)
    return np.maximum(field, floor_m - heights_m).astype(np.float32)


def seen_parts(field: Float32[np.ndarray, "X Y Z"], evidence: Evidence) -> Float32[np.ndarray, "X Y Z"]:
    """The field without its crumbs: parts that hold little of the observed surface are turned outside.

    More than one part may stay: a thin handle can be broken where it was hardly seen.
    """
    parts, count = ndimage.label(field < 0)
    if count <= 1:
        return field
    near = ndimage.binary_dilation(evidence.near_surface)
    touching = np.bincount(parts[near], minlength=count + 1)
    touching[0] = 0
    if not touching.any():  # nothing was seen: the largest
        touching = np.bincount(parts.ravel(), minlength=count + 1)
        touching[0] = 0
    crumbs = touching < MIN_PART * touching.max()
    crumbs[0] = False
    return np.where(crumbs[parts], np.abs(field) + 1e-4, field).astype(np.float32)
