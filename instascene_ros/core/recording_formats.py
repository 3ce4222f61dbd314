"""Which recorded format a path holds."""

from pathlib import Path

from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.recording import Recording, SceneFolder
from instascene_ros.core.tum import TumFolder


def open_recording(path: Path, masks_name: str | None = None) -> Recording:
    """A folder of our format or of the TUM RGB-D benchmark, with a folder of recorded masks if named.

    Raises:
        InvalidSceneError: neither, or damaged, or the masks are not there; the message says what was found.
    """
    if not path.is_dir():
        raise InvalidSceneError(f"{path} is not a folder; expected a recorded scene (scene.json or rgb.txt inside)")
    if (path / "scene.json").exists():
        if masks_name is not None and not (path / masks_name).is_dir():
            raise InvalidSceneError(
                f"{path} has no masks {masks_name!r}; it has: {', '.join(mask_folders(path)) or 'none'}"
            )
        return SceneFolder.open(path, masks_name)
    if (path / "rgb.txt").exists():
        if masks_name is not None:
            raise InvalidSceneError(f"{path} is a TUM folder, which holds no masks; leave --masks {masks_name} out")
        return TumFolder.open(path)
    if (path / "metadata.yaml").exists():
        raise InvalidSceneError(
            f"{path} is a rosbag2, which is not read from disk yet: play it into the running nodes (ros2 bag play)"
        )
    found = ", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "nothing"
    raise InvalidSceneError(
        f"{path} holds no recorded scene: expected scene.json (our format) or rgb.txt (TUM RGB-D), found {found}"
    )


def mask_folders(path: Path) -> list[str]:
    """Names of the mask folders of a scene in our format."""
    return sorted(entry.name for entry in path.glob("masks*") if entry.is_dir())
