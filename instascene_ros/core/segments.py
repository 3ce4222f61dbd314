"""Segments: the finest parts of the scene that masks agree on, found by tracing masks to Gaussians.

One view at a time, as sums of blend weight between the view's masks and the segments its Gaussians belong to.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.masks import Masks
from instascene_ros.core.rendering.contract import Trace

REFERENCE_WIDTH_PX = 320  # pixel counts in the configuration are meant at this image width
BORDER_WEIGHT = 0.05


@dataclass(frozen=True)
class MaskTrace:
    """Traced pairs of one view that can vote: the pixel lies inside a mask and shows a mapped surface."""

    gaussians: Int64[Tensor, " P"]
    masks: Int64[Tensor, " P"]  # 1..M
    weights: Float32[Tensor, " P"]
    cut_off: Bool[np.ndarray, " M"]  # of mask 1..M (entry 0 unused): does the image border cut it off?

    @property
    def num_masks(self) -> int:
        return len(self.cut_off) - 1

    @classmethod
    def of(cls, masks: Masks, showing: Bool[np.ndarray, "H W"], trace: Trace, config: TrackingConfig) -> "MaskTrace":
        """Pairs of the pixels inside a mask that are `showing` the mapped surface, in pixels of a 320 px wide image.

        Border pixels hardly vote: masks are off by some pixels there, and a Gaussian seen across a border would sit
        in two masks of one view (the exclusion that InstaScene's code lost from MaskClustering). They vote a little,
        so that what is only ever seen at a border still gets a label.
        """
        scale = showing.shape[1] / REFERENCE_WIDTH_PX
        weights = np.where(masks.boundary(max(1, round(config.border_px * scale))), BORDER_WEIGHT, 1.0) / scale**2
        images = np.stack([np.where(showing, masks.labels, 0), weights]).astype(np.float32).reshape(2, -1)
        label, weight = torch.from_numpy(images).to(trace.pixels.device)[:, trace.pixels]
        kept = label > 0
        return cls(trace.gaussians[kept], label[kept].long(), (trace.weights * weight)[kept], masks.cut_off())


@dataclass(frozen=True)
class Overlap:
    """Blend weight that each mask (row 1..M; row 0 unused) shares with each segment in view (columns)."""

    segments: list[int]  # of the columns; 0 = Gaussians without a segment
    weights: Float32[Tensor, "M S"]  # on the host

    @classmethod
    def of(cls, traced: MaskTrace, segment_of: Int64[Tensor, " N"]) -> "Overlap":
        width = int(segment_of.max()) + 1 if len(segment_of) else 1
        cells = traced.masks * width + segment_of[traced.gaussians]
        sums = torch.bincount(cells, traced.weights, (traced.num_masks + 1) * width).float().reshape(-1, width).cpu()
        in_view = torch.nonzero(sums.sum(dim=0))[:, 0]
        return cls(in_view.tolist(), sums[:, in_view])

    def column(self, segment: int) -> Float32[Tensor, " M"]:
        if segment not in self.segments:
            return torch.zeros(len(self.weights))
        return self.weights[:, self.segments.index(segment)]

    def containers(self, config: TrackingConfig) -> dict[int, int]:
        """Mask that holds more than `min_containment` of each segment's visible weight (method 1.3)."""
        found = {}
        for i, segment in enumerate(self.segments):
            column = self.weights[:, i]
            visible = float(column.sum())
            best = int(column.argmax())
            if segment > 0 and visible >= config.min_visible_px and column[best] > config.min_containment * visible:
                found[segment] = best
        return found

    def parts(self, segment: int, config: TrackingConfig) -> list[int]:
        """Masks that each hold a real part of a segment, largest part first."""
        column = self.column(segment)
        least = max(config.min_part_share * float(column.sum()), config.min_visible_px)
        masks = [m for m in range(1, len(column)) if column[m] >= least]
        return sorted(masks, key=lambda m: -float(column[m]))
