"""What an object stands on."""

import numpy as np
from jaxtyping import Float32

from instascene_ros.core.objects import ObjectObservation

BIN_M = 0.004
MIN_SURFELS = 20


def support_height_m(observation: ObjectObservation) -> float | None:
    """Height (along up, world) of the level surface under the object, None where none was seen."""
    heights = observation.context.means_m.detach().cpu().numpy() @ observation.up
    level = np.abs(observation.context.normals.detach().cpu().numpy() @ observation.up) > 0.9
    own = observation.surfels.means_m.detach().cpu().numpy() @ observation.up
    below = heights[level & (heights < np.percentile(own, 20) + 0.01)] if len(own) else heights[:0]
    if len(below) < MIN_SURFELS:
        return None
    bins, counts = np.unique(np.round(below / BIN_M), return_counts=True)
    return float(np.median(below[np.abs(below - bins[counts.argmax()] * BIN_M) < 1.5 * BIN_M]))


def rests_on(observation: ObjectObservation, points_m: Float32[np.ndarray, "P 3"], height_m: float) -> bool:
    """Whether the object may reach down to `height_m`: nothing else was seen between it and there.

    The underside of a round object is hidden up to its flanks, so a gap to the lowest point that was seen says little.
    """
    heights = points_m @ observation.up
    lowest, highest = np.percentile(heights, (1, 99))
    if lowest - height_m < 0.01:
        return True
    if lowest - height_m > max(0.02, 0.9 * (highest - lowest)):
        return False
    others = observation.context.means_m.detach().cpu().numpy()
    other_heights = others @ observation.up
    between = (other_heights > height_m + 0.01) & (other_heights < lowest)
    flat = points_m - np.outer(heights, observation.up)
    low, high = np.percentile(flat, 15, axis=0), np.percentile(flat, 85, axis=0)
    flat_others = others - np.outer(other_heights, observation.up)
    under = between & (flat_others > low - 1e-3).all(-1) & (flat_others < high + 1e-3).all(-1)
    return int(under.sum()) < 0.1 * len(points_m) / 4
