"""The published list of instances: which exist, how large they are, when they last changed."""

from collections.abc import Iterable, Set
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from scipy.spatial.transform import Rotation
from torch import Tensor

from instascene_ros.core.background import is_background
from instascene_ros.core.columns import Columns, checked, prefixed, under
from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.crumbs import without_crumbs
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import rotation_from_quats
from instascene_ros.core.instances import Instances
from instascene_ros.core.shape import SAME_SHARE, SAME_SHIFT_M, Samples, Shape, boxes, observed_fraction
from instascene_ros.core.support_plane import plane_of
from instascene_ros.core.tracker import Tracker

SAMPLES = 512  # points of an instance that its extent is measured on


@dataclass
class _Entry:
    shape: Shape
    revised_at: Shape  # shape at the last revision
    oriented_at: Shape  # shape when its axes were last fitted
    revision: int = 1


class Catalogue:
    """Keeps one entry per published instance and measures only those that were touched."""

    def __init__(self, config: TrackingConfig, up: Float64[np.ndarray, " 3"]) -> None:
        self.config = config
        self.up = up
        self._entries: dict[int, _Entry] = {}

    def update(
        self, tracker: Tracker, gaussians: GaussianMap, labels: Int64[Tensor, " N"], touched: Iterable[int]
    ) -> tuple[set[int], set[int], Int64[Tensor, " N"]]:
        """Measure the touched instances anew.

        Returns the ids with a new revision, the ids that are gone, and `labels` of what is published: without crumbs,
        support surfaces and rooms.
        """
        ids = np.array([0, *sorted(tracker.records.keys() & tracker.identities.segments_of.keys())], np.int64)
        columns = _columns(ids, labels)
        counts = torch.bincount(columns, minlength=len(ids)).cpu().numpy()
        enough = counts >= self.config.min_gaussians
        before, looked_at = set(self._entries), set(touched) | self._entries.keys() - set(ids[enough].tolist())
        chosen = np.array([c for c in range(1, len(ids)) if enough[c] and int(ids[c]) in looked_at], np.int64)
        rows, samples = _sample(gaussians, columns, counts, chosen)
        objects = self._objects(tracker, ids[chosen], samples)
        self._note_planes(tracker, ids[chosen], samples, set(objects.tolist()))
        for instance in looked_at - set(ids[chosen[objects]].tolist()):
            self._entries.pop(instance, None)
        solid = self._solid(gaussians, columns, ids, set(ids[chosen[objects]].tolist()) | self._entries.keys())
        samples = Samples(samples.points_m, samples.normals, samples.valid & (solid[rows] > 0).cpu().numpy())
        changed = self._measure(gaussians, solid, ids, chosen[objects], _only(samples, objects))
        published = torch.from_numpy(np.where(np.isin(ids, list(self._entries)), ids, 0)).to(labels.device)[solid]
        return changed, before - set(self._entries), published

    def _objects(self, tracker: Tracker, ids: Int64[np.ndarray, " K"], samples: Samples) -> Int64[np.ndarray, " O"]:
        """Which rows are no background, or were edited by a user, who knows better."""
        records = [tracker.records[i] for i in ids.tolist()]
        edited = np.array([r.edited for r in records], bool)
        seen_whole = np.array([r.num_whole_views > 0 for r in records], bool)
        return np.nonzero(edited | ~is_background(samples, seen_whole, self.config))[0]

    def _note_planes(self, tracker: Tracker, ids: Int64[np.ndarray, " K"], samples: Samples, objects: Set[int]) -> None:
        """Tell the tracker the planes of the support surfaces among the rows, for its next votes."""
        for row, instance in enumerate(ids.tolist()):
            plane = None if row in objects else plane_of(samples.points_m[row][samples.valid[row]], self.config)
            if plane is not None:
                tracker.planes[instance] = plane
            else:
                tracker.planes.pop(instance, None)

    def _solid(
        self, gaussians: GaussianMap, columns: Int64[Tensor, " N"], ids: Int64[np.ndarray, " K"], kept: set[int]
    ) -> Int64[Tensor, " N"]:
        """Columns of the instances that are kept, without crumbs."""
        table = np.where(np.isin(ids, list(kept)), np.arange(len(ids)), 0)
        shown = torch.from_numpy(table).to(columns.device)[columns]
        return without_crumbs(gaussians.means_m.detach(), shown, self.config)

    def _measure(
        self, gaussians: GaussianMap, solid: Int64[Tensor, " N"], ids: Int64[np.ndarray, " K"],
        chosen: Int64[np.ndarray, " O"], samples: Samples,
    ) -> set[int]:  # fmt: skip
        """New shapes of the chosen columns; returns the ids that have a new revision."""
        sums = _surface_sums(gaussians, solid, len(ids))
        large = sums[chosen, 0] >= self.config.min_gaussians
        for instance in ids[chosen[~large]].tolist():
            self._entries.pop(instance, None)
        chosen, samples = chosen[large], _only(samples, np.nonzero(large)[0])
        if not len(chosen):
            return set()
        known = [self._oriented(int(ids[c]), int(sums[c, 0])) for c in chosen]
        changed = set()
        for column, shape, box in zip(chosen, known, boxes(samples, self.up, known), strict=True):
            count, area_m2, flux_m2, total_m = sums[column, 0], sums[column, 1], sums[column, 2:5], sums[column, 5:]
            seen = np.float32(observed_fraction(float(area_m2), flux_m2))
            found = Shape(*box, (total_m / count).astype(np.float32), seen, int(count))
            if self._revise(int(ids[column]), found, newly_oriented=shape is None):
                changed.add(int(ids[column]))
        return changed

    def _oriented(self, instance: int, count: int) -> Shape | None:
        """The shape whose axes still hold; None when the instance has grown or moved since they were fitted."""
        entry = self._entries.get(instance)
        if entry is None or abs(count - entry.oriented_at.num_points) > SAME_SHARE * entry.oriented_at.num_points:
            return None
        moved_m = np.abs(entry.shape.size_m - entry.oriented_at.size_m).max()
        return entry.oriented_at if moved_m <= SAME_SHIFT_M else None

    def _revise(self, instance: int, shape: Shape, newly_oriented: bool) -> bool:
        entry = self._entries.get(instance)
        if entry is None:
            self._entries[instance] = _Entry(shape, shape, shape)
            return True
        entry.shape = shape
        if newly_oriented:
            entry.oriented_at = shape
        if not shape.differs(entry.revised_at):
            return False
        entry.revised_at, entry.revision = shape, entry.revision + 1
        return True

    def relabel(self, instance: int) -> None:
        """A new name is a new revision."""
        self._entries[instance].revision += 1

    def instances(self, tracker: Tracker) -> Instances:
        """The list to publish."""
        if not self._entries:
            return Instances.empty()
        ids = sorted(self._entries)
        entries = [self._entries[i] for i in ids]
        shapes, records = [e.shape for e in entries], [tracker.records[i] for i in ids]
        xyzw = Rotation.from_matrix(np.stack([s.axes for s in shapes])).as_quat()
        aliases = tracker.identities.aliases()
        states = [r.state(s.num_points, self.config) for r, s in zip(records, shapes, strict=True)]
        return Instances(
            ids=np.array(ids, np.int32),
            revisions=np.array([e.revision for e in entries], np.int32),
            states=np.array(states, np.int32),
            scores=np.array([r.score for r in records], np.float32),
            box_centers_m=np.stack([s.center_m for s in shapes]),
            box_quats_wxyz=np.roll(xyzw, 1, axis=1).astype(np.float32),
            box_sizes_m=np.stack([s.size_m for s in shapes]),
            centroids_m=np.stack([s.centroid_m for s in shapes]),
            num_points=np.array([s.num_points for s in shapes], np.int32),
            num_views=np.array([r.num_views for r in records], np.int32),
            first_seen_ns=np.array([r.first_seen_ns for r in records], np.int64),
            last_seen_ns=np.array([r.last_seen_ns for r in records], np.int64),
            observed_fractions=np.array([s.observed_fraction for s in shapes], np.float32),
            merged_ids=tuple(aliases.get(i, ()) for i in ids),
            names=tuple(r.name for r in records),
        )

    def columns(self) -> Columns:
        """All entries, to save."""
        entries = self._entries.values()
        return {
            "entries.instance": np.array(list(self._entries), np.int64),
            "entries.revision": np.array([e.revision for e in entries], np.int64),
            **prefixed("shapes", Shape.table([e.shape for e in entries])),
            **prefixed("revised_at", Shape.table([e.revised_at for e in entries])),
            **prefixed("oriented_at", Shape.table([e.oriented_at for e in entries])),
        }

    def restore(self, columns: Columns, tracker: Tracker) -> None:
        """Take over saved entries.

        Raises:
            ValueError: the columns do not fit together, or the tracker does not know one of the instances.
        """
        found = checked(self.columns(), columns)
        instances, revisions = (found[f"entries.{name}"].tolist() for name in ("instance", "revision"))
        tables = [Shape.from_table(under(name, found)) for name in ("shapes", "revised_at", "oriented_at")]
        if len({len(instances), *map(len, tables)}) > 1:
            raise ValueError(f"{len(instances)} instances, but {list(map(len, tables))} shapes of them")
        if unknown := set(instances) - set(tracker.records):
            raise ValueError(f"instances {sorted(unknown)[:5]} have no record")
        rows = zip(instances, *tables, revisions, strict=True)
        self._entries = {instance: _Entry(*entry) for instance, *entry in rows}


