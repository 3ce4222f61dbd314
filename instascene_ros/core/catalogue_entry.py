"""What the catalogue keeps of an instance."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Int64

from instascene_ros.core.shape import Shape, observed_fraction

HOLDS_SHARE = 0.01  # of its Gaussians came or went: the extent of an object still holds,
MAX_AGE = 4  # and for so many looks at most


@dataclass
class Measured:
    """When the extent of an instance was last measured, and what it is was last decided."""

    count: int  # Gaussians then, crumbs included
    age: int = 0  # times that the instance was touched since

    def holds(self, count: int) -> bool:
        """Whether the instance has hardly changed since, not too long ago."""
        return self.age < MAX_AGE and abs(count - self.count) <= HOLDS_SHARE * self.count


@dataclass
class Entry:
    """A published instance."""

    shape: Shape
    revised_at: Shape  # shape at the last revision
    oriented_at: Shape  # shape when its axes were last fitted
    revision: int = 1
    measured: Measured = field(default_factory=lambda: Measured(0, MAX_AGE))


def measured_rows(measured: Sequence[Measured]) -> Int64[np.ndarray, "E 2"]:
    """To save."""
    return np.array([[m.count, m.age] for m in measured], np.int64).reshape(-1, 2)


def shape_of(
    box: tuple[Float32[np.ndarray, " 3"], Float32[np.ndarray, "3 3"], Float32[np.ndarray, " 3"]],
    sums: Float32[np.ndarray, " 8"],
) -> Shape:
    """From a box (centre, axes, size, m) and the sums over an instance's Gaussians (see `surface_sums`)."""
    count, area_m2, flux_m2, total_m = sums[0], sums[1], sums[2:5], sums[5:]
    seen = np.float32(observed_fraction(float(area_m2), flux_m2))
    return Shape(*box, (total_m / count).astype(np.float32), seen, int(count))
