"""Saving and loading the scene: the scene thread gives and takes, a thread of its own meets the disk."""

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from std_msgs.msg import Header

from instascene_ros.adapters.completed_objects import completed_message, completed_of
from instascene_ros.adapters.scene_files import StoredScene, load_scene, path_of, save_scene
from instascene_ros.adapters.scene_session import SceneSession
from instascene_ros.adapters.stamps import duration_of_s, ns_of_stamp, s_of_duration, stamp_of_ns
from instascene_ros.core.completed_file import StampedObject
from instascene_ros.core.map_file import SavedMap
from instascene_ros.msg import CompletedObject, Instance
from instascene_ros.srv import LoadMap, SaveMap

Result = TypeVar("Result")


class SceneStorage:
    """One file operation at a time. A process that is asked to end finishes the file at hand first."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "files")

    def close(self) -> None:
        """Finish the file at hand; what waits behind it is cancelled."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def run(self, function: Callable[[], Result]) -> "Future[Result]":
        """Run on the thread of the files."""
        return self._thread.submit(function)


def save(request: SaveMap.Request, root: str, snapshot: tuple[SavedMap, Sequence[CompletedObject]]) -> SaveMap.Response:
    """Write what was a moment's state of the scene.

    Raises:
        InstasceneError: the place is not allowed or taken, or the disk is full; what was there is as before.
    """
    saved, completed = snapshot
    folder = path_of(request.url, root)
    objects = [stored_object(one) for one in completed] if request.include_completed else []
    num_bytes = save_scene(folder, StoredScene(saved, objects), request.overwrite)
    return SaveMap.Response(path=str(folder), bytes=num_bytes)


def load(url: str, root: str, map_frame: str) -> tuple[SavedMap, list[CompletedObject]]:
    """Read a scene and give it a new map id, because ids from before are void.

    Raises:
        InstasceneError: the place is not allowed, empty, or what is there cannot be read.
    """
    stored = load_scene(path_of(url, root))
    saved = replace(stored.saved, map_id=str(uuid.uuid4()))
    instances = saved.instances
    names = dict(zip(instances.ids.tolist(), instances.names, strict=True))
    return saved, [loaded_object(one, saved.map_id, names, map_frame) for one in stored.objects]


def restore(session: SceneSession, loaded: tuple[SavedMap, list[CompletedObject]]) -> LoadMap.Response:
    """On the scene thread: go on from what was loaded. Frames that wait are of the map before.

    Raises:
        InvalidSceneError: the map cannot be gone on from; nothing was changed.
    """
    saved, completed = loaded
    num_instances = session.owner.restore(saved, completed)
    session.worker.discard_frames()
    return LoadMap.Response(map_id=saved.map_id, num_instances=num_instances)


def stored_object(message: CompletedObject) -> StampedObject:
    """A message as it goes into the file; the frame and the mesh's own file stay behind."""
    return StampedObject(
        completed_of(message), ns_of_stamp(message.header.stamp), s_of_duration(message.processing_time)
    )


def loaded_object(stored: StampedObject, map_id: str, names: dict[int, str], map_frame: str) -> CompletedObject:
    """A message of an object from a file, as one of the map `map_id`."""
    completed = replace(stored.completed, map_id=map_id)
    name = names.get(completed.instance_id, "")
    header = Header(frame_id=map_frame, stamp=stamp_of_ns(stored.stamp_ns))
    message = completed_message(completed, Instance(name=name), header)
    message.processing_time = duration_of_s(stored.processing_s)
    return message
