"""The published list of instances: which exist, how large they are, when they last changed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.spatial.transform import Rotation

from instascene_ros.core.columns import Columns, checked, prefixed, under
from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.crumbs import without_crumbs
from instascene_ros.core.instances import Instances, InstanceState
from instascene_ros.core.tracker import InstanceRecord, Tracker
from instascene_ros.core.upright_box import upright_axes

BOX_POINTS = 500  # that the orientation of a box is fitted to
SAME_SHARE = 0.05  # fewer new points than this, and
SAME_SHIFT_M = 0.005  # a box that moved less than this, are not a new revision


@dataclass(frozen=True)
class Shape:
    """Extent of one instance."""

    center_m: Float32[np.ndarray, " 3"]
    axes: Float32[np.ndarray, "3 3"]
    size_m: Float32[np.ndarray, " 3"]
    centroid_m: Float32[np.ndarray, " 3"]
    num_points: int

    @classmethod
    def of(cls, points_m: Float32[np.ndarray, "P 3"], up: Float64[np.ndarray, " 3"]) -> "Shape":
        axes = upright_axes(points_m[:: 1 + len(points_m) // BOX_POINTS], up)
        low, high = np.percentile(points_m @ axes, [1, 99], axis=0)  # the outermost points are the noisiest
        center_m, size_m = axes @ ((low + high) / 2), high - low
        return cls(*(a.astype(np.float32) for a in (center_m, axes, size_m, points_m.mean(axis=0))), len(points_m))

    @classmethod
    def table(cls, shapes: Sequence["Shape"]) -> Columns:
        """A row for each of them, to save."""
        rows = {"center_m": (3,), "axes": (3, 3), "size_m": (3,), "centroid_m": (3,)}
        columns = {
            name: np.array([getattr(shape, name) for shape in shapes], np.float32).reshape(-1, *row)
            for name, row in rows.items()
        }
        return {**columns, "num_points": np.array([s.num_points for s in shapes], np.int64)}

    @classmethod
    def from_table(cls, columns: Columns) -> list["Shape"]:
        """Raises ValueError: the columns do not fit together."""
        found = checked(cls.table([]), columns)
        return [cls(*row[:-1], int(row[-1])) for row in zip(*found.values(), strict=True)]

    def differs(self, other: "Shape") -> bool:
        moved_m = np.abs(np.concatenate([self.center_m - other.center_m, self.size_m - other.size_m])).max()
        return bool(moved_m > SAME_SHIFT_M or abs(self.num_points - other.num_points) > SAME_SHARE * other.num_points)


@dataclass
class _Entry:
    shape: Shape
    revised_at: Shape  # shape at the last revision
    revision: int = 1


class Catalogue:
    """Keeps one entry per published instance and recomputes only those that were touched."""

    def __init__(self, config: TrackingConfig, up: Float64[np.ndarray, " 3"]) -> None:
        self.config = config
        self.up = up
        self._entries: dict[int, _Entry] = {}

    def update(
        self,
        tracker: Tracker,
        means_m: Float32[np.ndarray, "N 3"],
        labels: Int64[np.ndarray, " N"],
        touched: Iterable[int],
    ) -> tuple[set[int], set[int]]:
        """Measure the touched instances anew; returns the ids with a new revision and the ids that are gone."""
        before, changed = set(self._entries), set()
        order = np.argsort(labels, kind="stable")
        for instance in set(touched) | self._shrunk(labels):
            rows = order[slice(*np.searchsorted(labels, [instance, instance + 1], sorter=order))]
            record = tracker.records.get(instance)
            shape = self._shape_of(means_m[rows], any_size=record is not None and record.edited)
            if shape is None or record is None:
                self._entries.pop(instance, None)
            elif self._revise(instance, shape):
                changed.add(instance)
        return changed, before - set(self._entries)

    def _shrunk(self, labels: Int64[np.ndarray, " N"]) -> set[int]:
        """Entries that lost their Gaussians to pruning or to other instances, also out of view."""
        counts = np.bincount(labels, minlength=max(self._entries, default=0) + 1)
        return {i for i in self._entries if counts[i] < self.config.min_gaussians}

    def _shape_of(self, points_m: Float32[np.ndarray, "P 3"], any_size: bool) -> Shape | None:
        """Extent of an object; None for crumbs, and for furniture and rooms, which are not objects."""
        if len(points_m) < self.config.min_gaussians or (not any_size and self._is_huge(points_m)):
            return None
        solid = without_crumbs(points_m, np.ones(len(points_m), np.int64), self.config) > 0
        if solid.sum() < self.config.min_gaussians:
            return None
        shape = Shape.of(points_m[solid], self.up)
        return shape if any_size or shape.size_m.max() <= self.config.max_object_size_m else None

    def _is_huge(self, points_m: Float32[np.ndarray, "P 3"]) -> bool:
        """Too large whatever its outliers and orientation: spares tables and walls the careful look."""
        return bool(np.ptp(np.percentile(points_m, [5, 95], axis=0), axis=0).max() > self.config.max_object_size_m)

    def relabel(self, instance: int) -> None:
        """A new name is a new revision."""
        self._entries[instance].revision += 1

    def _revise(self, instance: int, shape: Shape) -> bool:
        entry = self._entries.get(instance)
        if entry is None:
            self._entries[instance] = _Entry(shape, shape)
            return True
        entry.shape = shape
        if not shape.differs(entry.revised_at):
            return False
        entry.revised_at, entry.revision = shape, entry.revision + 1
        return True

    def instances(self, tracker: Tracker) -> Instances:
        """The list to publish."""
        if not self._entries:
            return Instances.empty()
        ids = sorted(self._entries)
        entries = [self._entries[i] for i in ids]
        shapes, records = [e.shape for e in entries], [tracker.records[i] for i in ids]
        xyzw = Rotation.from_matrix(np.stack([s.axes for s in shapes])).as_quat()
        return Instances(
            ids=np.array(ids, np.int32),
            revisions=np.array([e.revision for e in entries], np.int32),
            states=np.array([self._state(r) for r in records], np.int32),
            scores=np.array([self._score(r) for r in records], np.float32),
            box_centers_m=np.stack([s.center_m for s in shapes]),
            box_quats_wxyz=np.roll(xyzw, 1, axis=1).astype(np.float32),
            box_sizes_m=np.stack([s.size_m for s in shapes]),
            centroids_m=np.stack([s.centroid_m for s in shapes]),
            num_points=np.array([s.num_points for s in shapes], np.int32),
            num_views=np.array([r.num_views for r in records], np.int32),
            first_seen_ns=np.array([r.first_seen_ns for r in records], np.int64),
            last_seen_ns=np.array([r.last_seen_ns for r in records], np.int64),
            observed_fractions=np.full(len(ids), np.nan, np.float32),
            merged_ids=tuple(tracker.identities.absorbed_by(i) for i in ids),
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
        }

    def restore(self, columns: Columns, tracker: Tracker) -> None:
        """Take over saved entries.

        Raises:
            ValueError: the columns do not fit together, or the tracker does not know one of the instances.
        """
        found = checked(self.columns(), columns)
        instances, revisions = (found[f"entries.{name}"].tolist() for name in ("instance", "revision"))
        shapes, revised_at = (Shape.from_table(under(name, found)) for name in ("shapes", "revised_at"))
        if not len(instances) == len(shapes) == len(revised_at):
            raise ValueError(f"{len(instances)} instances, {len(shapes)} shapes, {len(revised_at)} before")
        if unknown := set(instances) - set(tracker.records):
            raise ValueError(f"instances {sorted(unknown)[:5]} have no record")
        rows = zip(instances, shapes, revised_at, revisions, strict=True)
        self._entries = {instance: _Entry(*entry) for instance, *entry in rows}

    def _state(self, record: InstanceRecord) -> InstanceState:
        # What the image border always cuts off may be a piece of floor or wall; what masks rarely agree on, a fragment.
        least = max(self.config.confirm_views, self.config.min_whole_share * record.num_views)
        seen_enough = record.num_whole_views >= least
        return InstanceState.CONFIRMED if seen_enough or record.edited else InstanceState.TENTATIVE

    def _score(self, record: InstanceRecord) -> float:
        """Mean IoU with the best mask of each view, pulled to zero while the views are few."""
        return record.wholeness / (record.num_views + 1)
