"""The sphere that an object's cameras look at."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from instascene_ros.core.objects import ObjectObservation
from instascene_ros.core.seen_points import seen_points

GROWTH, MARGIN_M = 1.25, 0.004  # beyond a guess of the whole object, which may fall short


@dataclass(frozen=True)
class ObjectSphere:
    """World frame."""

    center_m: Float64[np.ndarray, " 3"]
    radius_m: float

    @classmethod
    def around(cls, observation: ObjectObservation, spacing_m: float) -> "ObjectSphere":
        """Large enough to show what was seen of the object and as much again, for its hidden side."""
        points_m = seen_points(observation.views, spacing_m).points_m.astype(np.float64)
        if len(points_m) == 0:  # no depth on the object in any view
            points_m = observation.surfels.means_m.detach().cpu().numpy().astype(np.float64)
        low, high = np.percentile(points_m, (1, 99), axis=0)
        return cls((low + high) / 2, 0.7 * float(np.linalg.norm(high - low)) + 0.015)

    @classmethod
    def around_guess(cls, points_m: Float32[np.ndarray, "P 3"]) -> "ObjectSphere":
        """Around a guess of the whole object: tighter, so that images and volumes of it show more detail."""
        center_m = ((points_m.min(0) + points_m.max(0)) / 2).astype(np.float64)
        return cls(center_m, GROWTH * float(np.linalg.norm(points_m - center_m, axis=1).max()) + MARGIN_M)
