"""The map on disk: saved whole (`.npz`, ours), or as a splat PLY that other viewers open."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int32, Shaped
from torch import Tensor

from instascene_ros.core.atomic_file import replacing
from instascene_ros.core.column_file import UNREADABLE, read_columns, write_columns
from instascene_ros.core.columns import Columns, checked, prefixed, under
from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.gaussian_map import NUM_FEATURES, GaussianMap
from instascene_ros.core.instances import Instances

FORMAT, VERSION = "instascene map", 2  # 1: without `state`
SH_C0 = 0.28209479177387814  # first spherical harmonic: colour = 0.5 + SH_C0 * f_dc
FLAT_LOG_SCALE = float(np.log(1e-5))  # third axis of a disc for viewers that draw ellipsoids, log m
RAGGED = ("merged_ids", "names")  # columns of Instances that are not arrays


@dataclass(frozen=True)
class SavedMap:
    """What a saved map holds: enough to show and query it, and with `state` to go on mapping."""

    map_id: str
    gaussians: GaussianMap
    labels: Int32[np.ndarray, " N"]  # instance of every Gaussian, 0 = none
    instances: Instances
    state: Columns | None = None  # what `SceneMapper.restore` needs besides; None where a client saved what it heard


def save_map(path: Path, saved: SavedMap) -> int:
    """Write the map whole or not at all; returns the bytes on disk.

    Raises:
        OSError: the folder cannot be written or the disk is full; an older file at `path` is then untouched.
    """
    head = {"format": np.array(FORMAT), "version": np.array(VERSION), "map_id": np.array(saved.map_id)}
    columns = {
        **head, "labels": saved.labels, **prefixed("gaussians", saved.gaussians.columns()),
        **prefixed("instances", _instance_columns(saved.instances)), **prefixed("state", saved.state or {}),
        "instances.names": np.array(saved.instances.names, np.str_),
    }  # fmt: skip
    return write_columns(path, columns)


def load_map(path: Path) -> SavedMap:
    """Read what `save_map` wrote, also in an older version, checking every column before anything is returned.

    It takes no more memory than the file is large. What `state` holds is checked by whoever restores it.

    Raises:
        InvalidSceneError: missing, truncated, corrupt, not a map of ours, or of a newer version.
    """
    try:
        stored = read_columns(path)
        if str(stored["format"]) != FORMAT:
            raise ValueError(f"its format is {str(stored['format'])[:80]!r}")
        if int(stored["version"]) > VERSION:
            raise ValueError(f"it is version {int(stored['version'])}; update instascene_ros to read it")
        return _saved_map(stored)
    except UNREADABLE as error:
        raise InvalidSceneError(
            f"{path} cannot be read as a saved map ({error}); expected a file written by instascene, version {VERSION} "
            "or older: save it again, or copy it again if it was cut short"
        ) from error


def _saved_map(stored: Columns) -> SavedMap:
    expected = GaussianMap.empty().columns()
    if "gaussians.features" in stored:  # only of a refined map
        expected["features"] = np.zeros((0, NUM_FEATURES), np.float32)
    columns = checked(expected, under("gaussians", stored))
    for name, column in columns.items():
        if column.dtype.kind == "f" and not np.isfinite(column).all():
            raise ValueError(f"some Gaussians have no finite {name}")
    labels = checked({"labels": np.zeros(0, np.int32)}, stored)["labels"]
    if len(labels) != len(columns["means_m"]):
        raise ValueError(f"{len(labels)} labels for {len(columns['means_m'])} Gaussians")
    gaussians = GaussianMap(**{name: torch.from_numpy(column) for name, column in columns.items()})
    instances = _instances(under("instances", stored))
    return SavedMap(str(stored["map_id"]), gaussians, labels, instances, under("state", stored) or None)


def _instance_columns(instances: Instances) -> Columns:
    """`merged_ids`, which is ragged, as the count of each row and all ids one after the other."""
    merged = instances.merged_ids
    columns = {f.name: getattr(instances, f.name) for f in fields(Instances) if f.name not in RAGGED}
    columns["merged_counts"] = np.array([len(ids) for ids in merged], np.int32)
    return {**columns, "merged.flat": np.array([i for ids in merged for i in ids], np.int32)}


def _instances(stored: Columns) -> Instances:
    if "merged_flat" in stored:  # as version 1 calls it
        stored = {**stored, "merged.flat": stored["merged_flat"]}
    columns = checked(_instance_columns(Instances.empty()), stored)
    counts, flat = columns.pop("merged_counts"), columns.pop("merged.flat")
    if (counts < 0).any() or counts.sum() != len(flat):
        raise ValueError("the merged ids do not fit the instances")
    merged = tuple(tuple(ids.tolist()) for ids in np.split(flat, np.cumsum(counts)))[: len(counts)]
    names = tuple(map(str, stored.get("names", ())))  # version 1 has none
    if names and len(names) != len(counts):
        raise ValueError(f"{len(names)} names for {len(counts)} instances")
    return Instances(**columns, merged_ids=merged, names=names)


def write_splats(path: Path, gaussians: GaussianMap) -> None:
    """Write the map in the PLY layout of 3D Gaussian splatting, which splat viewers open (and 2DGS tools too).

    Discs get a third axis of 0.01 mm, so that viewers of ellipsoids draw them flat.

    Raises:
        OSError: the folder cannot be written or the disk is full.
    """
    table = splat_table(gaussians)
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}"]
    header += [f"property float {name}" for name in table.dtype.names or ()]
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write("\n".join([*header, "end_header\n"]).encode())
        file.write(table.tobytes())


def splat_table(gaussians: GaussianMap) -> Shaped[np.ndarray, " N"]:
    """One record a Gaussian with the field names that splat viewers know."""
    flat = torch.full_like(gaussians.log_scales[:, :1], FLAT_LOG_SCALE)
    groups: dict[tuple[str, ...], Float32[Tensor, "N C"]] = {
        ("x", "y", "z"): gaussians.means_m,
        ("nx", "ny", "nz"): gaussians.normals,
        ("f_dc_0", "f_dc_1", "f_dc_2"): (gaussians.colors - 0.5) / SH_C0,
        ("opacity",): gaussians.opacity_logits[:, None],
        ("scale_0", "scale_1", "scale_2"): torch.cat([gaussians.log_scales, flat], dim=-1),
        ("rot_0", "rot_1", "rot_2", "rot_3"): torch.nn.functional.normalize(gaussians.quats_wxyz, dim=-1),
    }
    table = np.zeros(len(gaussians), dtype=[(name, "<f4") for names in groups for name in names])
    for names, column in groups.items():
        for index, name in enumerate(names):
            table[name] = column[:, index].detach().cpu().numpy()
    return table
