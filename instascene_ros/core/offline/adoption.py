"""A refined decomposition becomes the tracker's own state: segments, votes, consensus, records, with ids that stay."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64

from instascene_ros.core.errors import InvalidEditError
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.offline.evidence import Evidence
from instascene_ros.core.offline.refiner import Refinement
from instascene_ros.core.offline.traced_views import TracedViews
from instascene_ros.core.record import InstanceRecord
from instascene_ros.core.tracker import Tracker

MIN_CLAIM_SHARE = 0.25  # an id follows a set that has more than this share of its instance's Gaussians


def adopt(refinement: Refinement, tracker: Tracker, gaussians: GaussianMap) -> tuple[int, ...]:
    """Make refined sets the tracker's segments; returns the ids whose membership may have changed.

    The map keeps the features. Ids go on by overlap with the instances before: the older of several lives on in a
    merged set, the larger part of a split instance keeps the id, and what was no instance before gets a new one.
    Mapping can go on from here: the views' verdicts on the new segments are counted as if seen one by one.

    Raises:
        InvalidEditError: the map has changed since the snapshot; nothing was changed.
    """
    views = refinement.views
    before = tracker.labels(gaussians).cpu().numpy()
    if not np.array_equal(before, refinement.labels_before):
        raise InvalidEditError("the map has changed since it was taken for refining: pause it, and refine again")
    old_ids = set(np.unique(before[before > 0]).tolist())
    sets = _off_supports(refinement.sets, before, tracker, gaussians)
    parts = _Parts.of(sets, before)
    segments = np.array([0, *_replace_segments(parts, tracker, gaussians)])
    _rewrite_votes(segments[parts.part], views, gaussians)
    gaussians.features = refinement.unit_features
    _replay(parts, segments, views, tracker)
    groups = [segments[parts.set_of == k].tolist() for k in range(1, int(sets.max(initial=0)) + 1)]
    sizes = dict(zip(segments.tolist(), np.bincount(parts.part, minlength=len(segments)).tolist(), strict=True))
    tracker.identities.regroup(groups, lambda segment: float(sizes[segment]))
    ids = [tracker.identities.instance_of[group[0]] for group in groups]
    _rewrite_records(sets, ids, views, tracker)
    return tuple(sorted(old_ids | set(ids)))


def _off_supports(
    sets: Int64[np.ndarray, " N"], before: Int64[np.ndarray, " N"], tracker: Tracker, gaussians: GaussianMap
) -> Int64[np.ndarray, " N"]:
    """Sets without what stands off the plane of a support that they are: that goes to where its instance went.

    The masks of all views have voted anew, and those of a table run over the feet of what stands on it.
    """
    if not tracker.planes:
        return sets
    ids, row_of = np.unique(before, return_inverse=True)
    shared = np.zeros((len(ids), int(sets.max(initial=0)) + 1), np.int64)  # instance, set
    np.add.at(shared, (row_of, sets), 1)
    shared[ids == 0] = shared[:, 0] = 0
    points_m = gaussians.means_m.detach().cpu().numpy()
    found = sets.copy()
    for support, plane in tracker.planes.items():
        support_set = int(shared[ids == support].sum(axis=0).argmax())
        astray = (sets == support_set) & plane.is_off(points_m)
        if support_set and astray.sum() <= (1 - tracker.config.min_flat_share) * (sets == support_set).sum():
            elsewhere = np.where(np.arange(shared.shape[1]) == support_set, 0, shared)
            home = np.where(elsewhere.any(axis=1), elsewhere.argmax(axis=1), 0)
            found[astray] = home[row_of[astray]]
    return found


@dataclass(frozen=True)
class _Parts:
    """Each set, divided by the instances that have a claim on it. Part 0 = in no set."""

    part: Int64[np.ndarray, " N"]  # 0..P
    set_of: Int64[np.ndarray, " P1"]
    instance_of: Int64[np.ndarray, " P1"]  # 0 = none

    @classmethod
    def of(cls, sets: Int64[np.ndarray, " N"], before: Int64[np.ndarray, " N"]) -> "_Parts":
        width = int(before.max(initial=0)) + 1
        keys, inverse, counts = np.unique(sets * width + before, return_inverse=True, return_counts=True)
        instance = keys % width
        sizes = np.bincount(before, minlength=width)
        claims = (instance > 0) & (counts > MIN_CLAIM_SHARE * sizes[instance])
        merged = np.where(keys >= width, keys - ~claims * instance, 0)[inverse.reshape(-1)]
        found, part = np.unique(np.concatenate([[0], merged]), return_inverse=True)
        return cls(part.reshape(-1)[1:], found // width, found % width)


def _replace_segments(parts: _Parts, tracker: Tracker, gaussians: GaussianMap) -> list[int]:
    """A new segment for every part but 0, which belongs to the part's instance; all others are forgotten."""
    identities = tracker.identities
    old = set(identities.instance_of)
    first = tracker.next_segment
    segments = list(range(first, first + len(parts.set_of) - 1))
    tracker.next_segment += len(segments)
    for segment, instance in zip(segments, parts.instance_of[1:].tolist(), strict=True):
        if instance in identities.segments_of:
            identities.add_part(segment, whole=identities.segments_of[instance][0])
    tracker.forget(old, gaussians)
    return segments