def _columns(ids: Int64[np.ndarray, " K"], labels: Int64[Tensor, " N"]) -> Int64[Tensor, " N"]:
    """Column of each label; those that are not listed fall into column 0."""
    table = np.zeros(int(ids[-1]) + 2, np.int64)
    table[ids] = np.arange(len(ids))
    return torch.from_numpy(table).to(labels.device)[labels.clamp(max=len(table) - 1)]


def _sample(
    gaussians: GaussianMap, columns: Int64[Tensor, " N"], counts: Int64[np.ndarray, " K"],
    chosen: Int64[np.ndarray, " C"],
) -> tuple[Int64[Tensor, "C B"], Samples]:  # fmt: skip
    """Rows of the map, evenly spread over each chosen column, and what is there."""
    order = torch.argsort(columns, stable=True)
    starts = np.cumsum(counts) - counts
    taken = np.minimum(counts[chosen], SAMPLES)[:, None]
    index = np.arange(min(SAMPLES, int(taken.max(initial=1))))
    spread = starts[chosen][:, None] + np.minimum(index, taken - 1) * counts[chosen][:, None] // np.maximum(taken, 1)
    rows = order[torch.from_numpy(spread).to(order.device)]
    normals = rotation_from_quats(gaussians.quats_wxyz[rows])[..., 2]
    both = torch.cat([gaussians.means_m[rows], normals], dim=-1).detach().cpu().numpy()
    return rows, Samples(both[..., :3], both[..., 3:], index < taken)


def _only(samples: Samples, rows: Int64[np.ndarray, " R"]) -> Samples:
    return Samples(samples.points_m[rows], samples.normals[rows], samples.valid[rows])


def _surface_sums(gaussians: GaussianMap, columns: Int64[Tensor, " N"], num_columns: int) -> Float32[np.ndarray, "K 8"]:
    """Per column: Gaussians, area (m2), area times outward normal (m2), centres (m), summed."""
    area_m2 = gaussians.log_scales.sum(dim=1).exp()[:, None]
    values = torch.cat([torch.ones_like(area_m2), area_m2, area_m2 * gaussians.normals, gaussians.means_m], dim=1)
    sums = torch.zeros(num_columns, values.shape[1], device=values.device)
    return sums.index_add_(0, columns, values.detach()).cpu().numpy()
