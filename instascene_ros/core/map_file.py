"""The map on disk: saved whole (`.npz`, ours), or as a splat PLY that other viewers open."""

import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int32, Shaped
from torch import Tensor

from instascene_ros.core.atomic_file import replacing
from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.instances import Instances

FORMAT, VERSION = "instascene map", 1
SH_C0 = 0.28209479177387814  # first spherical harmonic: colour = 0.5 + SH_C0 * f_dc
FLAT_LOG_SCALE = float(np.log(1e-5))  # third axis of a disc for viewers that draw ellipsoids, log m
RAGGED = ("merged_ids", "names")  # columns of Instances that are not arrays
UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class SavedMap:
    """What a saved map holds: enough to show, query and go on from it."""

    map_id: str
    gaussians: GaussianMap
    labels: Int32[np.ndarray, " N"]  # instance of every Gaussian, 0 = none
    instances: Instances


def save_map(path: Path, saved: SavedMap) -> int:
    """Write the map whole or not at all; returns the bytes on disk.

    Raises:
        OSError: the folder cannot be written or the disk is full; an older file at `path` is then untouched.
    """
    columns = {f"gaussians.{name}": column for name, column in saved.gaussians.columns().items()}
    merged = saved.instances.merged_ids
    for f in fields(Instances):
        if f.name not in RAGGED:
            columns[f"instances.{f.name}"] = getattr(saved.instances, f.name)
    columns["instances.merged_counts"] = np.array([len(ids) for ids in merged], np.int32)
    columns["instances.merged_flat"] = np.array([i for ids in merged for i in ids], np.int32)
    columns["instances.names"] = np.array(saved.instances.names, np.str_)
    with replacing(path) as temporary:
        np.savez(temporary, format=FORMAT, version=VERSION, map_id=saved.map_id, labels=saved.labels, **columns)
    return path.stat().st_size


def load_map(path: Path) -> SavedMap:
    """Read what `save_map` wrote, checking every column before anything is returned.

    Raises:
        InvalidSceneError: missing, truncated, corrupt, not a map of ours, or of a newer version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
        if str(stored["format"]) != FORMAT:
            raise ValueError(f"its format is {str(stored['format'])!r}")
        if int(stored["version"]) > VERSION:
            raise ValueError(f"it is version {int(stored['version'])}; update instascene_ros to read it")
        return _saved_map(stored)
    except UNREADABLE as error:
        raise InvalidSceneError(
            f"{path} cannot be read as a saved map ({error}); expected a file written by instascene, version {VERSION} "
            "or older: save it again, or copy it again if it was cut short"
        ) from error


def _saved_map(stored: dict[str, Shaped[np.ndarray, "..."]]) -> SavedMap:
    expected = GaussianMap.empty().columns()
    gaussians = _checked(expected, {name: stored[f"gaussians.{name}"] for name in expected})
    if not np.isfinite(gaussians["means_m"]).all():
        raise ValueError("some Gaussians have no finite position")
    num_gaussians = len(gaussians["means_m"])
    labels = _checked({"labels": np.zeros(num_gaussians, np.int32)}, stored)["labels"]
    if len(labels) != num_gaussians:
        raise ValueError(f"{len(labels)} labels for {num_gaussians} Gaussians")
    expected = {f.name: getattr(Instances.empty(), f.name) for f in fields(Instances) if f.name not in RAGGED}
    columns = _checked(expected, {name: stored[f"instances.{name}"] for name in expected})
    ends = np.cumsum(stored["instances.merged_counts"])
    flat = [int(i) for i in stored["instances.merged_flat"]]
    if len(ends) != len(columns["ids"]) or (ends[-1] if len(ends) else 0) != len(flat):
        raise ValueError("the merged ids do not fit the instances")
    merged = tuple(tuple(flat[start:end]) for start, end in zip([0, *ends], ends, strict=False))
    names = tuple(map(str, stored.get("instances.names", ())))  # maps of earlier releases have none
    if names and len(names) != len(columns["ids"]):
        raise ValueError(f"{len(names)} names for {len(columns['ids'])} instances")
    map_of = GaussianMap(**{name: torch.from_numpy(column) for name, column in gaussians.items()})
    return SavedMap(str(stored["map_id"]), map_of, labels, Instances(**columns, merged_ids=merged, names=names))


def _checked(
    expected: dict[str, Shaped[np.ndarray, "..."]], stored: dict[str, Shaped[np.ndarray, "..."]]
) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The stored columns, if each has the expected type and row shape and all have the same number of rows."""
    rows = {stored[name].shape[:1] for name in expected}
    if len(rows) > 1:
        raise ValueError(f"columns of different lengths: { {name: len(stored[name]) for name in expected} }")
    for name, like in expected.items():
        found = stored[name]
        if (found.dtype, found.ndim, found.shape[1:]) != (like.dtype, like.ndim, like.shape[1:]):
            raise ValueError(f"column {name} is {found.dtype}{list(found.shape)}")
    return {name: stored[name] for name in expected}


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
