"""A 16-D feature of every Gaussian, trained so that masks pull their Gaussians together (method 1.6).

The geometry is frozen, so the Gaussians behind every pixel are known: a step blends features at its sampled pixels
alone, from the lists traced once, and never renders an image.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from torch.nn.functional import normalize

from instascene_ros.core.config import RefinementConfig
from instascene_ros.core.gaussian_map import NUM_FEATURES
from instascene_ros.core.offline.coarse_objects import CoarseObjects
from instascene_ros.core.offline.contrastive import prototype_loss
from instascene_ros.core.offline.traced_views import Contributors, TracedViews

GPU_STEPS, CPU_STEPS = 10_000, 1000
CPU_SAMPLES = 8  # on a CPU, a step draws this many times fewer samples
WEIGHT_UNIT = 1e-6  # of the weights of the losses, which are sums over the samples
EPSILON = 1e-15  # of Adam, small beside gradients of that size


def blended(
    unit_features: Float32[Tensor, "N D"], contributors: Contributors, pixels: Int64[Tensor, " S"]
) -> Float32[Tensor, "S D"]:
    """Features of pixels (rows of the contributors): sum of weight * feature."""
    first, last = contributors.starts[pixels], contributors.starts[pixels + 1]
    slots = first[:, None] + torch.arange(max(contributors.longest, 1), device=pixels.device)
    filled = slots < last[:, None]
    slots = torch.where(filled, slots, 0)
    rows = contributors.gaussians[slots].long()
    weights = torch.where(filled, contributors.weights[slots], 0.0)
    gathered = unit_features.index_select(0, rows.reshape(-1)).reshape(*rows.shape, -1)
    return (gathered * weights[..., None]).sum(dim=1)


@dataclass(frozen=True)
class _Pool:
    """What one loss draws from: items of all views, those of view f in `bounds[f] : bounds[f + 1]`."""

    items: Tensor
    bounds: list[int]

    @classmethod
    def of(cls, items: Tensor, ends: Int64[np.ndarray, " views"]) -> "_Pool":
        """`items` ascending; view f holds those from `ends[f]` to before `ends[f + 1]`."""
        return cls(items, torch.searchsorted(items, torch.from_numpy(ends).to(items)).tolist())

    def draw(self, first: int, last: int, count: int) -> Int64[Tensor, " S"] | None:
        """`count` items of views first to last, with replacement; None where there are none."""
        low, high = self.bounds[first], self.bounds[last + 1]
        if low == high:
            return None
        return self.items[torch.randint(low, high, (count,), device=self.items.device)].long()


class FeatureTrainer:
    """Trains the field. `step` by step, so that a caller can stop in between."""

    def __init__(self, views: TracedViews, objects: CoarseObjects, config: RefinementConfig, seed: int = 0) -> None:
        device = views.mask_of_pixel.device
        fewer = 1 if device.type == "cuda" else CPU_SAMPLES
        self.config = replace(
            config, samples=-(-config.samples // fewer), many_samples=-(-config.many_samples // fewer)
        )
        self.views = views
        torch.manual_seed(seed)
        self._order = np.random.default_rng(seed)
        self._queue: list[int] = []
        self.num_objects = objects.num_objects
        self.features = torch.rand(views.num_gaussians, NUM_FEATURES, device=device).requires_grad_()
        self._adam = torch.optim.Adam([self.features], lr=config.learning_rate, eps=EPSILON, fused=True)
        first_mask = np.searchsorted(views.mask_view, np.arange(views.num_views + 1))
        self.most_masks = int(np.diff(first_mask).max(initial=0))
        within_view = np.arange(views.num_masks) - first_mask[views.mask_view]
        # Class of a pixel by its mask number + 1; -1 = says nothing.
        self._mask_class = _table(np.where(objects.trusted, within_view, -1), device)
        self._object_class = _table(objects.object_of_mask.astype(np.int64) - 1, device)
        self._gaussian_class = torch.from_numpy(spatial_classes(views, objects)).to(device)
        covered = views.contributors.starts.diff() > 0
        self._of_masks = self._pixels(self._mask_class, covered)
        self._of_objects = self._pixels(self._object_class, covered)
        self._of_gaussians = self._visible_gaussians()
        self._steps = 0

    def step(self) -> Float32[Tensor, ""]:
        """One step on the next view; returns the loss."""
        if not self._queue:
            self._queue = self._order.permutation(self.views.num_views).tolist()
        view = self._queue.pop()
        unit = normalize(self.features, dim=1)
        terms = [self._single_view(unit, view), self._spatial(unit, view)]
        if self._steps % self.config.multi_view_every == 0:
            terms.append(self._multi_view(unit, view))
        loss = WEIGHT_UNIT * torch.stack(terms).sum()
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()
        self._steps += 1
        return loss.detach()

    def result(self) -> Float32[Tensor, "N 16"]:
        """Unit features."""
        return normalize(self.features.detach(), dim=1)

    def _single_view(self, unit: Float32[Tensor, "N D"], view: int) -> Float32[Tensor, ""]:
        pixels = self._of_masks.draw(view, view, self.config.samples)
        loss = self._pixel_loss(unit, pixels, self._mask_class, self.most_masks)
        return self.config.single_view_weight * loss

    def _multi_view(self, unit: Float32[Tensor, "N D"], view: int) -> Float32[Tensor, ""]:
        reach = self.config.neighbour_views
        first, last = max(view - reach, 0), min(view + reach, self.views.num_views - 1)
        pixels = self._of_objects.draw(first, last, self.config.many_samples)
        loss = self._pixel_loss(unit, pixels, self._object_class, self.num_objects)
        return self.config.multi_view_weight * loss

    def _pixel_loss(
        self,
        unit: Float32[Tensor, "N D"],
        pixels: Int64[Tensor, " S"] | None,
        class_of_mask: Int64[Tensor, " M"],
        num_classes: int,
    ) -> Float32[Tensor, ""]:
        if pixels is None:
            return 0 * unit.sum()
        features = blended(unit, self.views.contributors, pixels)
        features = features / features.detach().norm(dim=1, keepdim=True).clamp(min=1e-12)
        return prototype_loss(features, class_of_mask[self.views.mask_of_pixel[pixels].long()], num_classes)

    def _spatial(self, unit: Float32[Tensor, "N D"], view: int) -> Float32[Tensor, ""]:
        drawn = self._of_gaussians.draw(view, view, self.config.many_samples)
        if drawn is None:
            return 0 * unit.sum()
        rows = drawn % self.views.num_gaussians
        loss = prototype_loss(unit.index_select(0, rows), self._gaussian_class[rows], self.num_objects)
        return self.config.spatial_weight * loss

    def _pixels(self, class_of_mask: Int64[Tensor, " M"], covered: Tensor) -> _Pool:
        says_something = covered & (class_of_mask[self.views.mask_of_pixel.long()] >= 0)
        return _Pool.of(says_something.nonzero()[:, 0].int(), self.views.contributors.first_pixel)

    def _visible_gaussians(self) -> _Pool:
        """(view, Gaussian) pairs as view * N + Gaussian, of Gaussians that belong to an object."""
        seen = self.views.visible.tocoo()
        keys = np.sort(seen.col.astype(np.int64) * self.views.num_gaussians + seen.row)
        items = torch.from_numpy(keys).to(self._gaussian_class.device)
        items = items[self._gaussian_class[items % self.views.num_gaussians] >= 0]
        return _Pool.of(items, np.arange(self.views.num_views + 1) * self.views.num_gaussians)


def spatial_classes(views: TracedViews, objects: CoarseObjects) -> Int64[np.ndarray, " N"]:
    """Object (from 0) of every Gaussian, -1 = none; of several, the one whose masks weigh most on it."""
    if objects.num_objects == 0:
        return np.full(views.num_gaussians, -1, np.int64)
    shows = np.zeros((views.num_masks, objects.num_objects), np.float32)
    masks = np.nonzero(objects.object_of_mask)[0]
    shows[masks, objects.object_of_mask[masks] - 1] = 1
    weight = np.where(objects.members, views.weights @ shows + 1e-6, 0.0)
    return np.where(objects.members.any(axis=1), weight.argmax(axis=1), -1).astype(np.int64)


def _table(class_of_mask: Int64[np.ndarray, " M"], device: torch.device) -> Int64[Tensor, " entries"]:
    return torch.from_numpy(np.concatenate([[-1], class_of_mask]).astype(np.int64)).to(device)


def train_features(
    views: TracedViews,
    objects: CoarseObjects,
    config: RefinementConfig,
    seed: int = 0,
    progress: Callable[[float], None] = lambda _: None,
) -> Float32[Tensor, "N 16"]:
    """Unit features after the configured number of steps. `progress` is told the share done; it may raise to stop."""
    trainer = FeatureTrainer(views, objects, config, seed)
    steps = config.steps or (GPU_STEPS if views.mask_of_pixel.is_cuda else CPU_STEPS)
    for index in range(steps if views.num_masks else 0):
        trainer.step()
        if index % 10 == 9:
            progress((index + 1) / steps)
    return trainer.result()
