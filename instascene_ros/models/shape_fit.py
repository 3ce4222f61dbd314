"""Fits a simple shape to what was seen of an object, and says whether the shape explains it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import ndimage
from scipy.spatial.transform import Rotation

from instascene_ros.core.upright_box import upright_axes
from instascene_ros.models.closure import Seen
from instascene_ros.models.superquadric import Superquadric, from_parameters, lowest_m, radial_distance_m

# Kind: exponents, and how many of the half sizes should be equal (2: the cross-section, 3: all).
KINDS = {"ball": (1.0, 1.0, 3), "drum": (0.2, 1.0, 2), "block": (0.2, 0.2, 0), "pillow": (0.5, 0.5, 0)}
SIGMA_M = 0.0015
NUM_POINTS, NUM_EMPTY = 600, 600
INLIER_M = 0.004
MIN_INLIERS, MAX_VIOLATION = 0.7, 0.15  # what the cameras saw is carved from the shape in any case
EMPTY_WEIGHT, ROUND_WEIGHT, EXPONENT_WEIGHT, TAPER_WEIGHT, SIZE_WEIGHT, TURN_WEIGHT = 3.0, 1.5, 1.5, 2.0, 0.03, 0.1
CONTACT_M = 0.002

Residuals = Callable[[Float64[np.ndarray, "B 12"]], Float64[np.ndarray, "B R"]]


@dataclass(frozen=True)
class ShapeFit:
    """The best simple shape."""

    kind: str
    shape: Superquadric
    inliers: float  # 0..1, share of seen points within 4 mm of its surface
    violation: float  # volume that lies where there is nothing, in shares of the shape's volume


def explains(fit: ShapeFit) -> bool:
    """Whether the shape is a better guess at the hidden side than mere closure."""
    return fit.inliers >= MIN_INLIERS and fit.violation <= MAX_VIOLATION


def _soft(residual: np.ndarray) -> np.ndarray:
    """Square root of the soft-L1 loss: outliers count linearly."""
    return np.sign(residual) * np.sqrt(2 * (np.sqrt(1 + residual**2) - 1) + 1e-12)


@dataclass(frozen=True)
class _Evidence:
    points_m: Float64[np.ndarray, "P 3"]
    empty_m: Float64[np.ndarray, "E 3"]  # points that are not the object's
    up: Float64[np.ndarray, " 3"]
    floor_m: float
    rests: bool  # it touches the floor; otherwise it only may not go below


def fit_shape(seen: Seen, up: Float64[np.ndarray, " 3"], rng: np.random.Generator) -> ShapeFit:
    """Try each kind in each of three frames, refine the best start of each kind, keep the best."""
    points_m = seen.points_m.astype(np.float64)
    empty_m = _empty_points(seen, up)
    evidence = _Evidence(
        points_m[rng.permutation(len(points_m))[:NUM_POINTS]], empty_m[rng.permutation(len(empty_m))[:NUM_EMPTY]],
        up, seen.floor_m, seen.rests,
    )  # fmt: skip
    fits = []
    for kind in KINDS:
        starts = [_start(evidence.points_m, R, kind) for R in _frames(points_m, up)]
        residuals = [_residuals(evidence, start, kind) for start in starts]
        rough = [_descend(f, s, np.arange(9), 6) for f, s in zip(residuals, starts, strict=True)]
        best = int(np.argmin([cost for cost, _ in rough]))
        cost, row = _descend(residuals[best], rough[best][1], np.arange(12), 12)
        fits.append((cost, kind, row))
    _, kind, row = min(fits, key=lambda fit: fit[0])
    shape = from_parameters(row)
    inliers = float((np.abs(shape.distance_m(points_m)) < INLIER_M).mean())
    trespass = float((shape.distance_m(empty_m) < -seen.grid.voxel_m).sum()) * seen.grid.voxel_m**3
    return ShapeFit(kind, shape, inliers, trespass / max(shape.volume_m3, 1e-12))


def _empty_points(seen: Seen, up: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, "E 3"]:
    """Voxels around the object that it cannot fill: a voxel deep in free space, or under its base."""
    centers_m = seen.grid.centers_m()
    empty = ndimage.binary_erosion(seen.evidence.free | seen.evidence.taken, border_value=1).ravel()
    empty |= centers_m @ up < seen.floor_m - 2 * CONTACT_M
    low, high = seen.points_m.min(0) - 0.02, seen.points_m.max(0) + 0.02
    return centers_m[empty & ((centers_m > low) & (centers_m < high)).all(-1)].astype(np.float64)


def _frames(points_m: Float64[np.ndarray, "P 3"], up: Float64[np.ndarray, " 3"]) -> list[Float64[np.ndarray, "3 3"]]:
    """Upright with z up, upright with z along the longer side, and along the principal axes."""
    upright = upright_axes(points_m, up)
    _, _, principal = np.linalg.svd(points_m - points_m.mean(0), full_matrices=False)
    principal = principal * np.sign(np.linalg.det(principal))
    return [upright, upright[:, [1, 2, 0]], principal.T[:, [1, 2, 0]]]


def _start(
    points_m: Float64[np.ndarray, "P 3"], R: Float64[np.ndarray, "3 3"], kind: str
) -> Float64[np.ndarray, " 12"]:
    local = points_m @ R
    low, high = np.percentile(local, (1, 99), axis=0)
    half_sizes = np.log(np.maximum((high - low) / 2, 0.004))
    pose = [Rotation.from_matrix(R).as_rotvec(), R @ ((low + high) / 2)]
    return np.concatenate([*pose, half_sizes, KINDS[kind][:2], [0.0]])


def _residuals(evidence: _Evidence, start: Float64[np.ndarray, " 12"], kind: str) -> Residuals:
    """Seen points lie on the shape, empty points outside, it stands on its base, and stays near its kind and start."""
    *exponents, num_equal = KINDS[kind]

    def residuals(rows: Float64[np.ndarray, "B 12"]) -> Float64[np.ndarray, "B R"]:
        surface = _soft(radial_distance_m(rows, evidence.points_m) / SIGMA_M) / np.sqrt(len(evidence.points_m))
        inside = np.maximum(0, -radial_distance_m(rows, evidence.empty_m)) / (2 * SIGMA_M)
        gap = (lowest_m(rows, evidence.up) - evidence.floor_m) / CONTACT_M
        terms = [
            surface,
            EMPTY_WEIGHT * _soft(inside) / np.sqrt(max(1, len(evidence.empty_m))),
            0.5 * _soft(gap if evidence.rests else np.minimum(gap, 0))[:, None],
            SIZE_WEIGHT * (rows[:, 6:9] - start[6:9]),
            TURN_WEIGHT * (rows[:, :3] - start[:3]),
            EXPONENT_WEIGHT * (rows[:, 9:11] - exponents),
            TAPER_WEIGHT * rows[:, 11:],
        ]
        if num_equal >= 2:
            terms.append(ROUND_WEIGHT * (rows[:, 6:7] - rows[:, 7:8]))
        if num_equal == 3:
            terms.append(0.5 * ROUND_WEIGHT * (rows[:, 8:9] - rows[:, 6:8].mean(1, keepdims=True)))
        return np.concatenate(terms, axis=1)

    return residuals


def _descend(
    residuals: Residuals, start: Float64[np.ndarray, " 12"], free: np.ndarray, iterations: int
) -> tuple[float, Float64[np.ndarray, " 12"]]:
    """Levenberg-Marquardt over the parameters `free`; every trial of one iteration is evaluated in one batch."""
    row, damping = start.copy(), 1e-2
    steps = 1e-5 * np.eye(len(start))[free]
    for _ in range(iterations):
        values = residuals(np.concatenate([row[None], row + steps]))
        jacobian = (values[1:] - values[0]).T / 1e-5
        gradient, hessian = jacobian.T @ values[0], jacobian.T @ jacobian
        trials = []
        for factor in (0.1, 1.0, 10.0, 100.0):
            damped = hessian + damping * factor * (np.diag(np.diag(hessian)) + 1e-6 * np.eye(len(free)))
            trial = row.copy()
            trial[free] -= np.clip(np.linalg.solve(damped, gradient), -0.5, 0.5)
            trials.append(trial)
        costs = 0.5 * (residuals(np.stack(trials)) ** 2).sum(1)
        best = int(costs.argmin())
        if not costs[best] < 0.5 * (values[0] ** 2).sum() - 1e-7:
            break
        row, damping = trials[best], float(np.clip(damping * (0.1, 1.0, 10.0, 100.0)[best], 1e-8, 1e4))
    return float(0.5 * (residuals(row[None]) ** 2).sum()), row
