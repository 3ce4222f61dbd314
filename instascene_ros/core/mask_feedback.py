"""Masks that contradict a confident map are repaired before they vote: split, or put together, by rendered ids.

Objects are judged by the masks as they came: a map that repaired its own evidence could never learn that it was wrong.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int32, Int64
from scipy import ndimage

from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.keyframe import Keyframe
from instascene_ros.core.masks import Masks
from instascene_ros.core.record import InstanceRecord
from instascene_ros.core.rendering.render import Rendering
from instascene_ros.core.segments import REFERENCE_WIDTH_PX, MaskTrace
from instascene_ros.core.selection import id_buffer
from instascene_ros.core.tracker import Tracker

SURE_SHARE = 0.5  # of an instance's views that saw it as a whole
SURE_SCORE = 0.5  # mean IoU of a sure instance with the best mask of each view


def traced_masks(
    keyframe: Keyframe, rendering: Rendering, tracker: Tracker, gaussians: GaussianMap
) -> tuple[MaskTrace, MaskTrace]:
    """A keyframe's masks, traced to the Gaussians that it shows: as they came, and as they vote."""
    config, masks = tracker.config, keyframe.frame.masks
    showing = (rendering.depth_m - keyframe.depth_m).abs() < 2 * keyframe.tolerance_m
    showing &= keyframe.depth_m > 0
    traced = MaskTrace.of(masks, keyframe.labels, showing, rendering.trace, len(gaussians), config)
    if not config.map_feedback:
        return traced, traced
    shown = id_buffer(rendering.trace, tracker.labels(gaussians), *masks.labels.shape).ids.cpu().numpy()
    sure = np.isin(shown, sure_ids(tracker.records, config))
    votes = repaired(masks, np.where(sure, shown, 0).astype(np.int32), config)
    if votes is masks:
        return traced, traced
    labels = torch.from_numpy(votes.labels).to(keyframe.labels)
    return traced, MaskTrace.of(votes, labels, showing, rendering.trace, len(gaussians), config)


def sure_ids(records: Mapping[int, InstanceRecord], config: TrackingConfig) -> list[int]:
    """Instances that enough views, and most of theirs, saw as a whole."""
    return [
        instance
        for instance, record in records.items()
        if record.num_whole_views >= max(config.confirm_views, SURE_SHARE * record.num_views)
        and record.score >= SURE_SCORE
    ]


def repaired(masks: Masks, ids: Int32[np.ndarray, "H W"], config: TrackingConfig) -> Masks:
    """The masks made to agree with `ids`, the instances that the map is sure of (0 = none); the same where they do.

    A mask that holds several whole instances is split by them; masks that share out one instance become one.
    """
    overlap, known = _overlap(masks, ids)
    visible = overlap.sum(axis=0)
    seen = visible >= config.min_visible_px * (ids.shape[1] / REFERENCE_WIDTH_PX) ** 2
    held = seen & (overlap >= config.min_containment * visible)  # [M K]
    held[0] = False  # row 0 is no mask
    divided = np.flatnonzero(held.sum(axis=1) > 1).tolist()
    shared = _shared_out(masks, overlap, seen, config)
    if not divided and not shared:
        return masks
    labels, scores = masks.labels.copy(), masks.scores.tolist()
    for parts in shared:
        labels[np.isin(labels, parts)] = parts[0]
    for mask in divided:
        pieces = _pieces(labels == mask, ids, known[held[mask]], config)
        for piece in range(1, int(pieces.max()) + 1):
            scores.append(float(masks.scores[mask - 1]))
            labels[pieces == piece] = len(scores)
    return Masks(labels, np.array(scores, np.float32))


def _overlap(
    masks: Masks, ids: Int32[np.ndarray, "H W"]
) -> tuple[Float64[np.ndarray, "M K"], Int64[np.ndarray, " K"]]:
    """Pixels that each mask (row 1..; row 0 = no mask) shares with each instance, and the instances' ids."""
    known, column = np.unique(ids, return_inverse=True)
    cells = masks.labels.ravel().astype(np.int64) * len(known) + column.ravel()
    counts = np.bincount(cells, minlength=(len(masks) + 1) * len(known)).reshape(-1, len(known)).astype(float)
    return counts[:, known > 0], known[known > 0].astype(np.int64)


def _shared_out(
    masks: Masks, overlap: Float64[np.ndarray, "M K"], seen: Bool[np.ndarray, " K"], config: TrackingConfig
) -> list[list[int]]:
    """The masks that lie inside one instance and have most of it together, the largest first; for each instance."""
    area = np.bincount(masks.labels.ravel(), minlength=len(overlap)).astype(float)
    inside = overlap >= config.min_containment * np.maximum(area, 1)[:, None]
    inside[0] = False
    together = (overlap * inside).sum(axis=0) >= config.min_containment * overlap.sum(axis=0)
    found = []
    for column in np.flatnonzero(seen & together & (inside.sum(axis=0) > 1)).tolist():
        parts = np.flatnonzero(inside[:, column])
        found.append(parts[np.argsort(-overlap[parts, column], kind="stable")].tolist())
    return found


def _pieces(
    mask: Bool[np.ndarray, "H W"], ids: Int32[np.ndarray, "H W"], held: Int64[np.ndarray, " h"], config: TrackingConfig
) -> Int32[np.ndarray, "H W"]:
    """Piece 1.. of every pixel of a mask: the instances that it holds, and what is left of it where that is much."""
    pieces = np.where(mask & np.isin(ids, held), np.searchsorted(held, ids) + 1, 0).astype(np.int32)
    rest = mask & (pieces == 0)
    if rest.sum() >= config.min_part_share * mask.sum():
        return np.where(rest, np.int32(len(held) + 1), pieces)
    nearest = ndimage.distance_transform_edt(pieces == 0, return_distances=False, return_indices=True)
    return np.where(rest, pieces[tuple(nearest)], pieces)
