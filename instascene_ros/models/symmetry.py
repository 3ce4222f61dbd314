"""Mirror planes and axes of revolution of a half-seen object, each with the evidence for and against it.

A copy of a seen point that lands on seen surface speaks for the symmetry. One that lands in free space, on the surface
of something else or below the support speaks against it. One that lands where no camera looked says nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from instascene_ros.core.geometry import transform
from instascene_ros.core.views import perpendicular
from instascene_ros.models.closure import Seen

NUM_POINTS = 300
AGREE_M, AGREE_COSINE = 0.004, 0.5  # to the seen surface, and between the normals there
CLEAR_M = 0.006  # a copy in free space nearer than this to the seen surface says nothing
TURNS = np.radians(np.arange(30.0, 331.0, 30.0))  # small turns leave flat things in place
MIN_AGREEING = {"mirror": 0.25, "revolution": 0.4}  # of the copies: less overlap is chance
MAX_CONTRADICTED = {"mirror": 0.06, "revolution": 0.2}  # of the copies that say anything; a handle is not revolved
FREE_MARGIN = 2  # voxels
NUM_PAIRS = 20_000
STEPS = (0.004, 0.002, 0.001)  # of the refinement, m; and this many radians for every metre of the object's half size


@dataclass(frozen=True)
class Symmetry:
    """Rigid motions or reflections that leave the object as it is, and what speaks for them."""

    kind: str  # mirror or revolution
    axis: Float64[np.ndarray, " 3"]  # unit: of the plane's normal, or of the revolution
    point_m: Float64[np.ndarray, " 3"]  # on the plane or on the axis
    agreeing: float = 0.0  # share of the copies that land on seen surface
    contradicted: float = 1.0  # share of those that say anything which land where the object is not

    @property
    def holds(self) -> bool:
        return self.agreeing >= MIN_AGREEING[self.kind] and self.contradicted <= MAX_CONTRADICTED[self.kind]

    @property
    def score(self) -> float:
        """The more the better; 0 = as much against as for it."""
        return self.agreeing * (1 - self.contradicted / MAX_CONTRADICTED[self.kind])

    def motions(self, turns: Float64[np.ndarray, " K"] = TURNS) -> list[Float64[np.ndarray, "4 4"]]:
        """T_world_world of the reflection, or of the revolution's turns."""
        if self.kind == "mirror":
            linear = [np.eye(3) - 2 * np.outer(self.axis, self.axis)]
        else:
            linear = list(Rotation.from_rotvec(turns[:, None] * self.axis).as_matrix())
        return [_about(R, self.point_m) for R in linear]

    def moved(self, axis: Float64[np.ndarray, " 3"], point_m: Float64[np.ndarray, " 3"]) -> "Symmetry":
        return Symmetry(self.kind, axis / np.linalg.norm(axis), point_m)


def _about(linear: Float64[np.ndarray, "3 3"], point_m: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, "4 4"]:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = linear, point_m - linear @ point_m
    return T


