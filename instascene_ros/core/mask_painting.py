"""From scored binary masks, which may overlap and nest, to one label image."""

import heapq

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

from instascene_ros.core.config import NetworkConfig
from instascene_ros.core.masks import Masks

REFERENCE_WIDTH_PX = 640  # areas in the configuration are meant at this image width
COMPARED_PX = 128  # masks are compared with each other on images thinned to about this width
NESTED_SHARE = 0.9  # of the smaller mask that lies in the larger one
NESTED_AREA_SHARE = 0.8  # of the larger mask that the smaller one is at most: else they are two outlines of one thing


def painted(masks: Bool[np.ndarray, "M H W"], scores: Float32[np.ndarray, " M"], config: NetworkConfig) -> Masks:
    """One label a pixel (InstaScene, 1.1): of sure and large masks, the best one that has the pixel.

    Of masks that outline the same thing only the best is kept. The finest level wins: a mask that lies inside another
    is painted over it, whatever the scores. Labels follow the order of painting.
    """
    height, width = masks.shape[1:]
    least_px = config.min_area_px * (width / REFERENCE_WIDTH_PX) ** 2
    sure = np.flatnonzero(scores >= config.min_score)
    sure = sure[masks[sure].sum(axis=(1, 2)) >= max(least_px, 1)] if len(sure) else sure
    areas, shared = overlaps(masks[sure])
    kept = suppressed(areas, shared, scores[sure], config.max_overlap)
    order = painting_order(areas[kept], shared[np.ix_(kept, kept)], scores[sure][kept])
    labels = np.zeros((height, width), np.int32)
    chosen = sure[kept][order]
    for number, mask in enumerate(chosen.tolist(), start=1):
        labels[masks[mask]] = number
    return _without_remains(labels, scores[chosen].astype(np.float32), least_px)


def overlaps(masks: Bool[np.ndarray, "M H W"]) -> tuple[Float32[np.ndarray, " M"], Float32[np.ndarray, "M M"]]:
    """Area of each mask and of each pair's common part, in thinned pixels."""
    step = max(1, masks.shape[2] // COMPARED_PX)
    thinned = masks[:, ::step, ::step]
    flat = thinned.reshape(len(masks), thinned.shape[1] * thinned.shape[2]).astype(np.float32)
    return flat.sum(axis=1), flat @ flat.T


def suppressed(
    areas: Float32[np.ndarray, " M"],
    shared: Float32[np.ndarray, "M M"],
    scores: Float32[np.ndarray, " M"],
    limit: float,
) -> Int64[np.ndarray, " K"]:
    """Non-maximum suppression: best first, masks whose IoU with a better one stays up to `limit`, ascending."""
    iou = shared / np.maximum(areas[:, None] + areas[None] - shared, 1e-9)
    kept: list[int] = []
    for mask in np.argsort(-scores, kind="stable").tolist():
        if all(iou[mask, better] <= limit for better in kept):
            kept.append(mask)
    return np.array(sorted(kept), np.int64)


def painting_order(
    areas: Float32[np.ndarray, " M"], shared: Float32[np.ndarray, "M M"], scores: Float32[np.ndarray, " M"]
) -> Int64[np.ndarray, " M"]:
    """Ascending scores, but what lies inside a larger mask always after it."""
    inside = shared >= NESTED_SHARE * areas[:, None]  # row in column
    inside &= areas[:, None] <= NESTED_AREA_SHARE * areas[None]
    waits_for = inside.sum(axis=1)
    ready = [(float(scores[m]), m) for m in np.flatnonzero(waits_for == 0).tolist()]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        _, mask = heapq.heappop(ready)
        order.append(mask)
        for part in np.flatnonzero(inside[:, mask]).tolist():
            waits_for[part] -= 1
            if waits_for[part] == 0:
                heapq.heappush(ready, (float(scores[part]), part))
    return np.array(order, np.int64)


def _without_remains(labels: Int32[np.ndarray, "H W"], scores: Float32[np.ndarray, " M"], least_px: float) -> Masks:
    """Masks of which others left enough, renumbered."""
    pixels = np.bincount(labels.ravel(), minlength=len(scores) + 1)
    kept = np.flatnonzero(pixels[1:] >= max(least_px, 1)) + 1
    number = np.zeros(len(pixels), np.int32)
    number[kept] = np.arange(1, len(kept) + 1)
    return Masks(number[labels], scores[kept - 1])
