"""A scene in a folder: `map.npz` and, beside it, the objects completed in it. Knows no ROS.

The objects' file carries the map's id in its name and is written first: whatever interrupts a save, the folder holds
a map and the objects that belong to it.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from instascene_ros.adapters.error_codes import InvalidRequestError, NoMapError
from instascene_ros.core.completed_file import StampedObject, load_completed, save_completed
from instascene_ros.core.errors import InstasceneError
from instascene_ros.core.map_file import SavedMap, load_map, save_map

MAP = "map.npz"


@dataclass(frozen=True)
class StoredScene:
    """What a folder holds."""

    saved: SavedMap
    objects: Sequence[StampedObject]


def path_of(url: str, root: str) -> Path:
    """The folder that a file:// URL or absolute path names; links are followed.

    Raises:
        InvalidRequestError: neither, or not below `root`.
    """
    parts = urlsplit(url)
    path = unquote(parts.path) if parts.scheme == "file" else url
    if parts.scheme == "file" and parts.netloc not in ("", "localhost"):
        raise InvalidRequestError(f"url {url!r} names the host {parts.netloc!r}; expected file:///absolute/path")
    if not path.startswith("/") or "\0" in path:
        raise InvalidRequestError(f"url is {url!r}; expected a file:// URL or an absolute path of a folder")
    allowed = Path(root).expanduser()
    try:
        found, allowed = Path(path).resolve(), allowed.resolve()
    except (OSError, RuntimeError) as error:  # a link to itself
        raise InvalidRequestError(f"url {url!r} cannot be followed: {error}") from error
    if not found.is_relative_to(allowed):
        raise InvalidRequestError(f"{found} is not below {allowed} (parameter map_root)")
    return found


def save_scene(folder: Path, scene: StoredScene, overwrite: bool) -> int:
    """Write map and objects; returns the bytes on disk. Whatever fails, an older map in the folder is as before.

    Raises:
        InvalidRequestError: there is a map already and `overwrite` is false, or a file is in the way.
        InstasceneError: the disk is full or not writable.
    """
    map_file, objects_file = folder / MAP, _objects_file(folder, scene.saved.map_id)
    try:
        if map_file.exists() and not overwrite:
            raise InvalidRequestError(f"{map_file} exists: set overwrite, or choose another folder")
        num_bytes = save_completed(objects_file, scene.objects) if scene.objects else 0
        num_bytes += save_map(map_file, scene.saved)
        for other in folder.glob(_objects_file(folder, "*").name):
            if other != objects_file or not scene.objects:
                other.unlink()
    except OSError as error:
        free = _free_bytes(folder)
        raise InstasceneError(f"the map cannot be saved in {folder}: {error} ({free >> 20} MB are free)") from error
    return num_bytes


def load_scene(folder: Path) -> StoredScene:
    """Read a folder that `save_scene` or `instascene run` wrote; a path of the map file itself will do.

    Raises:
        NoMapError: there is no map.
        InvalidSceneError: it, or the objects beside it, cannot be read.
    """
    map_file = folder / MAP if folder.is_dir() else folder
    if not map_file.is_file():
        raise NoMapError(f"there is no map at {map_file}: expected a folder that save_map or `instascene run` wrote")
    saved = load_map(map_file)
    objects_file = _objects_file(map_file.parent, saved.map_id)
    objects = load_completed(objects_file) if objects_file.is_file() else []
    known = set(saved.instances.ids.tolist())
    return StoredScene(saved, [one for one in objects if one.completed.instance_id in known])


def _objects_file(folder: Path, map_id: str) -> Path:
    return folder / f"completed_{re.sub('[^*0-9A-Za-z-]', '_', map_id)}.npz"


def _free_bytes(folder: Path) -> int:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free