class SymmetrySearch:
    """Looks for the symmetries of one seen object."""

    def __init__(self, seen: Seen, up: Float64[np.ndarray, " 3"]) -> None:
        rng = np.random.default_rng(0)  # the answer does not depend on who asks
        chosen = rng.permutation(len(seen.points_m))[:NUM_POINTS]
        self._seen, self._up, self._rng = seen, up, rng
        self._points_m = seen.points_m[chosen].astype(np.float64)
        self._normals = seen.normals[chosen].astype(np.float64)
        self._tree = cKDTree(seen.points_m)
        self._nearest_normals = np.concatenate([seen.normals, np.zeros((1, 3), np.float32)])  # of no neighbour: last
        # The edge of free space is uncertain by a pixel, and hidden surface often lies just behind a silhouette.
        self._empty = seen.evidence.taken | ndimage.binary_erosion(seen.evidence.free, iterations=FREE_MARGIN)
        self._radius_m = float(np.linalg.norm(np.ptp(self._points_m, axis=0))) / 2

    def best(self) -> list[Symmetry]:
        """The symmetries that hold, best first: at most one revolution and two planes."""
        found = []
        for kind, candidates, most in (("revolution", self._axes(), 1), ("mirror", self._planes(), 2)):
            judged = sorted((self.judged(s) for s in candidates), key=lambda s: -s.score)
            refined = sorted((self._refined(s) for s in judged[: 2 * most + 1]), key=lambda s: -s.score)
            kept: list[Symmetry] = []
            for symmetry in refined:
                apart = all(abs(symmetry.axis @ other.axis) < 0.8 for other in kept)
                if symmetry.kind == kind and symmetry.holds and apart and len(kept) < most:
                    kept.append(symmetry)
            found += kept
        return sorted(found, key=lambda s: -s.score)

    def judged(self, symmetry: Symmetry) -> Symmetry:
        """The symmetry with the evidence for and against it."""
        motions = symmetry.motions()
        copies_m = np.concatenate([transform(T, self._points_m) for T in motions])
        normals = np.concatenate([self._normals @ T[:3, :3].T for T in motions])
        distance_m, nearest = self._tree.query(copies_m, distance_upper_bound=CLEAR_M)  # further away: infinite
        cosine = (self._nearest_normals[nearest] * normals).sum(-1)
        agreeing = int(((distance_m < AGREE_M) & (cosine > AGREE_COSINE)).sum())
        wrong = self._seen.grid.lookup(self._empty, copies_m, False) & (distance_m > CLEAR_M)
        wrong |= copies_m @ self._up < self._seen.floor_m - CLEAR_M
        against = int(wrong.sum())
        return Symmetry(
            symmetry.kind, symmetry.axis, symmetry.point_m,
            agreeing / len(copies_m), against / max(1, against + agreeing),
        )  # fmt: skip

    def _refined(self, symmetry: Symmetry) -> Symmetry:
        """Hill climbing over what moves and tilts the plane or axis."""
        best = symmetry
        for step_m in STEPS:
            for _ in range(4):
                trials = [self.judged(trial) for trial in self._around(best, step_m)]
                better = max(trials, key=lambda s: s.score)
                if better.score <= best.score + 1e-6:
                    break
                best = better
        return best

    def _around(self, symmetry: Symmetry, step_m: float) -> Iterator[Symmetry]:
        sides = perpendicular(symmetry.axis)
        for sign in (-1.0, 1.0):
            for side in sides:
                yield symmetry.moved(symmetry.axis + sign * step_m / self._radius_m * side, symmetry.point_m)
            for way in [symmetry.axis] if symmetry.kind == "mirror" else sides:
                yield symmetry.moved(symmetry.axis, symmetry.point_m + sign * step_m * way)

    def _axes(self) -> Iterator[Symmetry]:
        """Axes that the normals' lines pass through: upright, and along the object."""
        directions = [self._up, np.linalg.eigh(self._normals.T @ self._normals)[1][:, 0]]
        directions += list(np.linalg.svd(self._points_m - self._points_m.mean(0), full_matrices=False)[2])
        for axis in directions:
            sides = perpendicular(axis)
            points, normals = self._points_m @ sides.T, self._normals @ sides.T  # [P 2]
            middle_m = (self._points_m @ axis).mean()
            yield Symmetry("revolution", axis, _meeting_point(points, normals) @ sides + axis * middle_m)

    def _planes(self) -> Iterator[Symmetry]:
        """Planes between points whose normals mirror each other, by votes of random pairs (Mitra et al. 2006)."""
        a, b = self._rng.integers(0, len(self._points_m), (2, NUM_PAIRS))
        between = self._points_m[b] - self._points_m[a]
        length = np.linalg.norm(between, axis=1)
        axis = between / np.maximum(length, 1e-9)[:, None]
        axis *= np.where(axis @ np.array([1.0, 1e-3, 1e-6]) < 0, -1.0, 1.0)[:, None]
        mirrored = self._normals[a] - 2 * (self._normals[a] * axis).sum(-1, keepdims=True) * axis
        good = (length > 0.25 * self._radius_m) & ((mirrored * self._normals[b]).sum(-1) > 0.95)
        axis, offset_m = axis[good], ((self._points_m[a] + self._points_m[b])[good] / 2 * axis[good]).sum(-1)
        votes = np.concatenate([axis * self._radius_m, offset_m[:, None]], axis=1)  # tilt at the rim, and offset, m
        center_m = self._points_m.mean(0)
        for row in _peaks(votes, 0.12 * self._radius_m):
            normal = row[:3] / np.linalg.norm(row[:3])
            yield Symmetry("mirror", normal, center_m + (row[3] - center_m @ normal) * normal)
        for side in perpendicular(self._up):  # and, for what shows too few pairs, upright planes through the middle
            yield Symmetry("mirror", side, (self._points_m.min(0) + self._points_m.max(0)) / 2)


def _meeting_point(
    points: Float64[np.ndarray, "P 2"], normals: Float64[np.ndarray, "P 2"]
) -> Float64[np.ndarray, " 2"]:
    """Where the lines through the points along the normals meet, in the robust least-squares sense."""
    across = np.stack([-normals[:, 1], normals[:, 0]], axis=1)
    weight = np.ones(len(points))
    meeting = points.mean(0)
    for _ in range(8):
        system = (across * weight[:, None]).T @ across + 1e-6 * len(points) * np.eye(2)
        meeting = np.linalg.solve(system, (across * weight[:, None]).T @ (across * points).sum(-1))
        off_m = np.abs(((meeting - points) * across).sum(-1))
        weight = 1 / (1 + (off_m / 0.003) ** 2)
    return meeting


def _peaks(votes: Float64[np.ndarray, "V 4"], radius: float, most: int = 6) -> Iterator[Float32[np.ndarray, " 4"]]:
    """The most voted places, each the mean of the votes around it, which then no longer count."""
    votes = votes[:4000]
    while most and len(votes) > 20:
        counts = cKDTree(votes).query_ball_point(votes[:400], radius, return_length=True)
        near = np.linalg.norm(votes - votes[int(counts.argmax())], axis=1) < radius
        yield votes[near].mean(0)
        votes, most = votes[~near], most - 1
