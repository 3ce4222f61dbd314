"""Completed objects on disk, beside the map they belong to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from instascene_ros.core.column_file import UNREADABLE, read_columns, write_columns
from instascene_ros.core.columns import Columns, checked, prefixed, under
from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.objects import CompletedObject

FORMAT, VERSION = "instascene completed objects", 1
MAX_OBJECTS = 100_000  # in one file: more is damage, and is not counted up to
SCALARS = {
    "map_id": str, "instance_id": int, "instance_revision": int, "watertight": bool, "confidence": float,
    "observed_fraction": float, "method": str, "seed": int,
}  # fmt: skip
STORED_AS = {  # array of a CompletedObject: its column
    "vertices_m": "vertex.xyz_m", "colors": "vertex.rgb", "observed": "vertex.observed", "faces": "face.corners",
    "T_world_object": "pose.T_world_object", "size_m": "box.size_m",
}  # fmt: skip
EMPTY: Columns = {
    "vertex.xyz_m": np.zeros((0, 3), np.float32), "vertex.rgb": np.zeros((0, 3), np.uint8),
    "vertex.observed": np.zeros(0, bool), "face.corners": np.zeros((0, 3), np.int32),
    "pose.T_world_object": np.zeros((0, 4)), "box.size_m": np.zeros(0, np.float32),
}  # fmt: skip


@dataclass(frozen=True)
class StampedObject:
    """A completed object, when it was seen last, and how long it took."""

    completed: CompletedObject
    stamp_ns: int
    processing_s: float


def save_completed(path: Path, objects: Sequence[StampedObject]) -> int:
    """Write the objects whole or not at all; returns the bytes on disk.

    Raises:
        OSError: the folder cannot be written or the disk is full; an older file at `path` is then untouched.
    """
    columns: Columns = {"format": np.array(FORMAT), "version": np.array(VERSION), "count": np.array(len(objects))}
    for row, one in enumerate(objects):
        values = {column: getattr(one.completed, name) for name, column in STORED_AS.items()}
        values |= {name: np.array(getattr(one.completed, name)) for name in SCALARS}
        values |= {"stamp_ns": np.array(one.stamp_ns), "processing_s": np.array(one.processing_s)}
        columns |= prefixed(f"object{row}", values)
    return write_columns(path, columns)


def load_completed(path: Path) -> list[StampedObject]:
    """Read what `save_completed` wrote; every object is checked before any is returned.

    Raises:
        InvalidSceneError: missing, truncated, corrupt, not ours, or of a newer version.
    """
    try:
        stored = read_columns(path)
        if str(stored["format"]) != FORMAT or int(stored["version"]) > VERSION:
            raise ValueError(f"it is {str(stored['format'])[:80]!r}, version {int(stored['version'])}")
        count = int(stored["count"])
        if not 0 <= count <= MAX_OBJECTS:
            raise ValueError(f"it claims {count} objects")
        return [_object(under(f"object{row}", stored)) for row in range(count)]
    except UNREADABLE as error:
        raise InvalidSceneError(
            f"{path} cannot be read as completed objects ({error}); save the map again, or copy it again if it was "
            "cut short"
        ) from error


def _object(stored: Columns) -> StampedObject:
    """Raises ValueError: a column of another type or shape, faces without vertices, numbers that are not finite."""
    columns = checked(EMPTY, stored)
    for name, column in columns.items():
        if column.dtype.kind == "f" and not np.isfinite(column).all():
            raise ValueError(f"{name} is not finite")
    corners, num_vertices = columns["face.corners"], len(columns["vertex.xyz_m"])
    if len(corners) and not 0 <= corners.min() <= corners.max() < num_vertices:
        raise ValueError(f"faces of {num_vertices} vertices use {corners.min()} to {corners.max()}")
    if columns["pose.T_world_object"].shape != (4, 4) or columns["box.size_m"].shape != (3,):
        raise ValueError("an object without pose or size")
    values = {name: columns[column] for name, column in STORED_AS.items()}
    values |= {name: kind(stored[name]) for name, kind in SCALARS.items()}
    return StampedObject(CompletedObject(**values), int(stored["stamp_ns"]), float(stored["processing_s"]))
