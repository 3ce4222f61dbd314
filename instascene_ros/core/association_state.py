"""What association remembers besides the map's own columns, as named columns, to be saved and gone on from."""

from collections.abc import Mapping
from dataclasses import fields

import numpy as np
from jaxtyping import Shaped

from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.tracker import InstanceRecord, Tracker

Columns = dict[str, Shaped[np.ndarray, "..."]]


def columns_of(tracker: Tracker) -> Columns:
    """Segments, consensus counts, records and aliases. The votes are columns of the map itself."""
    ids, pairs = tracker.identities, list(tracker.consensus.pairs())
    segments = sorted(ids.instance_of.keys() | {s for a, b, _ in pairs for s in (a, b)})
    records = sorted(tracker.records.items())
    columns = {
        "segments.id": np.array(segments, np.int64),
        "segments.instance": np.array([ids.instance_of.get(s, 0) for s in segments], np.int64),
        "segments.bond": np.array([ids.bond_of.get(s, 0) for s in segments], np.int64),
        "pairs.segments": np.array([(a, b) for a, b, _ in pairs], np.int64).reshape(-1, 2),
        "pairs.counts": np.array([(p.observers, p.supporters) for *_, p in pairs], np.float64).reshape(-1, 2),
        "aliases": np.array(sorted(ids.merged_into.items()), np.int64).reshape(-1, 2),
        "next": np.array([tracker.next_segment, ids.next_id], np.int64),
        "records.id": np.array([i for i, _ in records], np.int64),
    }
    for f in fields(InstanceRecord):
        columns[f"records.{f.name}"] = np.array([getattr(r, f.name) for _, r in records], _DTYPES[f.type])
    return columns


def tracker_from(columns: Mapping[str, Shaped[np.ndarray, "..."]], config: TrackingConfig) -> Tracker:
    """The tracker that `columns_of` described.

    Raises:
        KeyError: a column is missing.
        ValueError: columns that belong together differ in length.
    """
    tracker = Tracker(config)
    ids = tracker.identities
    tracker.next_segment, ids.next_id = (int(n) for n in columns["next"])
    ids.merged_into = {int(old): int(new) for old, new in columns["aliases"]}
    names = ("id", "instance", "bond")
    for segment, instance, bond in zip(*(columns[f"segments.{n}"].tolist() for n in names), strict=True):
        if instance:
            ids.instance_of[segment] = instance
            ids.segments_of.setdefault(instance, []).append(segment)
        if bond:
            ids.bond_of[segment] = bond
    for (a, b), (observers, supporters) in zip(columns["pairs.segments"], columns["pairs.counts"], strict=True):
        tracker.consensus.add(int(a), int(b), float(observers), float(supporters))
    remembered = [columns[f"records.{f.name}"].tolist() for f in fields(InstanceRecord)]
    for instance, *values in zip(columns["records.id"].tolist(), *remembered, strict=True):
        tracker.records[instance] = InstanceRecord(*values)
    return tracker


_DTYPES = {int: np.int64, float: np.float64, bool: np.bool_, str: np.str_}
