"""Which recorded format a path holds."""

from pathlib import Path

from instascene_ros.core.bag_file import BagFile, is_bag
from instascene_ros.core.bag_recording import BagRecording
from instascene_ros.core.bag_topics import parse_topics
from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.recording import Recording, SceneFolder
from instascene_ros.core.tum import TumFolder


def open_recording(path: Path, masks_name: str | None = None, topics: str = "") -> Recording:
    """A folder of our format or of the TUM RGB-D benchmark, or a rosbag2, with recorded masks if named.

    `topics` chooses those of a bag (see `parse_topics`), whose masks are the topic `.../masks/image` or `masks=TOPIC`.

    Raises:
        InvalidSceneError: none of them, or damaged, or the masks are not there; the message says what was found.
    """
    if is_bag(path):
        return BagRecording.open(path, parse_topics(topics), with_masks=masks_name is not None)
    if topics:
        raise InvalidSceneError(f"{path} is no rosbag2; leave --topics {topics} out")
    if not path.is_dir():
        raise InvalidSceneError(
            f"{path} is not a folder; expected a recorded scene (scene.json or rgb.txt inside) or a rosbag2"
        )
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
    found = ", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "nothing"
    raise InvalidSceneError(
        f"{path} holds no recorded scene: expected scene.json (our format), rgb.txt (TUM RGB-D) or metadata.yaml "
        f"(rosbag2), found {found}"
    )


def mask_folders(path: Path) -> list[str]:
    """Names of the recorded masks of a scene: folders of our format; `masks` of a bag that has a topic of them."""
    if is_bag(path):
        with BagFile(path) as bag:
            return ["masks"] if any(topic.endswith("/masks/image") for topic in bag.types) else []
    return sorted(entry.name for entry in path.glob("masks*") if entry.is_dir())
