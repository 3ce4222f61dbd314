"""Average precision of predicted instances against the ground truth of a generated tabletop scene.

A reference set of points on observed surfaces takes the label of the nearest predicted point; IoU is counted on it,
and AP is the mean over IoU thresholds 0.50, 0.55 ... 0.95.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64, Int32, Int64
from scipy.spatial import cKDTree

from instascene_ros.core.errors import InvalidSceneError

THRESHOLDS = np.arange(0.5, 0.951, 0.05)
MAX_DISTANCE_M = 0.015  # to the predicted point that labels a reference point
MIN_REFERENCE_POINTS = 50  # objects of which fewer were observed are not asked for
TABLE_HALF_M = np.array([0.60, 0.45])  # x, y of the table top
ON_TABLE_M = 0.004  # z below which a point is on the table


@dataclass(frozen=True)
class InstanceScores:
    """AP with the given scores, with ones, and what they rest on."""

    ap: float
    ap50: float
    ap25: float
    ap_ones: float
    ap50_ones: float
    mean_best_iou: float
    num_objects: int
    num_predicted: int


@dataclass(frozen=True)
class Reference:
    """Points of observed surfaces with the object that each belongs to (0 = table top)."""

    points_m: Float64[np.ndarray, "R 3"]
    objects: Int64[np.ndarray, " R"]
    weights: Float64[np.ndarray, " R"]

    @classmethod
    def open(cls, scene: Path) -> "Reference":
        """Read `reference.npz`.

        Raises:
            InvalidSceneError: the scene has no such ground truth.
        """
        try:
            with np.load(scene / "reference.npz", allow_pickle=False) as file:
                return cls(*(file[k].astype(t) for k, t in (("points", float), ("instance", int), ("weight", float))))
        except (OSError, KeyError, ValueError) as error:
            raise InvalidSceneError(f"{scene} has no reference.npz to score instances against: {error}") from error

    def score(
        self,
        points_m: Float[np.ndarray, "P 3"],
        labels: Int32[np.ndarray, " P"] | Int64[np.ndarray, " P"],
        score_of: dict[int, float],
    ) -> InstanceScores:
        """Score predicted points with an instance each (0 = none); `score_of` has the confidence of every instance."""
        at_reference = self._labels_at_reference(points_m, labels)
        scored = [
            i
            for i in np.unique(labels[labels > 0]).tolist()
            if not self._is_background(i, points_m, labels, at_reference)
        ]
        objects = [
            o for o in np.unique(self.objects[self.objects > 0]).tolist() if self._size(o) >= MIN_REFERENCE_POINTS
        ]
        iou = self._iou(at_reference, scored, objects)
        scores, ones = np.array([score_of[i] for i in scored]), np.ones(len(scored))
        precisions = {t: average_precision(iou, scores, t) for t in (*THRESHOLDS, 0.25)}
        with_ones = [average_precision(iou, ones, t) for t in THRESHOLDS]
        return InstanceScores(
            float(np.mean([precisions[t] for t in THRESHOLDS])), precisions[THRESHOLDS[0]], precisions[0.25],
            float(np.mean(with_ones)), with_ones[0],
            float(iou.max(axis=0, initial=0).mean()) if objects else 0.0, len(objects), len(scored),
        )  # fmt: skip

    def _size(self, of_object: int) -> int:
        return int((self.objects == of_object).sum())

    def _labels_at_reference(
        self, points_m: Float[np.ndarray, "P 3"], labels: Int32[np.ndarray, " P"] | Int64[np.ndarray, " P"]
    ) -> Int64[np.ndarray, " R"]:
        found = np.zeros(len(self.points_m), np.int64)
        if len(points_m):
            distance_m, nearest = cKDTree(points_m).query(self.points_m, distance_upper_bound=MAX_DISTANCE_M)
            hit = np.isfinite(distance_m)
            found[hit] = np.maximum(labels[nearest[hit]], 0)
        return found

    def _is_background(
        self,
        instance: int,
        points_m: Float[np.ndarray, "P 3"],
        labels: Int32[np.ndarray, " P"] | Int64[np.ndarray, " P"],
        at_reference: Int64[np.ndarray, " R"],
    ) -> bool:
        """Mostly on the table top, beside the table or below it: counted neither right nor wrong."""
        own, of_it = points_m[labels == instance], at_reference == instance
        off = (np.abs(own[:, :2]) > TABLE_HALF_M).any(axis=1) | (own[:, 2] < ON_TABLE_M)
        on_table = self.weights[of_it & (self.objects == 0)].sum() > 0.5 * self.weights[of_it].sum()
        return bool((on_table and of_it.any()) or off.mean() > 0.5)

    def _iou(
        self, at_reference: Int64[np.ndarray, " R"], scored: list[int], objects: list[int]
    ) -> Float64[np.ndarray, "K G"]:
        on_objects = self.objects > 0
        predicted = np.stack([on_objects & (at_reference == i) for i in scored] or [np.zeros(len(on_objects), bool)])
        actual = np.stack([self.objects == o for o in objects] or [np.zeros(len(on_objects), bool)])
        weighted = predicted * self.weights
        shared = weighted @ actual.T
        union = weighted.sum(axis=1)[:, None] + (actual @ self.weights)[None] - shared
        return (shared / np.maximum(union, 1e-12))[: len(scored), : len(objects)]


def average_precision(iou: Float64[np.ndarray, "K G"], scores: Float64[np.ndarray, " K"], threshold: float) -> float:
    """Area under the precision-recall curve at one IoU threshold.

    Predictions, best score first (ties: best IoU first), take the free object they overlap most, if by `threshold`.
    The curve has a point after each group of equal scores, and precision is made to fall with recall.
    """
    if iou.size == 0:
        return 0.0
    order = np.lexsort((-iou.max(axis=1), -scores))
    hits, free = np.zeros(len(order)), np.ones(iou.shape[1], bool)
    for rank, prediction in enumerate(order):
        candidates = np.where(free, iou[prediction], -1.0)
        best = int(candidates.argmax())
        if candidates[best] >= threshold:
            hits[rank], free[best] = 1.0, False
    ends = np.append(np.nonzero(np.diff(scores[order]))[0], len(order) - 1)
    found = np.cumsum(hits)[ends]
    precision = np.maximum.accumulate((found / (ends + 1.0))[::-1])[::-1]
    recall_steps = np.diff(np.append(0.0, found / iou.shape[1]))
    return float((recall_steps * precision).sum())
