"""What association by appearance gives: masks that look alike are one object, wherever they are.

A histogram of the mask's colours in L*a*b* stands for the embedding of a large network (CLIP, DINO), which would need
weights. Each mask goes to the object it looks most like, at most one mask of a view to each; no geometry takes part in
it. Copies of one product look alike with any embedding.
"""

import numpy as np
from jaxtyping import Float32, Int64
from scipy.ndimage import gaussian_filter
from scipy.optimize import linear_sum_assignment

from instascene_ros.core.offline.traced_views import TracedViews
from instascene_ros.models.superpixels import lab_of_rgb
from instascene_ros.tools.comparators.online_any_seg import majority

BINS = (6, 10, 10)  # of lightness and the two colour axes
LOW, HIGH = np.array([0, -60, -60]), np.array([100, 60, 60])  # beyond it, the outer bins
SMOOTHING_BINS = 0.8  # a little more or less light does not change what a mask looks like
MIN_SIMILARITY = 0.7  # cosine
MIN_MASKS = 5  # objects of fewer masks are noise


def appearance(
    views: TracedViews, means_m: Float32[np.ndarray, "N 3"], colors: Float32[np.ndarray, "N 3"]
) -> Int64[np.ndarray, " N"]:
    """Objects of enough masks that look alike; a Gaussian goes to the one with most of its mask area."""
    looks = _descriptors(views, colors)
    object_of = np.zeros(views.num_masks, np.int64)
    sums = np.zeros((0, looks.shape[1]), np.float32)  # of the looks of each object's masks
    for view in range(views.num_views):
        masks = np.nonzero(views.mask_view == view)[0]
        similarity = looks[masks] @ _unit(sums).T
        for row, column in zip(*linear_sum_assignment(-similarity), strict=True):
            if similarity[row, column] >= MIN_SIMILARITY:
                object_of[masks[row]] = column + 1
                sums[column] += looks[masks[row]]
        new = masks[object_of[masks] == 0]
        object_of[new] = len(sums) + 1 + np.arange(len(new))
        sums = np.concatenate([sums, looks[new]])
    enough = np.bincount(object_of, minlength=len(sums) + 1) >= MIN_MASKS
    return majority(views, np.where(enough[object_of], object_of, 0))


def _descriptors(views: TracedViews, colors: Float32[np.ndarray, "N 3"]) -> Float32[np.ndarray, "M D"]:
    """Smoothed histogram of the colours of each mask, of length 1."""
    lab = lab_of_rgb(np.clip(np.round(colors[None] * 255), 0, 255).astype(np.uint8))[0]
    cells = np.clip((lab - LOW) / (HIGH - LOW), 0, 1 - 1e-6) * np.array(BINS)
    bins = np.ravel_multi_index(tuple(cells.astype(int).T), BINS)
    pairs = views.weights.tocoo()
    size = int(np.prod(BINS))
    counts = np.bincount(pairs.col.astype(np.int64) * size + bins[pairs.row], pairs.data, views.num_masks * size)
    smooth = gaussian_filter(counts.reshape(views.num_masks, *BINS), (0, *[SMOOTHING_BINS] * 3))
    return _unit(np.sqrt(np.maximum(smooth, 0)).reshape(views.num_masks, size).astype(np.float32))


def _unit(rows: Float32[np.ndarray, "R D"]) -> Float32[np.ndarray, "R D"]:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
