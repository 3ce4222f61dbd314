"""What association remembers besides the map's own columns, as named columns, to be saved and gone on from."""

from dataclasses import fields

import numpy as np

from instascene_ros.core.columns import Columns, checked
from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.record import InstanceRecord
from instascene_ros.core.support_plane import Plane
from instascene_ros.core.tracker import Tracker

MAX_ID = 10_000_000  # tables are indexed by segment and by instance: no saved scene may claim more of either


def columns_of(tracker: Tracker) -> Columns:
    """Segments, consensus counts, records and aliases. The votes are columns of the map itself."""
    ids, pairs = tracker.identities, list(tracker.consensus.pairs())
    segments = sorted(ids.instance_of.keys() | {s for a, b, _ in pairs for s in (a, b)})
    records, planes = sorted(tracker.records.items()), tracker.planes.values()
    columns = {
        "next": np.array([tracker.next_segment, ids.next_id], np.int64),
        "unmasked": np.array(tracker.consensus.unmasked, np.int64),
        "segments.id": np.array(segments, np.int64),
        "segments.instance": np.array([ids.instance_of.get(s, 0) for s in segments], np.int64),
        "segments.bond": np.array([ids.bond_of.get(s, 0) for s in segments], np.int64),
        "pairs.segments": np.array([(a, b) for a, b, _ in pairs], np.int64).reshape(-1, 2),
        "pairs.counts": np.array([(p.observers, p.supporters) for *_, p in pairs], np.float64).reshape(-1, 2),
        "aliases.ids": np.array(sorted(ids.merged_into.items()), np.int64).reshape(-1, 2),
        "records.id": np.array([i for i, _ in records], np.int64),
        "planes.instance": np.array(list(tracker.planes), np.int64),
        "planes.normal": np.array([p.normal for p in planes], np.float64).reshape(-1, 3),
        "planes.limits_m": np.array([(p.offset_m, p.tolerance_m) for p in planes], np.float64).reshape(-1, 2),
    }
    for f in fields(InstanceRecord):
        columns[f"records.{f.name}"] = np.array([getattr(r, f.name) for _, r in records], _DTYPES[f.type])
    return columns


def tracker_from(columns: Columns, config: TrackingConfig, gaussians: GaussianMap) -> Tracker:
    """The tracker that `columns_of` described, for the map that holds its votes.

    Raises:
        ValueError: a column is missing or of another type, or they do not fit together or the map.
    """
    tracker = Tracker(config)
    ids = tracker.identities
    found = _checked(columns_of(tracker), columns)
    tracker.next_segment, ids.next_id = found["next"].tolist()
    tracker.consensus.unmasked = int(found["unmasked"])
    _check_ids(found, gaussians)
    ids.merged_into = dict(found["aliases.ids"].tolist())
    _check_ends(ids.merged_into)
    names = ("id", "instance", "bond")
    for segment, instance, bond in zip(*(found[f"segments.{n}"].tolist() for n in names), strict=True):
        if instance:
            ids.instance_of[segment] = instance
            ids.segments_of.setdefault(instance, []).append(segment)
        if bond:
            ids.bond_of[segment] = bond
    for (a, b), (observers, supporters) in zip(
        found["pairs.segments"].tolist(), found["pairs.counts"].tolist(), strict=True
    ):
        tracker.consensus.add(a, b, observers, supporters)
    remembered = [found[f"records.{f.name}"].tolist() for f in fields(InstanceRecord)]
    for instance, *values in zip(found["records.id"].tolist(), *remembered, strict=True):
        tracker.records[instance] = InstanceRecord(*values)
    planes = zip(found["planes.normal"], found["planes.limits_m"].tolist(), strict=True)
    tracker.planes = {
        i: Plane(n.copy(), *m) for i, (n, m) in zip(found["planes.instance"].tolist(), planes, strict=True)
    }
    tracker.recount(gaussians)
    return tracker


def _checked(expected: Columns, columns: Columns) -> Columns:
    if "planes.instance" not in columns:  # from before support surfaces were told by their planes
        columns = {**columns, **{name: empty for name, empty in expected.items() if name.startswith("planes.")}}
    columns = {"unmasked": expected["unmasked"], **columns}  # older files do not tell
    names = columns.get("records.name", np.array(0))
    if names.dtype.kind == "U":  # as wide as the longest name
        expected = {**expected, "records.name": expected["records.name"].astype(names.dtype)}
    return checked(expected, columns)


def _check_ids(found: Columns, gaussians: GaussianMap) -> None:
    """Every segment and instance was given out, and no table indexed by them is huge."""
    if len(found["next"]) != 2 or not ((found["next"] >= 1) & (found["next"] <= MAX_ID)).all():
        raise ValueError(f"next segment and instance {found['next'].tolist()}; expected two numbers up to {MAX_ID}")
    next_segment, next_id = found["next"].tolist()
    votes = gaussians.vote_ids.cpu().numpy()
    lowest_and_end = {
        "votes": (0, next_segment), "segments.id": (1, next_segment), "pairs.segments": (1, next_segment),
        "segments.instance": (0, next_id), "segments.bond": (0, max(next_id, next_segment)),  # once a segment
        "aliases.ids": (1, next_id), "records.id": (1, next_id), "planes.instance": (1, next_id),
    }  # fmt: skip
    for name, (low, high) in lowest_and_end.items():
        given = found.get(name, votes)
        if given.size and not low <= given.min() <= given.max() < high:
            raise ValueError(f"{name} from {given.min()} to {given.max()}, but only {low} to {high - 1} were given out")
    if not all(np.isfinite(found[f"planes.{name}"]).all() for name in ("normal", "limits_m")):
        raise ValueError("some planes of support surfaces are not finite")
    if not np.isfinite(found["pairs.counts"]).all():
        raise ValueError("the counts of some pairs of segments are not finite")


def _check_ends(merged_into: dict[int, int]) -> None:
    """Following aliases comes to an end."""
    settled: set[int] = set()
    for start in merged_into:
        chain: dict[int, None] = {}
        at = start
        while at in merged_into and at not in settled:
            if at in chain:
                raise ValueError(f"instances {list(chain)[:5]} were merged into one another in a circle")
            chain[at] = None
            at = merged_into[at]
        settled |= chain.keys()


_DTYPES = {int: np.int64, float: np.float64, bool: np.bool_, str: np.str_}
