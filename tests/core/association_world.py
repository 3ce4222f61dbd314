"""A small world for association alone: objects are patches of Gaussians, and views say which masks show them."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.segments import MaskTrace
from instascene_ros.core.tracker import Tracker

EACH = 120  # Gaussians of an object, in a row; each covers one pixel
View = Mapping[int, Sequence[tuple[int, float, float]]]  # mask -> (object, from, to) as shares of the object's row


class World:
    """Objects 0, 1, ... and a tracker that sees them only through masks."""

    def __init__(self, num_objects: int, config: TrackingConfig | None = None) -> None:
        n = num_objects * EACH
        self.truth = np.repeat(np.arange(num_objects), EACH)
        means = torch.stack([torch.arange(n) * 0.002, torch.zeros(n), torch.zeros(n)], dim=1)
        quats = torch.tensor([[1.0, 0, 0, 0]]).repeat(n, 1)
        self.gaussians = GaussianMap.from_surfels(
            means, quats, torch.full((n, 2), 0.001), torch.full((n,), 0.9), torch.zeros(n, 3)
        )
        self.tracker = Tracker(config or TrackingConfig())
        self.stamp_ns = 0

    def see(self, view: View, votes: View | None = None) -> None:
        """One keyframe. What mask 0 lists is in view without a mask. `votes`: its masks after repair."""
        traced = self._traced(view)
        self.stamp_ns += 100_000_000
        repaired = traced if votes is None else self._traced(votes)
        self.tracker.associate(traced, repaired, self.stamp_ns, self.gaussians)

    def _traced(self, view: View) -> MaskTrace:
        mask_of = np.full(len(self.truth), -1)
        for mask, parts in view.items():
            for target, low, high in parts:
                rows = np.nonzero(self.truth == target)[0]
                mask_of[rows[round(low * len(rows)) : round(high * len(rows))]] = mask
        rows = np.nonzero(mask_of >= 0)[0]
        masks = np.stack([mask_of[rows], np.zeros(len(rows), np.int64)], axis=1)
        weights = np.stack([mask_of[rows] > 0, np.zeros(len(rows), bool)], axis=1).astype(np.float32)
        cut_off = np.zeros(max(view, default=0) + 1, bool)
        return MaskTrace(*map(torch.from_numpy, (rows, masks, weights)), cut_off)

    def labels(self, target: int) -> list[int]:
        """Ids on an object, the most frequent first."""
        ids, counts = np.unique(self.tracker.labels(self.gaussians).numpy()[self.truth == target], return_counts=True)
        return ids[np.argsort(-counts, kind="stable")].tolist()

    def purity(self, target: int) -> float:
        """IoU of an object with its most frequent id."""
        labels = self.tracker.labels(self.gaussians).numpy()
        mine, own = self.truth == target, labels == self.labels(target)[0]
        return float((mine & own).sum() / (mine | own).sum())


def whole(*targets: int) -> list[tuple[int, float, float]]:
    return [(target, 0.0, 1.0) for target in targets]


def alone(*targets: int) -> View:
    """A mask for each."""
    return {mask: whole(target) for mask, target in enumerate(targets, start=1)}
