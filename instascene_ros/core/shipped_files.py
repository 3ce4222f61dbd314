"""Where the configuration files that come with the package lie."""

import os
from pathlib import Path

import instascene_ros
from instascene_ros.core.errors import InvalidSceneError


def shipped_config(name: str) -> Path:
    """`config/<name>` of the source tree or of the installed package.

    Raises:
        InvalidSceneError: neither is there.
    """
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    folders = [Path(folder).parent / "config" for folder in instascene_ros.__path__]
    folders += [Path(prefix) / "share" / "instascene_ros" / "config" for prefix in prefixes if prefix]
    found = next((path for folder in folders if (path := folder / name).is_file()), None)
    if found is None:
        raise InvalidSceneError(f"no {name} in {', '.join(map(str, folders))}; name a file")
    return found
