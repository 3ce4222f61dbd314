"""Extent of an instance: box, centroid, and how much of its surface can have been seen."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float32, Float64

from instascene_ros.core.columns import Columns, checked
from instascene_ros.core.upright_box import upright_axes

AXES_POINTS = 400  # that the orientation of a box is fitted to
TRIM = 0.01  # share of the outermost points on each side, which are the noisiest
MIN_TILT = 0.05  # cosine between up and the thinnest direction, or its distance from 1: else upright it is
TILTED_GAIN = 0.7  # a box is tilted when that makes it smaller than this share of the upright one
SAME_SHARE = 0.05  # fewer new points than this, and
SAME_SHIFT_M = 0.005  # a box that moved less than this, are not a new revision


@dataclass(frozen=True)
class Samples:
    """Up to B points of each of K instances, evenly spread over its Gaussians."""

    points_m: Float32[np.ndarray, "K B 3"]
    normals: Float32[np.ndarray, "K B 3"]
    valid: Bool[np.ndarray, "K B"]

    def extents(
        self, axes: Float64[np.ndarray, "K 3 3"], trim: float
    ) -> tuple[Float32[np.ndarray, "K 3"], Float32[np.ndarray, "K 3"]]:
        """Ends along the columns of `axes`, without the share `trim` of points beyond each."""
        low, high = self.quantiles(axes, (trim, 1 - trim))
        return low, high

    def quantiles(
        self, axes: Float64[np.ndarray, "K 3 3"], shares: Sequence[float]
    ) -> list[Float32[np.ndarray, "K 3"]]:
        """Coordinates along the columns of `axes` that such shares of the points lie below."""
        along = np.where(self.valid[:, None], np.swapaxes(self.points_m @ axes, 1, 2), np.inf).astype(np.float32)
        along.sort(axis=-1)  # [K 3 B], what is not valid last
        last = np.maximum(self.valid.sum(axis=1) - 1, 0)
        at = [np.round(last * q).astype(int)[:, None, None] for q in shares]
        return [np.take_along_axis(along, i.repeat(3, axis=1), axis=2)[..., 0] for i in at]

    def principal_axes(self) -> Float64[np.ndarray, "K 3 3"]:
        """Right-handed axes (columns) of each instance, the shortest first."""
        weight = self.valid[..., None] / np.maximum(self.valid.sum(axis=1), 1)[:, None, None]
        centred = self.points_m - (self.points_m * weight).sum(axis=1, keepdims=True)
        covariance = np.einsum("kbi,kbj->kij", centred * weight, centred, dtype=np.float64)
        axes = np.linalg.eigh(covariance)[1]
        axes[..., 2] = np.cross(axes[..., 0], axes[..., 1])
        return axes


@dataclass(frozen=True)
class Shape:
    """Extent of one instance."""

    center_m: Float32[np.ndarray, " 3"]
    axes: Float32[np.ndarray, "3 3"]  # R_world_box
    size_m: Float32[np.ndarray, " 3"]
    centroid_m: Float32[np.ndarray, " 3"]
    observed_fraction: np.float32
    num_points: int

    def differs(self, other: "Shape") -> bool:
        moved_m = np.abs(np.concatenate([self.center_m - other.center_m, self.size_m - other.size_m])).max()
        return bool(moved_m > SAME_SHIFT_M or abs(self.num_points - other.num_points) > SAME_SHARE * other.num_points)

    @classmethod
    def table(cls, shapes: Sequence["Shape"]) -> Columns:
        """A row for each of them, to save."""
        rows = {"center_m": (3,), "axes": (3, 3), "size_m": (3,), "centroid_m": (3,), "observed_fraction": ()}
        columns = {
            name: np.array([getattr(shape, name) for shape in shapes], np.float32).reshape(-1, *row)
            for name, row in rows.items()
        }
        return {**columns, "num_points": np.array([s.num_points for s in shapes], np.int64)}

    @classmethod
    def from_table(cls, columns: Columns) -> list["Shape"]:
        """Raises ValueError: the columns do not fit together."""
        found = checked(cls.table([]), columns)
        ordered = [found[f.name] for f in fields(cls)]
        return [cls(*row[:-1], int(row[-1])) for row in zip(*ordered, strict=True)]


def boxes(
    samples: Samples, up: Float64[np.ndarray, " 3"], known: Sequence[Shape | None]
) -> list[tuple[Float32[np.ndarray, " 3"], Float32[np.ndarray, "3 3"], Float32[np.ndarray, " 3"]]]:
    """(centre, axes, size) of each instance's box, upright unless a tilted one fits much better.

    A `known` shape lends its axes: they are fitted anew only where it is None.
    """
    axes = np.stack([_axes(samples, row, up) if s is None else s.axes for row, s in enumerate(known)])
    low, high = samples.extents(axes.astype(np.float64), TRIM)
    centers_m = np.einsum("kij,kj->ki", axes, (low + high) / 2)
    return [tuple(a.astype(np.float32) for a in box) for box in zip(centers_m, axes, high - low, strict=True)]


def _axes(samples: Samples, row: int, up: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, "3 3"]:
    points_m = samples.points_m[row][samples.valid[row]]
    few_m = points_m[:: 1 + len(points_m) // AXES_POINTS]
    upright, normal = upright_axes(few_m, up), np.linalg.eigh(np.cov(few_m.T, bias=True, dtype=np.float64))[1][:, 0]
    if not MIN_TILT < abs(normal @ up) < 1 - MIN_TILT:
        return upright
    both = np.stack([upright, upright_axes(few_m, normal * np.sign(normal @ up))])
    twice = few_m[None].repeat(2, axis=0)
    low, high = Samples(twice, twice, np.ones((2, len(few_m)), bool)).extents(both, TRIM)
    upright_m3, tilted_m3 = np.prod(high - low, axis=1)
    return both[int(tilted_m3 < TILTED_GAIN * upright_m3)]


def observed_fraction(area_m2: float, flux_m2: Float32[np.ndarray, " 3"]) -> float:
    """Share of a closed surface that can have been seen at most, from the sum of area times outward normal.

    Over a closed surface that sum is zero (divergence theorem), so the part that was not seen has at least the area
    that cancels the sum over the part that was: a flat lid. For an object seen all around but from below it is exact.
    """
    missing_m2 = float(np.linalg.norm(flux_m2))
    return area_m2 / (area_m2 + missing_m2) if area_m2 > 0 else 0.0