def _rewrite_votes(segments: Int64[np.ndarray, " N"], views: TracedViews, gaussians: GaussianMap) -> None:
    """One vote a Gaussian, as heavy as what all views saw of it."""
    weight = np.where(segments > 0, np.asarray(views.seen.sum(axis=1)).reshape(-1) + 1e-3, 0)
    gaussians.vote_ids[:], gaussians.vote_weights[:] = 0, 0.0
    gaussians.vote_ids[:, 0] = torch.from_numpy(segments.astype(np.int32)).to(gaussians.device)
    gaussians.vote_weights[:, 0] = torch.from_numpy(weight.astype(np.float32)).to(gaussians.device)


def _replay(parts: _Parts, segments: Int64[np.ndarray, " P1"], views: TracedViews, tracker: Tracker) -> None:
    """Count, view by view, which mask holds each new segment, as if they came one by one."""
    evidence = Evidence.of(views, parts.part, len(segments) - 1)
    config, tracker.consensus.unmasked = tracker.config, 0
    for view in range(views.num_views):
        masks = np.nonzero(views.mask_view == view)[0]
        tracker.consensus.begin_view(has_masks=len(masks) > 0)
        if len(masks) == 0:
            continue
        inside, visible = evidence.inside_px[:, masks], evidence.visible_px[:, view]
        labelled, best = inside.sum(axis=1), inside.argmax(axis=1)
        held = inside.max(axis=1) > config.min_containment * labelled
        observed = held & (np.minimum(labelled, visible) >= config.min_visible_px)
        tracker.consensus.observe({int(segments[k + 1]): int(masks[best[k]]) for k in np.nonzero(observed)[0]})


def _rewrite_records(sets: Int64[np.ndarray, " N"], ids: Sequence[int], views: TracedViews, tracker: Tracker) -> None:
    """Views of every set are counted anew, one by one; names and times of sight stay."""
    evidence = Evidence.of(views, sets, len(ids))
    in_view = evidence.in_view(tracker.config.min_visible_px)
    earlier, tracker.records = tracker.records, {}
    aliases = tracker.identities.aliases()
    for k, instance in enumerate(ids):
        known = [earlier[i] for i in (instance, *aliases.get(instance, ())) if i in earlier]
        stamps = views.stamps_ns[in_view[k]].tolist()
        if not stamps and not known:
            continue  # no view shows it: it is not published
        record = InstanceRecord(min(stamps, default=known[0].first_seen_ns if known else 0), max(stamps, default=0))
        for view in np.nonzero(in_view[k])[0].tolist():
            best = evidence.best_mask[k, view]
            record.see(int(views.stamps_ns[view]), float(evidence.best_iou[k, view]), bool(views.cut_off[best]))
        for other in known:
            record.absorb(other)
        tracker.records[instance] = record
