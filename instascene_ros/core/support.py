"""What an object stands on."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from scipy.spatial import cKDTree

from instascene_ros.core.objects import MASK_OTHER, ObjectObservation
from instascene_ros.core.seen_points import SeenPoints, seen_points, without_strays
from instascene_ros.core.views import perpendicular

SPACING_M = 0.004  # of the points of the surroundings
BIN_M = 0.004
NEAR_SIZES = 0.75  # a support shows within this many object sizes around the object
MIN_NEAR_M = 0.05
MIN_POINTS = 20
MIN_SHARE = 0.25  # of the points of the best seen level: a support is no lesser than this
LEVEL = 0.9  # cosine between normal and up
FOOT_REACH_M = 0.015  # beside an object, what is seen lies about as high as its foot
CLEARANCE_M = 0.005  # above the support: what is seen beside the foot is not the support itself
SECTORS, MIN_SECTORS = 16, 6  # of directions around it, in which something shows beside its foot
MIN_IN_SECTOR = 6  # points: fewer show through gaps, as under the flank of a bowl
SUPPORT_SHARE = 0.1  # of those directions: where as many show nothing but the support, it stands on that
ABOVE_M = 0.001  # the support: what is no higher is the support itself, whatever the masks say


@dataclass(frozen=True)
class Ground:
    """Heights along up, world; None where nothing of the kind was seen."""

    support_m: float | None  # of the level surface under the object
    foot_m: float | None  # of what stands on that and holds the object

    @property
    def floor_m(self) -> float | None:
        """Height that the object cannot reach below."""
        return self.support_m if self.foot_m is None else self.foot_m

    @classmethod
    def seen_under(cls, observation: ObjectObservation, spacing_m: float) -> "Ground":
        """From an object's views; its points are averaged in cells of `spacing_m`."""
        points_m = seen_points(observation.views, spacing_m).points_m
        return cls.under(points_m, seen_points(observation.views, SPACING_M, MASK_OTHER), observation.up)

    @classmethod
    def under(
        cls, points_m: Float32[np.ndarray, "P 3"], surroundings: SeenPoints, up: Float64[np.ndarray, " 3"]
    ) -> "Ground":
        """From the object's points, and from what else was seen around them."""
        points_m = points_m[without_strays(points_m)]
        support_m = support_height_m(points_m, surroundings, up) if len(points_m) else None
        if support_m is None:
            return cls(None, None)
        own_m = points_m[above(points_m, support_m, up)]
        return cls(support_m, foot_height_m(own_m, surroundings, support_m, up))


def above(
    points_m: Float32[np.ndarray, "P 3"], support_m: float, up: Float64[np.ndarray, " 3"]
) -> Bool[np.ndarray, " P"]:
    """Which points lie above the support; all of them where none does."""
    higher = points_m @ up > support_m + ABOVE_M
    return higher if higher.any() else np.ones(len(points_m), bool)


def support_height_m(
    points_m: Float32[np.ndarray, "P 3"], surroundings: SeenPoints, up: Float64[np.ndarray, " 3"]
) -> float | None:
    """Height (along `up`, world) of the level surface under the object's points, None where none was seen.

    The lowest level that is seen about as well as any: the tops of lower neighbours are level, too.
    """
    low, high = np.percentile(points_m, (1, 99), axis=0)
    reach_m = max(MIN_NEAR_M, NEAR_SIZES * float((high - low).max()))
    heights = surroundings.points_m @ up
    own = points_m @ up
    candidate = np.abs(surroundings.normals @ up) > LEVEL
    candidate &= heights < np.percentile(own, 20) + 0.01
    candidate &= heights > own.min() - 2 * reach_m
    candidate &= _beside(surroundings.points_m, low, high, reach_m, up)
    below = heights[candidate]
    if len(below) < MIN_POINTS:
        return None
    bins, counts = np.unique(np.round(below / BIN_M), return_counts=True)
    lowest = bins[counts >= max(MIN_POINTS / 2, MIN_SHARE * counts.max())]
    best = bins[counts.argmax()] if len(lowest) == 0 else lowest[0]
    return float(np.median(below[np.abs(below - best * BIN_M) < 1.5 * BIN_M]))


def rests_on(
    points_m: Float32[np.ndarray, "P 3"],
    surroundings: SeenPoints,
    height_m: float,
    up: Float64[np.ndarray, " 3"],
    spacing_m: float,
) -> bool:
    """Whether the object may reach down to `height_m`: nothing else was seen between it and there.

    The underside of a round object is hidden up to its flanks, so a gap to the lowest point that was seen says little.
    `spacing_m` is that of the object's points.
    """
    heights = points_m @ up
    lowest, highest = np.percentile(heights, (1, 99))
    if lowest - height_m < 0.01:
        return True
    if lowest - height_m > max(0.02, 0.9 * (highest - lowest)):
        return False
    other_heights = surroundings.points_m @ up
    between = (other_heights > height_m + 0.01) & (other_heights < lowest)
    low, high = np.percentile(points_m, (15, 85), axis=0)
    under = between & _beside(surroundings.points_m, low, high, 0.0, up)
    return int(under.sum()) < 0.1 * len(points_m) * (spacing_m / SPACING_M) ** 2


def foot_height_m(
    points_m: Float32[np.ndarray, "P 3"],
    surroundings: SeenPoints,
    support_m: float,
    up: Float64[np.ndarray, " 3"],
) -> float | None:
    """Height that an object inside or on top of others stands at, None where its support may show beside it.

    A can in a bowl: what is seen right beside its foot, in several directions, is the bowl. A foot that is hidden by a
    neighbour shows that neighbour in front of it alone, and above its own lowest points.
    """
    lowest = float(np.percentile(points_m @ up, 2))
    heights = surroundings.points_m @ up
    below = np.flatnonzero((heights < lowest) & (heights > support_m - 0.01))
    if len(below) == 0:
        return None
    level = np.eye(3) - np.outer(up, up)
    flat_m, others_m = points_m @ level, surroundings.points_m[below] @ level
    near = cKDTree(flat_m).query(others_m, distance_upper_bound=FOOT_REACH_M)[0] < FOOT_REACH_M
    if near.sum() < MIN_POINTS:
        return None
    found = heights[below][near]
    if not (found > support_m + CLEARANCE_M).any():
        return None
    first, second = perpendicular(up)
    offset = others_m[near] - flat_m.mean(0)
    sector = (np.arctan2(offset @ second, offset @ first) / (2 * np.pi) % 1 * SECTORS).astype(int)
    highest = np.full(SECTORS, -np.inf)  # by direction, of what is below the object
    np.maximum.at(highest, sector, found)
    highest = highest[np.bincount(sector, minlength=SECTORS) >= MIN_IN_SECTOR]
    if len(highest) < MIN_SECTORS or (highest < support_m + CLEARANCE_M).mean() > SUPPORT_SHARE:
        return None
    return float(np.percentile(found[found > support_m + CLEARANCE_M], 25))


def _beside(
    points_m: Float32[np.ndarray, "Q 3"],
    low: Float[np.ndarray, " 3"],
    high: Float[np.ndarray, " 3"],
    reach_m: float,
    up: Float64[np.ndarray, " 3"],
) -> Bool[np.ndarray, " Q"]:
    """Which points lie over, under or within `reach_m` beside the box from `low` to `high`, height left aside."""
    offset = points_m - (low + high) / 2
    level = np.abs(offset - np.outer(offset @ up, up))
    half = (high - low) / 2
    return (level <= half + reach_m + 1e-3).all(-1)
