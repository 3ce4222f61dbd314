"""One closed volume from what was seen and what a prior made up; what was seen wins."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32
from scipy import ndimage

from instascene_ros.core.free_space import Evidence
from instascene_ros.core.geometry import inverse, normals_of_depth, project, transform
from instascene_ros.core.objects import GeneratedView
from instascene_ros.core.volume import VoxelGrid

TRUNCATION_VOXELS = 2.0


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
    """How far each point is in front of the view's surface, m, truncated; beyond the image: nothing said (inside)."""
    pixels, z = project(transform(inverse(view.T_world_camera), points_m), view.camera)
    u, v = np.rint(np.nan_to_num(pixels, nan=-1)).astype(np.int64).T
    inside = (u >= 0) & (v >= 0) & (u < view.camera.width) & (v < view.camera.height)
    u, v = np.where(inside, u, 0), np.where(inside, v, 0)
    rays = view.camera.rays()
    # Along the ray a slanted surface seems further away than it is.
    cosine = np.abs((normals_of_depth(view.depth_m, view.camera, radius_px=1) * rays).sum(-1))
    slant = np.where(cosine > 0, np.clip(cosine, 0.2, 1), 0.7)[v, u]
    distance_m = np.clip((view.depth_m[v, u] - z) * slant, -truncation_m, truncation_m)
    distance_m = np.where(view.alpha[v, u] < 0.5, truncation_m, distance_m)
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


def largest_part(field: Float32[np.ndarray, "X Y Z"], evidence: Evidence) -> Float32[np.ndarray, "X Y Z"]:
    """The field with every part but one turned outside: the part that holds most of the observed surface."""
    parts, count = ndimage.label(field < 0)
    if count <= 1:
        return field
    near = ndimage.binary_dilation(evidence.near_surface)
    touching = np.bincount(parts[near], minlength=count + 1)[1:]
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    keep = 1 + int(np.lexsort((sizes, touching))[-1])
    return np.where((parts > 0) & (parts != keep), np.abs(field) + 1e-4, field).astype(np.float32)
