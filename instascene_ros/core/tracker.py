"""From the masks of each keyframe to segments with votes, and from segments to instances with stable ids.

Streaming label votes and incremental view consensus (method 3.1-3.3). One keyframe:

    trace masks to Gaussians -> cut segments that masks divide -> count consensus -> vote -> regroup

Sums over Gaussians run on the map's device; the decisions, on the host, see a matrix of masks by segments. The cost
depends on what is in view and on the size of the map, not on how many masks were ever seen.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.consensus import ConsensusGraph
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.identities import Identities
from instascene_ros.core.record import InstanceRecord
from instascene_ros.core.segment_view import SegmentView, table_of
from instascene_ros.core.segments import MaskTrace, Overlap
from instascene_ros.core.support_plane import Plane, strike_votes
from instascene_ros.core.upload import uploaded
from instascene_ros.core.votes import (
    cast,
    choices,
    fold_votes,
    move_votes,
    segment_sizes,
    spread,
    winning_labels,
    withdraw,
)
from instascene_ros.core.welding import weld


@dataclass
class Tracker:
    """Owns segments, consensus and identities; the votes themselves are columns of the map."""

    config: TrackingConfig
    identities: Identities = field(default_factory=Identities)
    records: dict[int, InstanceRecord] = field(default_factory=dict)
    next_segment: int = 1  # segments from here on were never given out; those forgotten are given out again
    sizes: dict[int, int] = field(default_factory=dict)  # Gaussians of each segment after the last keyframe
    planes: dict[int, Plane] = field(default_factory=dict)  # of the instances that are support surfaces

    def __post_init__(self) -> None:
        self.consensus = ConsensusGraph(self.config)
        self._spare: list[int] = []

    def associate(
        self, traced: MaskTrace, votes: MaskTrace, stamp_ns: int, gaussians: GaussianMap
    ) -> tuple[set[int], Int64[Tensor, " N"]]:
        """Take in the masks of one keyframe, and what they vote after repair (the same trace where nothing was).

        Returns the ids in view or changed, and every Gaussian's id now.
        """
        self.consensus.begin_view(has_masks=traced.num_masks > 0)
        sizes = self._sizes(gaussians)
        self._spare = sorted(set(range(1, self.next_segment)) - self.identities.instance_of.keys(), reverse=True)
        look = self._look(traced, gaussians)
        self._miss_lost(sizes, look)
        if self._cut_divided_segments(traced, look, gaussians):
            look = self._look(traced, gaussians)
        container_of = look.overlap.containers(self.config)
        self.consensus.observe(container_of)
        if votes is not traced:
            look = self._look(votes, gaussians)
            container_of = look.overlap.containers(self.config)
        new = self._vote(votes, look, container_of, gaussians)
        changed = self._regroup(
            {s for s in look.overlap.labels[look.overlap.visible > 0].tolist() if s} | new, gaussians
        )
        labels = self.labels(gaussians)
        return changed | self._remember(traced, stamp_ns, labels), labels

    def labels(self, gaussians: GaussianMap) -> Int64[Tensor, " N"]:
        """Instance id of every Gaussian, 0 = none. Votes for segments of one instance count together."""
        table = np.zeros(self.next_segment, np.int64)
        if self.identities.instance_of:
            table[list(self.identities.instance_of)] = list(self.identities.instance_of.values())
        return winning_labels(gaussians, uploaded(table, gaussians.device))

    def forget(self, segments: set[int], gaussians: GaussianMap) -> None:
        """Drop segments and every vote for them: their numbers may be given out again."""
        if segments:
            withdraw(gaussians, segments)
        for segment in segments:
            self.consensus.forget(segment)
            self.identities.forget(segment)
            self.sizes.pop(segment, None)

    def recount(self, gaussians: GaussianMap) -> None:
        """Take the map as it is now: Gaussians that are gone by now were not lost to a view."""
        self._remember_sizes(self._sizes(gaussians))

    def _remember_sizes(self, sizes: dict[int, int]) -> None:
        self.sizes = {s: sizes[s] for s in self.identities.instance_of}

    def _sizes(self, gaussians: GaussianMap) -> dict[int, int]:
        return dict(enumerate(segment_sizes(gaussians, self.next_segment).tolist()))

    def _miss_lost(self, sizes: dict[int, int], look: SegmentView) -> None:
        """Note which instances in view lost Gaussians since the last keyframe: views looked through them.

        What is out of view may have left the map for other reasons, such as its bounds.
        """
        in_view = {self.identities.instance_of.get(s) for s in look.overlap.labels[look.overlap.in_view].tolist()}
        for segment, before in self.sizes.items():
            instance = self.identities.instance_of.get(segment)
            if instance in in_view and instance in self.records:
                self.records[instance].lost += max(0, before - sizes.get(segment, 0))

    def _look(self, traced: MaskTrace, gaussians: GaussianMap) -> SegmentView:
        segments = np.array([0, *sorted(self.identities.instance_of)], np.int64)
        return SegmentView.at(traced, segments, self.next_segment, gaussians)

    def _cut_divided_segments(self, traced: MaskTrace, look: SegmentView, gaussians: GaussianMap) -> bool:
        """Make every part of a segment that another mask of this view holds a segment of its own; was there any?

        Part and rest have been one so far in as many views as the part's own votes amount to: that history is the
        evidence that they belong together, so one over-segmented view does not break an object, and a neighbour that
        was swallowed a moment ago goes free soon. What views said about the whole and others is not the part's: the
        part may have been out of sight.
        """
        overlap = look.overlap
        part_of = np.zeros(overlap.weights.shape, np.int64)  # mask, column -> new segment
        for column, mask in overlap.parts(self.config):
            views_together = float(overlap.votes[mask, column] / max(overlap.weights[mask, column], 1e-6))
            part_of[mask, column] = self._new_part(int(overlap.labels[column]), views_together)
        if not part_of.any():
            return False
        new_of = uploaded(part_of, look.column_of.device)[traced.masks[:, 0], look.column_of]
        move_votes(gaussians, traced.gaussians, look.winner_of, torch.where(new_of > 0, new_of, look.winner_of))
        return True

    def _vote(
        self, traced: MaskTrace, look: SegmentView, container_of: dict[int, int], gaussians: GaussianMap
    ) -> set[int]:
        """A Gaussian inside its own segment's mask confirms it; others join the mask's main segment.

        Returns the segments that are new.
        """
        before, overlap = set(self.identities.instance_of), look.overlap
        home = np.array([container_of.get(s, -1) for s in overlap.labels.tolist()])
        target = np.array([0] + [self._target(m, overlap, home) for m in range(1, traced.num_masks + 1)])
        device = look.column_of.device
        tables = uploaded(home, device), uploaded(target, device)
        chosen = choices(look.winner_of, look.column_of, traced.masks, *tables)
        cast(gaussians, traced.gaussians, chosen, traced.weights * self.consensus.view_weight)
        # Without masks there is time for what the view does not show, such as what lies just below a surface.
        rows = traced.gaussians if traced.num_masks else torch.arange(len(gaussians), device=device)
        spread(gaussians, rows, self._strike(gaussians), self.config.spread_radius_m)
        return set(target.tolist()) - before - {0}

    def _strike(self, gaussians: GaussianMap) -> Bool[Tensor, " N"]:
        """Nothing that is off its support surface keeps votes for it; returns what is off all known ones."""
        segments_of = self.identities.segments_of
        self.planes = {i: plane for i, plane in self.planes.items() if i in segments_of}
        segments = [segments_of[i] for i in self.planes]
        return strike_votes(gaussians, list(self.planes.values()), segments, self.next_segment, self.config)

    def _target(self, mask: int, overlap: Overlap, home: Int64[np.ndarray, " S"]) -> int:
        """Segment that unlabelled Gaussians of a mask join; 0 = none (the mask covers several objects).

        `home` is the mask that holds each segment.
        """
        weights = overlap.weights[mask]
        mapped = float(weights.sum())
        if mapped < self.config.min_visible_px:
            return 0
        held = np.nonzero(home == mask)[0]
        instance_of = self.identities.instance_of
        if len({instance_of.get(s, -s) for s in overlap.labels[held].tolist()}) > 1:
            return 0
        least = self.config.min_target_share * mapped
        if not len(held):
            return self._new_segment() if weights[0] >= least else 0
        main = held[weights[held].argmax()]
        segment = int(overlap.labels[main])
        return segment if weights[main] >= least else self._new_part(segment, self.consensus.view_weight)

    def _new_part(self, whole: int, views_together: float) -> int:
        """A segment that belongs with `whole`, as so many views have it, until others say otherwise."""
        part = self._new_segment()
        self.consensus.add(part, whole, views_together, views_together)
        self.identities.add_part(part, whole)
        return part

    def _regroup(self, seen: set[int], gaussians: GaussianMap) -> set[int]:
        """Decide anew which segments in view, and the rest of their instances, are one object."""
        instance_of = self.identities.instance_of
        instances = {instance_of[s] for s in seen if s in instance_of}
        active = seen.union(*(self.identities.segments_of[i] for i in instances))
        sizes = self._sizes(gaussians)
        empty = {s for s in active if sizes[s] == 0}
        self.forget(empty, gaussians)
        groups = self.consensus.group(active - empty, instance_of, self.identities.bond_of)
        changed = self.identities.regroup(groups, lambda segment: sizes[segment])
        for instance in changed & self.records.keys() & self.identities.merged_into.keys():
            self.absorb(self.identities.merged_into[instance], instance)
        grown = {self.identities.instance_of[s] for s in active - empty}
        into = weld(grown, self.identities, self.consensus, sizes, self.config.max_segments)
        if into:
            fold_votes(gaussians, into)
        self._remember_sizes(sizes)
        return changed

    def absorb(self, keeper: int, absorbed: int) -> None:
        """Hand over what is remembered of an instance that was merged into another."""
        gone = self.records.pop(absorbed)
        self.records.setdefault(keeper, gone).absorb(gone)

    def _remember(self, traced: MaskTrace, stamp_ns: int, labels: Int64[Tensor, " N"]) -> set[int]:
        """Update view counts and how whole each instance in view looks; returns the ids in view."""
        instances = np.array([0, *sorted(self.identities.segments_of)], np.int64)
        columns = uploaded(table_of(instances, int(instances[-1]) + 1), labels.device)[labels[traced.gaussians]]
        overlap = Overlap.of(traced, instances, columns)
        visible, best = overlap.visible, overlap.weights.argmax(axis=0)
        shared = overlap.weights.max(axis=0)
        iou = shared / np.maximum(visible + overlap.weights.sum(axis=1)[best] - shared, 1e-9)
        in_view = np.nonzero((visible >= self.config.min_visible_px) & (instances > 0))[0]
        for column in in_view.tolist():
            record = self.records.setdefault(int(instances[column]), InstanceRecord(stamp_ns, stamp_ns))
            record.see(stamp_ns, float(iou[column]), bool(traced.cut_off[best[column]]))
        return set(instances[in_view].tolist())

    def _new_segment(self) -> int:
        """The smallest number that no segment has."""
        if self._spare:
            return self._spare.pop()
        self.next_segment += 1
        return self.next_segment - 1
