"""Segments: the finest parts of the scene that masks agree on, found by tracing masks to Gaussians.

One view at a time, as sums of blend weight between the view's masks and the segments its Gaussians belong to. Sums are
made on the map's device; what is decided from them, on the host, is a small matrix.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor
from torch.nn.functional import max_pool2d

from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.frame_images import BINS
from instascene_ros.core.masks import Masks
from instascene_ros.core.rendering import cpu_masks
from instascene_ros.core.rendering.contract import Trace
from instascene_ros.core.replay import Replayed

REFERENCE_WIDTH_PX = 320  # pixel counts in the configuration are meant at this image width
BORDER_WEIGHT = 0.05
THIN_SHARE = 0.5  # a mask of which more is border shows a thin thing
THIN_BORDER_WEIGHT = 0.3


@dataclass(frozen=True)
class MaskTrace:
    """Gaussians that one view shows, each with the masks that it is seen in most.

    Only pixels count that lie inside a mask and show the mapped surface.
    """

    gaussians: Int64[Tensor, " V"]  # rows of the map, ascending
    masks: Int64[Tensor, "V 2"]  # 1..M, heaviest first; 0 = none
    weights: Float32[Tensor, "V 2"]  # sum of alpha*T, in pixels of a 320 px wide image
    cut_off: Bool[np.ndarray, " M"]  # of mask 1..M (entry 0 unused): does the image border cut it off?

    @property
    def num_masks(self) -> int:
        return len(self.cut_off) - 1

    @classmethod
    def of(
        cls, masks: Masks, labels: Int64[Tensor, "H W"], showing: Bool[Tensor, "H W"], trace: Trace,
        num_gaussians: int, config: TrackingConfig,
    ) -> "MaskTrace":  # fmt: skip
        """Sum the traced pairs of the pixels that are `showing` the mapped surface, per Gaussian and mask.

        `labels` are those of the masks, on the map's device.

        Border pixels hardly vote: masks are off by some pixels there, and a Gaussian seen across a border would sit
        in two masks of one view (the exclusion that InstaScene's code lost from MaskClustering). They vote a little,
        so that what is only ever seen at a border still gets a label, and more in masks of thin things, which are all
        border.
        """
        scale, num_masks = showing.shape[1] / REFERENCE_WIDTH_PX, len(masks)
        bins = BINS * (1 + num_masks // BINS)
        of_pixel = _replayed_weights(labels, num_labels=bins, radius_px=max(1, round(config.border_px * scale))).weights
        traced = _kernels(labels.device).traced
        return cls(*traced(trace, num_gaussians, labels, of_pixel, showing, num_masks, scale**-2), masks.cut_off())


class _PixelWeights(NamedTuple):
    weights: Float32[Tensor, "H W"]


def _pixel_weights(labels: Int64[Tensor, "H W"], *, num_labels: int, radius_px: int) -> _PixelWeights:
    """1 inside masks, less at their borders."""
    border, label_of = _border(labels, radius_px), labels.reshape(-1)
    area_px, rim_px = torch.zeros(2, num_labels, device=labels.device)
    area_px.index_add_(0, label_of, torch.ones_like(label_of, dtype=torch.float32))
    rim_px.index_add_(0, label_of, border.reshape(-1).float())
    at_border = torch.where(rim_px > THIN_SHARE * area_px, THIN_BORDER_WEIGHT, BORDER_WEIGHT)
    return _PixelWeights(torch.where(border, at_border[label_of].reshape(labels.shape), 1.0))


_replayed_weights = Replayed(_pixel_weights)


def _border(labels: Int64[Tensor, "H W"], radius_px: int) -> Bool[Tensor, "H W"]:
    """Pixels within `radius_px` (chessboard) of another label."""
    image = labels[None, None].float()
    most = max_pool2d(torch.cat([image, -image], dim=1), 2 * radius_px + 1, stride=1, padding=radius_px)[0]
    return most[0] != -most[1]


@dataclass(frozen=True)
class Overlap:
    """Blend weight that each mask (row 1..M; row 0 unused) shares with each label in view (columns), on the host."""

    labels: Int64[np.ndarray, " S"]  # segment or instance of each column; the first is 0 = none
    weights: Float32[np.ndarray, "M S"]
    votes: Float32[np.ndarray, "M S"]  # weight of the votes that the Gaussians which the mask shows most have for it
    in_view: Bool[np.ndarray, " S"]  # has any Gaussian that the view shows, in a mask or not

    @classmethod
    def of(
        cls,
        traced: MaskTrace,
        labels: Int64[np.ndarray, " S"],
        column_of: Int64[Tensor, " V"],
        votes: Float32[Tensor, " V"] | None = None,
    ) -> "Overlap":
        """`column_of` tells the column of each Gaussian of the trace, `votes` what it has cast for that label."""
        weights, voted = _kernels(column_of.device).overlap(
            traced.masks, traced.weights, column_of, votes, traced.num_masks, len(labels)
        ).cpu().numpy()  # fmt: skip
        in_view = weights[0] > 0
        weights[0] = 0
        return cls(labels, weights, voted, in_view)

    @property
    def visible(self) -> Float32[np.ndarray, " S"]:
        """Weight of each column."""
        return self.weights.sum(axis=0)

    def containers(self, config: TrackingConfig) -> dict[int, int]:
        """Mask that holds more than `min_containment` of each label's visible weight (method 1.3)."""
        visible, best = self.visible, self.weights.argmax(axis=0)
        held = self.weights.max(axis=0) > config.min_containment * visible
        found = held & (visible >= config.min_visible_px) & (self.labels > 0)
        return dict(zip(self.labels[found].tolist(), best[found].tolist(), strict=True))

    def parts(self, config: TrackingConfig) -> list[tuple[int, int]]:
        """(column, mask) of every real part of a label that several masks share, but for its largest part.

        A part is real when it is a fair share of the label, and no mask holds nearly all of that; or nearly all that
        its mask shows of any label, however large the label is: else a small thing could never leave a table that once
        swallowed it, when most of what the mask shows is new.
        """
        visible, mapped = self.visible, self.weights.sum(axis=1, keepdims=True)
        divided = self.weights.max(axis=0) <= config.min_containment * visible
        real = divided & (self.weights >= config.min_part_share * visible)
        alone = self.weights > config.min_containment * (mapped - self.weights[:, :1])  # column 0 has no label yet
        real |= alone & (self.weights >= config.min_target_share * mapped)
        real &= (self.weights >= config.min_visible_px) & (self.labels > 0)
        real[self.weights.argmax(axis=0), np.arange(len(self.labels))] = False
        return [(int(column), int(mask)) for mask, column in np.argwhere(real)]


def _kernels(device: torch.device) -> ModuleType:
    if device.type == "cuda":
        from instascene_ros.core.rendering import mask_kernels

        return mask_kernels
    return cpu_masks
