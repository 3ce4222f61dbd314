"""Which Gaussians every remembered keyframe shows, pixel by pixel and mask by mask (InstaScene's spatial tracker)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int32, Int64
from scipy import sparse
from torch import Tensor

from instascene_ros.core.frame import Frame
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.rendering.contract import Rasterizer
from instascene_ros.core.segments import REFERENCE_WIDTH_PX

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Contributors:
    """The Gaussians behind each pixel of all views, one after the other, as compressed rows.

    Pixel q of view f is row `first_pixel[f] + q`. While the geometry is frozen these lists never change, so that a
    feature field is trained on them without rasterising again.
    """

    starts: Int64[Tensor, " rows"]  # one more than there are pixels
    gaussians: Int32[Tensor, " P"]
    weights: Float32[Tensor, " P"]  # alpha * T
    first_pixel: Int64[np.ndarray, " views"]  # one more than there are views
    longest: int  # most Gaussians behind any pixel


@dataclass(frozen=True)
class TracedViews:
    """All masks of F views, numbered from 0 view by view, as sparse matrices over N Gaussians and M masks.

    Areas are sums of blend weight alpha * T in pixels of a 320 px wide image.
    """

    stamps_ns: Int64[np.ndarray, " F"]
    mask_view: Int32[np.ndarray, " M"]  # view of each mask
    cut_off: Bool[np.ndarray, " M"]  # does the image border cut the mask off?
    weights: sparse.csr_array  # [N M] area that a mask shares with a Gaussian
    seen: sparse.csr_array  # [N F] area of a Gaussian in a view, inside masks or not
    contributors: Contributors
    mask_of_pixel: Int32[Tensor, " pixels"]  # of all views: mask number + 1, 0 = none
    min_share: float = 0.0  # a mask holds the Gaussians of whose weight in the view it has more than this

    @property
    def num_gaussians(self) -> int:
        return self.weights.shape[0]

    @property
    def num_masks(self) -> int:
        return len(self.mask_view)

    @property
    def num_views(self) -> int:
        return self.seen.shape[1]

    @cached_property
    def tracker(self) -> sparse.csr_array:
        """P(i, j) of method 1.2: [N M], 1 where a mask holds a Gaussian.

        With `min_share` 0 one traced pixel inside the mask is enough, as in the paper. Along the border of a mask that
        also takes in what lies behind; on small images the border is a good part of every mask.
        """
        pairs = self.weights.tocoo()
        in_view = np.asarray(self.seen[pairs.row, self.mask_view[pairs.col]]).reshape(-1)
        kept = pairs.data > self.min_share * in_view
        ones = np.ones(int(kept.sum()), np.float32)
        return _matrix(pairs.row[kept], pairs.col[kept], ones, pairs.shape)

    @cached_property
    def visible(self) -> sparse.csr_array:
        """V(i): [N F], 1 where a Gaussian has a traced pixel in a view."""
        return _ones(self.seen)

    @cached_property
    def label(self) -> sparse.csr_array:
        """[N M], 1 at the one mask of each view that labels a Gaussian there: of several, the last."""
        pairs = self.tracker.tocoo()
        order = np.lexsort((pairs.col, pairs.row))
        rows, masks = pairs.row[order], pairs.col[order]
        views = self.mask_view[masks]
        last = np.ones(len(rows), bool)
        last[:-1] = (rows[1:] != rows[:-1]) | (views[1:] != views[:-1])
        return _matrix(rows[last], masks[last], np.ones(int(last.sum()), np.float32), pairs.shape)

    @classmethod
    def of(
        cls,
        keyframes: Sequence[Frame],
        gaussians: GaussianMap,
        rasterizer: Rasterizer,
        min_trace_weight: float,
        min_share: float = 0.0,
        progress: Progress = lambda _: None,
    ) -> "TracedViews":
        """Trace every keyframe that has masks; others are left out."""
        builder = _Builder(len(gaussians))
        frames = [frame for frame in keyframes if frame.masks is not None]
        for index, frame in enumerate(frames):
            builder.add(frame, gaussians, rasterizer, min_trace_weight)
            progress((index + 1) / len(frames))
        return builder.finish(gaussians.device, min_share)


class _Builder:
    """Collects one view after the other."""

    def __init__(self, num_gaussians: int) -> None:
        self.num_gaussians = num_gaussians
        self.stamps_ns: list[int] = []
        self.mask_view: list[int] = []
        self.cut_off: list[bool] = []
        self.first_pixel = [0]
        self.counts: list[Tensor] = []  # per pixel
        self.pairs: list[tuple[Tensor, Tensor]] = []  # (gaussians, weights), sorted by pixel
        self.mask_of_pixel: list[Tensor] = []
        self.in_masks: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # (gaussian, mask, weight)
        self.in_views: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    @torch.no_grad()
    def add(self, frame: Frame, gaussians: GaussianMap, rasterizer: Rasterizer, min_trace_weight: float) -> None:
        view, first_mask = len(self.counts), len(self.mask_view)
        trace = rasterizer(
            gaussians, gaussians.means_m[:, :1], frame.camera, frame.T_world_camera, min_trace_weight
        ).trace
        labels = np.unique(frame.masks.labels[frame.masks.labels > 0])
        number = np.zeros(len(frame.masks) + 1, np.int32)
        number[labels] = first_mask + 1 + np.arange(len(labels))
        self.mask_view += [view] * len(labels)
        self.cut_off += frame.masks.cut_off()[labels].tolist()
        self.stamps_ns.append(frame.stamp_ns)
        image = torch.from_numpy(number[frame.masks.labels].reshape(-1)).to(trace.pixels.device)
        order = torch.argsort(trace.pixels)
        pixels, rows, weights = trace.pixels[order], trace.gaussians[order], trace.weights[order].detach()
        self.counts.append(torch.bincount(pixels, minlength=len(image)))
        self.pairs.append((rows.int(), weights))
        self.mask_of_pixel.append(image)
        self.first_pixel.append(self.first_pixel[-1] + len(image))
        mask = image[pixels].long()
        area = weights * (REFERENCE_WIDTH_PX / frame.camera.width) ** 2
        self.in_masks.append(_summed(rows[mask > 0], mask[mask > 0] - 1, area[mask > 0]))
        self.in_views.append(_summed(rows, torch.full_like(rows, view), area))

    def finish(self, device: torch.device, min_share: float) -> "TracedViews":
        shape = (self.num_gaussians, len(self.mask_view))
        contributors = Contributors(
            torch.cat([torch.zeros(1, dtype=torch.int64, device=device), *self.counts]).cumsum(0),
            torch.cat([torch.zeros(0, dtype=torch.int32, device=device), *(rows for rows, _ in self.pairs)]),
            torch.cat([torch.zeros(0, device=device), *(weights for _, weights in self.pairs)]),
            np.array(self.first_pixel, np.int64),
            max((int(c.max()) for c in self.counts), default=0),
        )
        return TracedViews(
            np.array(self.stamps_ns, np.int64), np.array(self.mask_view, np.int32), np.array(self.cut_off, bool),
            _stacked(self.in_masks, shape), _stacked(self.in_views, (self.num_gaussians, len(self.counts))),
            contributors, torch.cat([torch.zeros(0, dtype=torch.int32, device=device), *self.mask_of_pixel]),
            min_share,
        )  # fmt: skip


def _summed(
    rows: Int64[Tensor, " P"], columns: Int64[Tensor, " P"], weights: Float32[Tensor, " P"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct (row, column) pairs with the sum of their weights, on the host."""
    width = int(columns.max()) + 1 if len(columns) else 1
    keys, inverse = torch.unique(rows * width + columns, return_inverse=True)
    sums = torch.zeros(len(keys), device=rows.device).index_add_(0, inverse, weights)
    return (keys // width).cpu().numpy(), (keys % width).cpu().numpy(), sums.cpu().numpy()


def _stacked(triples: list[tuple[np.ndarray, np.ndarray, np.ndarray]], shape: tuple[int, int]) -> sparse.csr_array:
    if not triples:
        return sparse.csr_array(shape, dtype=np.float32)
    rows, columns, weights = (np.concatenate(parts) for parts in zip(*triples, strict=True))
    return _matrix(rows, columns, weights, shape)


def _matrix(rows: np.ndarray, columns: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> sparse.csr_array:
    matrix = sparse.csr_array((values.astype(np.float32), (rows, columns)), shape=shape)
    matrix.sort_indices()
    return matrix


def _ones(matrix: sparse.csr_array) -> sparse.csr_array:
    return sparse.csr_array((np.ones_like(matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape)
