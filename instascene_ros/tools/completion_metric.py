"""How right completed objects are: distances, F-scores, volume IoU against the ground truth of a generated scene.

Metric scene frame, no alignment. Surfaces are judged on points spread evenly over their area, clouds on their points.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.frame import Frame
from instascene_ros.core.geometry import landing
from instascene_ros.core.meshing import Mesh, RayCaster, is_watertight, read_mesh

NUM_SAMPLES, NUM_MATCHING_SAMPLES = 20_000, 1500
MATCH_M, MIN_MATCH = 0.010, 0.1  # an object is matched by the F-score at this distance, if by as much
SEEN_DEPTH_M = 0.008
MIN_PART = 50  # points of the seen or unseen part below which nothing is said about it
CELL_M = 0.005
MAX_CELLS = 2e7


@dataclass(frozen=True)
class ShapeScores:
    """One completed object against the truth; NaN where it cannot be said."""

    f5: float
    f10: float
    unseen5: float  # share of the truth that no frame saw which has the prediction within 5 mm
    unseen10: float
    chamfer_mm: float
    volume_iou: float
    watertight: bool


class Surface:
    """A mesh, or a cloud where there are no faces."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.watertight = is_watertight(mesh)
        self._caster = RayCaster(mesh) if len(mesh.faces) else None
        self._tree = None if len(mesh.faces) else cKDTree(mesh.vertices_m)

    def samples_m(self, count: int, seed: int = 0) -> Float32[np.ndarray, "P 3"]:
        """Points spread evenly over the area; of a cloud at most `count` of its points."""
        rng = np.random.default_rng(seed)
        corners = self.mesh.vertices_m[self.mesh.faces]
        if not len(corners):
            return rng.permutation(self.mesh.vertices_m)[:count]
        area = self.mesh.face_areas_m2().astype(np.float64)
        a, b, c = np.moveaxis(corners[rng.choice(len(area), count, p=area / area.sum())], 1, 0)
        along, across = np.sqrt(rng.random((count, 1))), rng.random((count, 1))
        return (a + along * ((1 - across) * (b - a) + across * (c - a))).astype(np.float32)

    def distance_m(self, points_m: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, " P"]:
        points_m = points_m.astype(np.float32)
        return self._tree.query(points_m)[0] if self._caster is None else self._caster.distance_m(points_m)

    def inside(self, points_m: Float[np.ndarray, "P 3"]) -> Bool[np.ndarray, " P"]:
        """Which points it encloses; a cloud encloses none."""
        points_m = points_m.astype(np.float32)
        return np.zeros(len(points_m), bool) if self._caster is None else self._caster.inside(points_m)


@dataclass(frozen=True)
class TrueObject:
    """Ground truth of one object."""

    surface: Surface
    points_m: Float64[np.ndarray, "P 3"]
    seen: Bool[np.ndarray, " P"]

    def score(self, predicted: Surface) -> ShapeScores:
        to_truth_m = self.surface.distance_m(predicted.samples_m(NUM_SAMPLES))
        to_predicted_m = predicted.distance_m(self.points_m)
        unseen_m = to_predicted_m[~self.seen]
        enough = len(unseen_m) >= MIN_PART
        closed = predicted.watertight and self.surface.watertight
        return ShapeScores(
            f_score(to_truth_m, to_predicted_m, 0.005),
            f_score(to_truth_m, to_predicted_m, 0.010),
            float((unseen_m < 0.005).mean()) if enough else np.nan,
            float((unseen_m < 0.010).mean()) if enough else np.nan,
            float(to_truth_m.mean() + to_predicted_m.mean()) * 500,
            volume_iou(predicted, self.surface) if closed else np.nan,
            predicted.watertight,
        )


