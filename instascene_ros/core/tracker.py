"""From the masks of each keyframe to segments with votes, and from segments to instances with stable ids.

Streaming label votes and incremental view consensus (method 3.1-3.3). One keyframe:

    trace masks to Gaussians -> cut segments that masks divide -> count consensus -> vote -> regroup

The cost depends on what is in view, not on how many masks were ever seen.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.consensus import ConsensusGraph
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.identities import Identities
from instascene_ros.core.segments import MaskTrace, Overlap
from instascene_ros.core.votes import Ballot, cast, move_votes, votes_for, winning_segments

WHOLE_IOU = 0.5  # a mask and an instance that overlap more than this show the same thing


@dataclass
class InstanceRecord:
    """What is remembered of one instance besides its Gaussians."""

    first_seen_ns: int
    last_seen_ns: int
    num_views: int = 0
    num_whole_views: int = 0  # in which one mask showed just it, not cut off by the image border
    wholeness: float = 0.0  # sum over views of the IoU between the instance and its best mask
    name: str = ""  # given by a user
    edited: bool = False  # a user named or merged it, so it is an object, whatever its size


class Tracker:
    """Owns segments, consensus and identities; the votes themselves are columns of the map."""

    def __init__(self, config: TrackingConfig) -> None:
        self.config = config
        self.consensus = ConsensusGraph(config)
        self.identities = Identities()
        self.records: dict[int, InstanceRecord] = {}
        self.next_segment = 1

    def associate(
        self, traced: MaskTrace, stamp_ns: int, gaussians: GaussianMap
    ) -> tuple[set[int], Int64[Tensor, " N"]]:
        """Take in the masks of one keyframe; returns the ids in view or changed, and every Gaussian's id now."""
        self._cut_divided_segments(traced, gaussians)
        winners = winning_segments(gaussians)
        overlap = Overlap.of(traced, winners)
        container_of = overlap.containers(self.config)
        self.consensus.observe(container_of)
        self._vote(traced, winners, overlap, container_of, gaussians)
        changed = self._regroup(traced, gaussians)
        labels = self.labels(gaussians)
        return changed | self._remember(traced, stamp_ns, labels), labels

    def labels(self, gaussians: GaussianMap) -> Int64[Tensor, " N"]:
        """Instance id of every Gaussian, 0 = none. Votes for segments of one instance count together."""
        table = torch.zeros(self.next_segment, dtype=torch.int64)
        for segment, instance in self.identities.instance_of.items():
            table[segment] = instance
        ids = table.to(gaussians.device)[gaussians.vote_ids.long()]  # [N 4]
        same = ids[:, :, None] == ids[:, None, :]  # [N 4 4]
        totals = (same * gaussians.vote_weights[:, None, :]).sum(-1) * (ids > 0)
        return ids.gather(1, totals.argmax(dim=1, keepdim=True))[:, 0]

    def _cut_divided_segments(self, traced: MaskTrace, gaussians: GaussianMap) -> None:
        """Split every segment of which two masks of this view each hold a real part."""
        winners = winning_segments(gaussians)
        overlap = Overlap.of(traced, winners)
        containers = overlap.containers(self.config)
        for segment in overlap.segments:
            if segment == 0 or segment in containers:
                continue
            for mask in overlap.parts(segment, self.config)[1:]:
                self._cut(segment, mask, traced, winners, gaussians)

    def _cut(
        self, segment: int, mask: int, traced: MaskTrace, winners: Int64[Tensor, " N"], gaussians: GaussianMap
    ) -> None:
        """Make the part of `segment` inside `mask` a segment of its own.

        The two have been one so far in as many views as the part's own votes amount to: that history is the evidence
        that they belong together, so one over-segmented view does not break an object, and a neighbour that was
        swallowed a moment ago goes free soon.
        """
        inside = (traced.masks == mask) & (winners[traced.gaussians] == segment)
        rows = torch.unique(traced.gaussians[inside])
        weight_now = float(traced.weights[inside].sum())
        views_together = float(votes_for(gaussians, rows, segment).sum()) / max(weight_now, 1e-6)
        new = self._new_segment()
        move_votes(gaussians, rows, segment, new)
        self.consensus.inherit(new, segment)
        self.consensus.add(new, segment, views_together, views_together)
        self.identities.add_part(new, whole=segment)

    def _vote(
        self,
        traced: MaskTrace,
        winners: Int64[Tensor, " N"],
        overlap: Overlap,
        container_of: dict[int, int],
        gaussians: GaussianMap,
    ) -> None:
        """A Gaussian inside its own segment's mask confirms it; others join the mask's main segment."""
        target = torch.tensor([0] + [self._target(m, overlap, container_of) for m in range(1, traced.num_masks + 1)])
        home = torch.zeros(self.next_segment, dtype=torch.int64)
        for segment, mask in container_of.items():
            home[segment] = mask
        own = winners[traced.gaussians]
        at_home = home.to(own.device)[own] == traced.masks
        choice = torch.where(at_home, own, target.to(own.device)[traced.masks])
        cast(gaussians, Ballot.tally(traced.gaussians, choice, traced.weights))

    def _target(self, mask: int, overlap: Overlap, container_of: dict[int, int]) -> int:
        """Segment that unlabelled Gaussians of a mask join; 0 = none (the mask covers several objects)."""
        mapped = float(overlap.weights[mask].sum())
        if mapped < self.config.min_visible_px:
            return 0
        held = [s for s, m in container_of.items() if m == mask]
        if len({self.identities.instance_of.get(s, -s) for s in held}) > 1:
            return 0
        if not held:
            return self._new_segment() if self._is_new(mask, overlap, mapped) else 0
        main = max(held, key=lambda s: float(overlap.column(s)[mask]))
        if float(overlap.column(main)[mask]) >= self.config.min_target_share * mapped:
            return main
        return self._new_segment()

    def _is_new(self, mask: int, overlap: Overlap, mapped: float) -> bool:
        return float(overlap.column(0)[mask]) >= self.config.min_target_share * mapped

    def _regroup(self, traced: MaskTrace, gaussians: GaussianMap) -> set[int]:
        """Decide anew which segments in view, and the rest of their instances, are one object."""
        winners = winning_segments(gaussians)
        seen = set(Overlap.of(traced, winners).segments) - {0}
        instance_of = self.identities.instance_of
        instances = {instance_of[s] for s in seen if s in instance_of}
        active = seen.union(*(self.identities.segments_of[i] for i in instances))
        sizes = torch.bincount(winners, minlength=self.next_segment).tolist()
        known = self._forget_empty(active, sizes)
        groups = self.consensus.group(known, instance_of, self.identities.bond_of)
        changed = self.identities.regroup(groups, lambda segment: sizes[segment])
        for instance in changed & self.records.keys() & self.identities.merged_into.keys():
            self.absorb(self.identities.merged_into[instance], instance)
        return changed

    def absorb(self, keeper: int, absorbed: int) -> None:
        """Hand over what is remembered of an instance that was merged into another."""
        gone = self.records.pop(absorbed)
        kept = self.records.setdefault(keeper, gone)
        kept.first_seen_ns = min(kept.first_seen_ns, gone.first_seen_ns)
        kept.last_seen_ns = max(kept.last_seen_ns, gone.last_seen_ns)
        kept.name = kept.name or gone.name
        kept.edited |= gone.edited

    def _forget_empty(self, segments: set[int], sizes: list[int]) -> set[int]:
        """Drop the segments that no Gaussian belongs to any more; returns the others."""
        for segment in segments:
            if sizes[segment] == 0:
                self.forget(segment)
        return {s for s in segments if sizes[s] > 0}

    def forget(self, segment: int) -> None:
        self.consensus.forget(segment)
        self.identities.forget(segment)

    def _remember(self, traced: MaskTrace, stamp_ns: int, labels: Int64[Tensor, " N"]) -> set[int]:
        """Update view counts and how whole each instance in view looks; returns the ids in view."""
        overlap = Overlap.of(traced, labels)
        area_of_mask = overlap.weights.sum(dim=1)
        least = self.config.min_visible_px
        in_view = {i for i in overlap.segments if i > 0 and float(overlap.column(i).sum()) >= least}
        for instance in in_view:
            column = overlap.column(instance)
            best = int(column.argmax())
            union = float(column.sum() + area_of_mask[best] - column[best])
            record = self.records.setdefault(instance, InstanceRecord(stamp_ns, stamp_ns))
            record.last_seen_ns = stamp_ns
            record.num_views += 1
            iou = float(column[best]) / union
            record.num_whole_views += bool(iou > WHOLE_IOU and not traced.cut_off[best])
            record.wholeness += iou
        return in_view

    def _new_segment(self) -> int:
        self.next_segment += 1
        return self.next_segment - 1
