"""The published list of instances: which exist, how large they are, when they last changed."""

from collections.abc import Iterable, Set

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from scipy.spatial.transform import Rotation
from torch import Tensor

from instascene_ros.core.background import is_background
from instascene_ros.core.catalogue_entry import MAX_AGE, Entry, Measured, measured_rows, shape_of
from instascene_ros.core.columns import Columns, checked, prefixed, under
from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.crumbs import without_crumbs
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.instance_sums import columns_of, sample, surface_sums
from instascene_ros.core.instances import Instances
from instascene_ros.core.shape import SAME_SHARE, SAME_SHIFT_M, Samples, Shape, boxes
from instascene_ros.core.support_plane import plane_of
from instascene_ros.core.tracker import Tracker
from instascene_ros.core.upload import uploaded

PARTS = ("entries", "backdrops")


class Catalogue:
    """Keeps one entry per published instance and measures only those that were touched."""

    def __init__(self, config: TrackingConfig, up: Float64[np.ndarray, " 3"]) -> None:
        self.config = config
        self.up = up
        self._entries: dict[int, Entry] = {}
        self._backdrops: dict[int, Measured] = {}  # instances that are no objects

    def update(
        self, tracker: Tracker, gaussians: GaussianMap, labels: Int64[Tensor, " N"], touched: Iterable[int]
    ) -> tuple[set[int], set[int], Int64[Tensor, " N"]]:
        """Measure the touched instances anew.

        Returns the ids with a new revision, the ids that are gone, and `labels` of what is published: without crumbs,
        support surfaces and rooms.
        """
        ids = np.array([0, *sorted(tracker.records.keys() & tracker.identities.segments_of.keys())], np.int64)
        columns = columns_of(ids, labels)
        counts = torch.zeros(len(ids), dtype=torch.int64, device=columns.device)
        counts = counts.index_add_(0, columns, torch.ones_like(columns)).cpu().numpy()  # bincount waits for a GPU twice
        enough = counts >= self.config.min_gaussians
        before, looked_at = set(self._entries), set(touched) | self._entries.keys() - set(ids[enough].tolist())
        chosen = np.array([c for c in range(1, len(ids)) if enough[c] and int(ids[c]) in looked_at], np.int64)
        as_it_was, anew = self._told_apart(tracker, ids, counts, chosen)
        rows, samples = sample(gaussians, columns, counts, anew)
        objects = self._objects(tracker, ids[anew], samples)
        self._note_backdrops(tracker, ids[anew], counts[anew], samples, set(objects.tolist()))
        anew, samples, rows = anew[objects], _only(samples, objects), rows[objects]
        for instance in looked_at - set(ids[anew].tolist()) - set(ids[as_it_was].tolist()):
            self._entries.pop(instance, None)
        solid = self._solid(gaussians, columns, ids, set(ids[anew].tolist()) | self._entries.keys())
        samples = Samples(samples.points_m, samples.normals, samples.valid & (solid[rows] > 0).cpu().numpy())
        sums = surface_sums(gaussians, solid, len(ids))
        changed = self._measure(sums, counts, ids, anew, samples) | self._recount(sums, ids, as_it_was)
        published = uploaded(np.where(np.isin(ids, list(self._entries)), ids, 0), labels.device)[solid]
        return changed, before - set(self._entries), published

    def _told_apart(
        self, tracker: Tracker, ids: Int64[np.ndarray, " K"], counts: Int64[np.ndarray, " K"],
        chosen: Int64[np.ndarray, " C"],
    ) -> tuple[Int64[np.ndarray, " O"], Int64[np.ndarray, " A"]]:  # fmt: skip
        """Of the chosen columns, objects whose extent still holds, and those to look at anew."""
        as_it_was, anew = [], []
        for column in chosen.tolist():
            instance, count = int(ids[column]), int(counts[column])
            entry, backdrop = self._entries.get(instance), self._backdrops.get(instance)
            measured = entry.measured if entry is not None else backdrop
            overruled = entry is None and tracker.records[instance].edited  # by a user, who knows what is an object
            if measured is None or overruled or not measured.holds(count):
                anew.append(column)
                continue
            measured.age += 1
            if entry is not None:
                as_it_was.append(column)
        return np.array(as_it_was, np.int64), np.array(anew, np.int64)

    def _objects(self, tracker: Tracker, ids: Int64[np.ndarray, " K"], samples: Samples) -> Int64[np.ndarray, " O"]:
        """Which rows are no background, or were edited by a user, who knows better."""
        records = [tracker.records[i] for i in ids.tolist()]
        edited = np.array([r.edited for r in records], bool)
        seen_whole = np.array([r.num_whole_views > 0 for r in records], bool)
        return np.nonzero(edited | ~is_background(samples, seen_whole, self.config))[0]

    def _note_backdrops(
        self, tracker: Tracker, ids: Int64[np.ndarray, " A"], counts: Int64[np.ndarray, " A"], samples: Samples,
        objects: Set[int],
    ) -> None:  # fmt: skip
        """Remember which rows are no objects; tell the tracker the planes of support surfaces, for its next votes."""
        self._backdrops = {i: m for i, m in self._backdrops.items() if i in tracker.identities.segments_of}
        for row, (instance, count) in enumerate(zip(ids.tolist(), counts.tolist(), strict=True)):
            plane = None
            if row in objects:
                self._backdrops.pop(instance, None)
            else:
                self._backdrops[instance] = Measured(count)
                plane = plane_of(samples.points_m[row][samples.valid[row]], self.config)
            if plane is not None:
                tracker.planes[instance] = plane
            else:
                tracker.planes.pop(instance, None)

    def _solid(
        self, gaussians: GaussianMap, columns: Int64[Tensor, " N"], ids: Int64[np.ndarray, " K"], kept: set[int]
    ) -> Int64[Tensor, " N"]:
        """Columns of the instances that are kept, without crumbs."""
        table = np.where(np.isin(ids, list(kept)), np.arange(len(ids)), 0)
        shown = uploaded(table, columns.device)[columns]
        return without_crumbs(gaussians.means_m.detach(), shown, self.config)

    def _measure(
        self, sums: Float32[np.ndarray, "K 8"], counts: Int64[np.ndarray, " K"], ids: Int64[np.ndarray, " K"],
        chosen: Int64[np.ndarray, " O"], samples: Samples,
    ) -> set[int]:  # fmt: skip
        """New shapes of the chosen columns; returns the ids that have a new revision."""
        large = sums[chosen, 0] >= self.config.min_gaussians
        for instance in ids[chosen[~large]].tolist():
            self._entries.pop(instance, None)
        chosen, samples = chosen[large], _only(samples, np.nonzero(large)[0])
        if not len(chosen):
            return set()
        known = [self._oriented(int(ids[c]), int(sums[c, 0])) for c in chosen]
        changed = set()
        for column, shape, box in zip(chosen, known, boxes(samples, self.up, known), strict=True):
            instance = int(ids[column])
            if self._revise(instance, shape_of(box, sums[column]), newly_oriented=shape is None):
                changed.add(instance)
            self._entries[instance].measured = Measured(int(counts[column]))
        return changed

    def _recount(
        self, sums: Float32[np.ndarray, "K 8"], ids: Int64[np.ndarray, " K"], chosen: Int64[np.ndarray, " O"]
    ) -> set[int]:
        """Shapes of the chosen columns with the extent that they had; returns the ids that have a new revision."""
        changed = set()
        for instance, row in zip(ids[chosen].tolist(), sums[chosen], strict=True):
            if row[0] < self.config.min_gaussians:
                del self._entries[instance]
                continue
            shape = self._entries[instance].shape
            if self._revise(instance, shape_of((shape.center_m, shape.axes, shape.size_m), row), newly_oriented=False):
                changed.add(instance)
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
            self._entries[instance] = Entry(shape, shape, shape)
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
            "entries.measured": measured_rows([e.measured for e in entries]),
            "backdrops.instance": np.array(list(self._backdrops), np.int64),
            "backdrops.measured": measured_rows(list(self._backdrops.values())),
            **prefixed("shapes", Shape.table([e.shape for e in entries])),
            **prefixed("revised_at", Shape.table([e.revised_at for e in entries])),
            **prefixed("oriented_at", Shape.table([e.oriented_at for e in entries])),
        }

    def restore(self, columns: Columns, tracker: Tracker) -> None:
        """Take over saved entries.

        Raises:
            ValueError: the columns do not fit together, or the tracker does not know one of the instances.
        """
        never = np.full((len(columns.get("entries.instance", ())), 2), (0, MAX_AGE), np.int64)
        older = {"entries.measured": never, "backdrops.instance": never[:0, 0], "backdrops.measured": never[:0]}
        found = checked(self.columns(), older | columns)
        instances, revisions = (found[f"entries.{name}"].tolist() for name in ("instance", "revision"))
        tables = [Shape.from_table(under(name, found)) for name in ("shapes", "revised_at", "oriented_at")]
        if len({len(instances), *map(len, tables)}) > 1:
            raise ValueError(f"{len(instances)} instances, but {list(map(len, tables))} shapes of them")
        if unknown := set(instances) - set(tracker.records):
            raise ValueError(f"instances {sorted(unknown)[:5]} have no record")
        measured, backdrops = ([Measured(*row) for row in found[f"{name}.measured"].tolist()] for name in PARTS)
        self._backdrops = dict(zip(found["backdrops.instance"].tolist(), backdrops, strict=True))
        rows = zip(instances, *tables, revisions, measured, strict=True)
        self._entries = {instance: Entry(*entry) for instance, *entry in rows}


def _only(samples: Samples, rows: Int64[np.ndarray, " R"]) -> Samples:
    return Samples(samples.points_m[rows], samples.normals[rows], samples.valid[rows])
