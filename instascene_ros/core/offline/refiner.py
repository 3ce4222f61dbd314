"""The offline route on a finished or paused map: `Snapshot` -> `Refiner.run` -> `Refinement`.

trace keyframes -> mask clusters -> coarse objects -> feature field -> the best of all, borders by votes
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from instascene_ros.core.config import Config
from instascene_ros.core.errors import CancelledError, InvalidEditError
from instascene_ros.core.frame import Frame
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.offline.agreement import best_of
from instascene_ros.core.offline.coarse_objects import CoarseObjects
from instascene_ros.core.offline.evidence import voted
from instascene_ros.core.offline.feature_field import spatial_classes, train_features
from instascene_ros.core.offline.feature_instances import similarity_to_objects
from instascene_ros.core.offline.mask_clusters import MaskClusters
from instascene_ros.core.offline.traced_views import TracedViews
from instascene_ros.core.offline.verdicts import Verdicts
from instascene_ros.core.rendering.contract import Rasterizer

VOTING_ROUNDS = 2  # the first moves borders, the second shares out the masks again
Report = Callable[[str, float], None]  # (what is being done, share of it 0..1)


def _silent(step: str, fraction: float) -> None:
    pass


@dataclass(frozen=True)
class Snapshot:
    """What refining works from: copies, or what nobody changes meanwhile."""

    gaussians: GaussianMap
    keyframes: tuple[Frame, ...]
    labels: Int64[np.ndarray, " N"]  # instance of every Gaussian, background included; 0 = none
    settled: frozenset[int]  # instances that a user decided on: they stay as they are


@dataclass(frozen=True)
class Refinement:
    """A better decomposition of a snapshot's Gaussians, and what it rests on."""

    sets: Int64[np.ndarray, " N"]  # 1..K, 0 = none
    labels_before: Int64[np.ndarray, " N"]  # of the snapshot
    unit_features: Float32[Tensor, "N 16"]
    views: TracedViews
    objects: CoarseObjects  # of the paper's association alone


class Refiner:
    """One run of the offline route; touches nothing but its snapshot, so it may run beside a paused scene."""

    def __init__(self, snapshot: Snapshot, rasterizer: Rasterizer, config: Config, seed: int = 0) -> None:
        self.snapshot = snapshot
        self.rasterizer = rasterizer
        self.config = config
        self.seed = seed

    def run(self, report: Report = _silent, cancelled: Callable[[], bool] = lambda: False) -> Refinement:
        """Refine the snapshot.

        Raises:
            CancelledError: `cancelled()` was true between two steps.
            InvalidEditError: no keyframe has masks.
        """
        self._check_masks()

        def progress(step: str) -> Callable[[float], None]:
            def tell(fraction: float) -> None:
                if cancelled():
                    raise CancelledError(f"refining was cancelled while {step}; the map is as before")
                report(step, fraction)

            tell(0.0)
            return tell

        shot, refinement = self.snapshot, self.config.refinement
        least = self.config.tracking.min_trace_weight
        views = TracedViews.of(
            shot.keyframes, shot.gaussians, self.rasterizer, least, refinement.min_mask_share, progress("tracing")
        )
        progress("associating")
        objects = self._associate(views)
        features = train_features(views, objects, refinement, self.seed, progress("training features"))
        progress("deciding")
        return Refinement(self._decide(views, objects, features), shot.labels, features, views, objects)

    def _check_masks(self) -> None:
        frames = self.snapshot.keyframes
        if frames and not any(frame.masks is not None and len(frame.masks) for frame in frames):
            raise InvalidEditError(
                f"none of the {len(frames)} remembered keyframes has masks, so there is nothing to refine from: "
                "a map that was loaded keeps none; map new frames with masks first"
            )

    def _associate(self, views: TracedViews) -> CoarseObjects:
        config = self.config.refinement
        verdicts = Verdicts.of(views, config)
        clusters = MaskClusters.of(verdicts, config)
        means_m = self.snapshot.gaussians.means_m.detach().cpu().numpy()
        return CoarseObjects.of(views, verdicts, clusters, means_m, config)

    def _decide(
        self, views: TracedViews, objects: CoarseObjects, features: Float32[Tensor, "N 16"]
    ) -> Int64[np.ndarray, " N"]:
        """Region by region the online, coarse or field instances, whichever masks show best as wholes; then borders."""
        coarse = spatial_classes(views, objects) + 1
        by_features = instances_by_features(features, objects, self.config.refinement.min_similarity)
        settled = np.isin(self.snapshot.labels, list(self.snapshot.settled))
        least_px = self.config.tracking.min_visible_px
        sets = best_of([self.snapshot.labels, coarse, by_features], views, least_px)
        for _ in range(VOTING_ROUNDS):
            sets = voted(views, sets)
        return _with_settled(sets, np.where(settled, self.snapshot.labels, 0))


def instances_by_features(
    unit_features: Float32[Tensor, "N D"], objects: CoarseObjects, min_similarity: float
) -> Int64[np.ndarray, " N"]:
    """The object (1..K) whose mean feature is most similar to each Gaussian's, 0 where none is similar enough."""
    if objects.num_objects == 0:
        return np.zeros(len(unit_features), np.int64)
    best = similarity_to_objects(unit_features, objects.members).max(dim=1)
    return torch.where(best.values >= min_similarity, best.indices + 1, 0).cpu().numpy()


def _with_settled(sets: Int64[np.ndarray, " N"], settled: Int64[np.ndarray, " N"]) -> Int64[np.ndarray, " N"]:
    """`sets` with the instances of `settled` (0 = none) as sets of their own."""
    both = np.where(settled > 0, sets.max(initial=0) + settled, sets)
    return np.unique(np.concatenate([[0], both]), return_inverse=True)[1].reshape(-1)[1:]