def f_score(precise_m: Float[np.ndarray, " P"], complete_m: Float[np.ndarray, " Q"], within_m: float) -> float:
    """Harmonic mean of the shares of predicted and of true points that lie within `within_m` of the other surface."""
    precision, recall = float((precise_m < within_m).mean()), float((complete_m < within_m).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def volume_iou(a: Surface, b: Surface) -> float:
    """Shared over joint volume of two closed surfaces, counted in cells of 5 mm; NaN for what is far too large."""
    low = np.minimum(a.mesh.vertices_m.min(0), b.mesh.vertices_m.min(0)).astype(np.float64) - CELL_M
    high = np.maximum(a.mesh.vertices_m.max(0), b.mesh.vertices_m.max(0)).astype(np.float64) + CELL_M
    if np.prod((high - low) / CELL_M) > MAX_CELLS:
        return float("nan")
    axes = [np.arange(x + CELL_M / 2, y, CELL_M) for x, y in zip(low, high, strict=True)]
    cells_m = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    in_a, in_b = a.inside(cells_m), b.inside(cells_m)
    return float((in_a & in_b).sum() / max(1, (in_a | in_b).sum()))


@dataclass(frozen=True)
class TrueObjects:
    """All objects of a scene; `seen` tells which of their points some frames of it saw."""

    objects: Mapping[int, TrueObject]

    @classmethod
    def open(cls, scene: Path, frames: Sequence[Frame] | None, instances: Sequence[np.ndarray] = ()) -> "TrueObjects":
        """`frames` and their images of true instances: those that were used; None = all, as the scene has it noted.

        Raises:
            InvalidSceneError: the scene has no such ground truth.
        """
        try:
            with np.load(scene / "gt_points.npz", allow_pickle=False) as file:
                points_m, ids = file["points"].astype(np.float64), file["instance"].astype(np.int64)
                normals, seen = file["normals"].astype(np.float64) / 127, file["n_seen"] > 0
            meshes = {int(path.stem): read_mesh(path) for path in (scene / "objects").glob("*.ply")}
        except (OSError, KeyError, ValueError) as error:
            raise InvalidSceneError(f"{scene} has no true objects to score completions against: {error}") from error
        if frames is not None:
            views = zip(frames, instances, strict=True)
            seen = np.any([_shown(points_m, normals, ids, frame, image) for frame, image in views], axis=0)
        return cls({i: TrueObject(Surface(meshes[i]), points_m[ids == i], seen[ids == i]) for i in sorted(meshes)})

    def match(self, predicted: Sequence[Surface]) -> dict[int, int]:
        """Object id -> row of `predicted`, one to one, by the best sum of F-scores at 10 mm."""
        ids = list(self.objects)
        scores = np.zeros((len(predicted), len(ids)))
        for row, surface in enumerate(predicted):
            samples_m = surface.samples_m(NUM_MATCHING_SAMPLES, seed=1)
            low, high = samples_m.min(0) - MATCH_M, samples_m.max(0) + MATCH_M
            for column, i in enumerate(ids):
                true, points_m = self.objects[i].surface, self.objects[i].points_m[::4]
                if (points_m.max(0) >= low).all() and (points_m.min(0) <= high).all():
                    to_truth_m, to_predicted_m = true.distance_m(samples_m), surface.distance_m(points_m)
                    scores[row, column] = f_score(to_truth_m, to_predicted_m, MATCH_M)
        pairs = zip(*linear_sum_assignment(-scores), strict=True)
        return {ids[column]: int(row) for row, column in pairs if scores[row, column] >= MIN_MATCH}


def _shown(
    points_m: Float64[np.ndarray, "P 3"],
    normals: Float64[np.ndarray, "P 3"],
    ids: np.ndarray,
    frame: Frame,
    instances: np.ndarray,
) -> Bool[np.ndarray, " P"]:
    """Which points the frame shows: facing it, on their own object, and at the depth that was measured."""
    _, u, v, z, inside = landing(points_m, frame.camera, frame.T_world_camera)
    facing = ((frame.T_world_camera[:3, 3] - points_m) * normals).sum(-1) > 0
    at_depth = np.abs(frame.depth_m[v, u] - z) < SEEN_DEPTH_M
    return inside & facing & at_depth & (instances[v, u] == ids)
