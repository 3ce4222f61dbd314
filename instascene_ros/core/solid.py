"""One closed volume from what was seen and what a prior made up; what was seen wins."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32, Float64
from scipy import ndimage

from instascene_ros.core.free_space import Evidence
from instascene_ros.core.geometry import inverse, normals_of_depth, points_of_depth
from instascene_ros.core.objects import GeneratedView
from instascene_ros.core.rendering.cpu_sights import note_outside
from instascene_ros.core.volume import VoxelGrid

TRUNCATION_VOXELS = 2.0
CUT, SHAVED = 0.5, 0.35  # of the truncation: so far outside lies what is cut away, and what is shaved off at last
MIN_PART = 0.03  # of the observed surface on the part that holds most of it


def solid_of_views(grid: VoxelGrid, views: Sequence[GeneratedView]) -> Float32[np.ndarray, "X Y Z"]:
    """Signed distance (m, truncated, negative inside) that generated views agree on.

    A voxel is outside when two views see past it: the second largest distance over the views, so that one view's
    mistake carves nothing and a thin wall seen from both sides stays. What no view contradicts is inside, as is what no
    image holds. In front of the surface the distance is that to the plane of the nearest pixel, beside the silhouette
    that to the half-alpha line: both exact to first order, so that the largest over many views is not biased. A pixel
    without a normal, at an edge, says nothing of what lies in front of it: its depth alone would cut into slopes.
    """
    truncation_m = TRUNCATION_VOXELS * grid.voxel_m
    farthest_m = np.full((2, grid.size), -truncation_m, np.float32)
    centers_m = grid.centers_m()
    for view in views:
        note_outside(
            centers_m, view.camera, inverse(view.T_world_camera), points_of_depth(view.depth_m, view.camera),
            normals_of_depth(view.depth_m, view.camera, radius_px=1), _beside_px(view.alpha), farthest_m, truncation_m,
        )  # fmt: skip
    return farthest_m[1].reshape(grid.shape)


def _beside_px(alpha: Float32[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """How far outside the half-alpha line each pixel's centre lies, px; negative inside."""
    shown = alpha >= 0.5
    if not shown.any():
        return np.full(alpha.shape, sum(alpha.shape), np.float32)
    if shown.all():
        return np.full(alpha.shape, -sum(alpha.shape), np.float32)
    outside_px, inside_px = (ndimage.distance_transform_edt(part) for part in (~shown, shown))
    whole_px = np.where(shown, 0.5 - inside_px, outside_px - 0.5)
    return np.where((alpha > 0) & (alpha < 1), 0.5 - alpha, whole_px).astype(np.float32)


def fuse(evidence: Evidence, generated: Float32[np.ndarray, "X Y Z"]) -> Float32[np.ndarray, "X Y Z"]:
    """Observed surface where there is one, never what was seen to be empty or another's, otherwise generated.

    At last goes what views looked far past, by the nearest pixel: all of it where two did or nothing of the object was
    seen, and a voxel's depth where one did, which may be wrong.
    """
    truncation_m = TRUNCATION_VOXELS * evidence.grid.voxel_m
    seen = np.clip(evidence.weight, 0, 1)
    signed_m = np.clip(np.nan_to_num(evidence.signed_m), -truncation_m, truncation_m)
    field = seen * signed_m + (1 - seen) * generated
    field = np.where(evidence.cut, np.maximum(field, CUT * truncation_m), field)
    field = ndimage.gaussian_filter(field, 0.5)
    doubtful = (evidence.weight > 0) & (field <= -evidence.grid.voxel_m)
    past = (evidence.clear_views >= 2) | ((evidence.clear_views == 1) & ~doubtful)
    return np.where(past, np.maximum(field, SHAVED * truncation_m), field).astype(np.float32)


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
