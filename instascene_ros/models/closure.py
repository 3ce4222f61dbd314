"""The smallest closed shape that what was seen allows."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.errors import TooFewPointsError
from instascene_ros.core.free_space import Evidence, gather_evidence
from instascene_ros.core.objects import MASK_OTHER, ObjectObservation
from instascene_ros.core.seen_points import seen_points, without_strays
from instascene_ros.core.solid import above_floor
from instascene_ros.core.support import SPACING_M, Ground, above, rests_on
from instascene_ros.core.upright_box import upright_axes
from instascene_ros.core.volume import VoxelGrid

HIDDEN_SHARE = 0.5
MIN_POINTS = 20  # fewer trustworthy points than this are worse than all points


@dataclass(frozen=True)
class Seen:
    """One object's trustworthy points and the evidence around them, in a grid aligned with the object."""

    evidence: Evidence
    points_m: Float32[np.ndarray, "P 3"]
    normals: Float32[np.ndarray, "P 3"]  # unit; towards the cameras
    colors: UInt8[np.ndarray, "P 3"]
    base_m: float  # height that the object is taken to reach down to
    floor_m: float  # height that it cannot reach below
    rests: bool  # on a support of that height that was seen

    @property
    def grid(self) -> VoxelGrid:
        return self.evidence.grid

    def heights_m(self, observation: ObjectObservation) -> Float32[np.ndarray, "X Y Z"]:
        """Height of every voxel along up."""
        return (self.grid.centers_m() @ observation.up.astype(np.float32)).reshape(self.grid.shape)


def look_at_object(observation: ObjectObservation, config: CompletionConfig) -> Seen:
    """Place a grid around the object, gather the evidence in it, and drop the points that it contradicts.

    Raises:
        TooFewPointsError: next to nothing of it has depth.
    """
    spot = seen_points(observation.views, config.min_voxel_m)
    points_m, normals = spot.points_m, spot.normals
    if len(points_m) < MIN_POINTS:
        raise TooFewPointsError(
            f"instance {observation.instance_id} shows {len(points_m)} points with depth "
            f"in {len(observation.views)} views; completing it needs {MIN_POINTS}: look at it longer, or from nearer"
        )
    keep, heights = without_strays(points_m), points_m @ observation.up
    surroundings = seen_points(observation.views, SPACING_M, MASK_OTHER)
    ground = Ground.under(points_m, surroundings, observation.up)
    support_m = ground.floor_m
    if ground.support_m is not None:
        keep &= above(points_m, ground.support_m, observation.up)
    rests = support_m is not None and rests_on(
        points_m[keep], surroundings, support_m, observation.up, config.min_voxel_m
    )
    lowest_m, highest_m = float(heights[keep].min()), float(heights[keep].max())
    # On top of other things: a round underside is about half as high as what shows of it from above.
    hidden_m = lowest_m - HIDDEN_SHARE * (highest_m - lowest_m)
    floor_m = hidden_m if support_m is None else support_m
    base_m = support_m if rests else max(hidden_m, floor_m)
    grid = _grid_around(points_m[keep], base_m, observation, config)
    evidence = gather_evidence(grid, observation.views, config.depth_noise_m)
    weight = grid.lookup(evidence.weight, points_m, 0.0)
    contradicted = grid.lookup(evidence.free, points_m, False) | grid.lookup(evidence.taken, points_m, False)
    sure = keep & ~contradicted & (weight > min(1.0, 0.5 * float(np.median(weight[keep]))))
    keep = sure if sure.sum() >= MIN_POINTS else keep
    return Seen(evidence, points_m[keep], normals[keep], spot.colors[keep], base_m, floor_m, rests)


def _grid_around(
    points_m: Float32[np.ndarray, "P 3"], base_m: float, observation: ObjectObservation, config: CompletionConfig
) -> VoxelGrid:
    axes = upright_axes(points_m, observation.up)
    margin_m = 0.35 * float(np.sort(np.ptp(points_m @ axes, axis=0))[1]) + 0.01
    dropped = points_m - np.outer(points_m @ observation.up - base_m, observation.up).astype(np.float32)
    return VoxelGrid.around(np.concatenate([points_m, dropped]), axes, margin_m, config.max_voxels, config.min_voxel_m)


def closed_shape(seen: Seen, observation: ObjectObservation) -> Bool[np.ndarray, "X Y Z"]:
    """Voxels that nothing contradicts in the convex hull of the seen points and of their shadow on the support.

    Concave parts and the room under overhangs stay empty wherever a camera looked into them.
    """
    heights_m = (seen.points_m @ observation.up).astype(np.float32)
    dropped = seen.points_m - np.outer(heights_m - seen.base_m, observation.up).astype(np.float32)
    inside = in_hull(np.concatenate([seen.points_m, dropped]), seen.grid.centers_m()).reshape(seen.grid.shape)
    return inside & ~seen.evidence.free & ~seen.evidence.taken


def in_hull(points_m: Float32[np.ndarray, "P 3"], queries_m: Float32[np.ndarray, "Q 3"]) -> Bool[np.ndarray, " Q"]:
    """Which queries lie in the convex hull of the points; none where the points span no volume."""
    try:
        hull = ConvexHull(points_m, qhull_options="QJ")
    except (QhullError, ValueError):
        return np.zeros(len(queries_m), bool)
    inside = np.ones(len(queries_m), bool)
    for *normal, offset in np.unique(hull.equations.astype(np.float32).round(5), axis=0):
        inside &= queries_m @ np.array(normal, np.float32) + offset <= 1e-4
    return inside


def field_of(
    seen: Seen, guess_m: Float32[np.ndarray, "X Y Z"], observation: ObjectObservation
) -> Float32[np.ndarray, "X Y Z"]:
    """Signed field (m, negative inside): the observed surface where it was seen, the guess (likewise) elsewhere."""
    evidence, truncation_m = seen.evidence, 2 * seen.grid.voxel_m
    outside = evidence.free | evidence.taken
    field = np.clip(np.where(outside, np.maximum(guess_m, 0.25 * truncation_m), guess_m), -truncation_m, truncation_m)
    known = np.isfinite(evidence.signed_m) & ((evidence.weight > 0.3) | (evidence.free_views >= 2))
    field = np.where(known, np.clip(np.nan_to_num(evidence.signed_m), -truncation_m, truncation_m), field)
    field = ndimage.gaussian_filter(field, 0.5)
    return above_floor(field, seen.grid, seen.floor_m, observation.up)


def field_of_solid(solid: Bool[np.ndarray, "X Y Z"], voxel_m: float) -> Float32[np.ndarray, "X Y Z"]:
    """Signed field (m, negative inside) of a solid, smooth over its voxels."""
    return ((0.5 - ndimage.gaussian_filter(solid.astype(np.float32), 1.0)) * 4 * voxel_m).astype(np.float32)
