"""The completion job: observe, complete, remember. Stateless but for its cache, so several workers may run."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from time import monotonic

import torch

from instascene_ros.adapters.completed_objects import completed_message
from instascene_ros.adapters.completion_request import SELECT_ID, CompletionRequest
from instascene_ros.adapters.error_codes import MapChangedError, OutOfMemoryError, UnknownTransformError
from instascene_ros.adapters.job_queue import Job
from instascene_ros.adapters.objects import observation_of
from instascene_ros.adapters.stamps import duration_of_s
from instascene_ros.core.completion import Stage, complete_object
from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.errors import CancelledError, InstasceneError
from instascene_ros.core.meshing import Mesh, write_ply
from instascene_ros.core.objects import CompletedObject, ObjectObservation
from instascene_ros.core.protocols import Prior
from instascene_ros.msg import CompletedObject as CompletedObjectMessage
from instascene_ros.srv import ObserveObject

Observe = Callable[[ObserveObject.Request, Callable[[], bool]], ObserveObject.Response]
OBSERVED = 0.1  # share of the whole job that observing takes


@dataclass(frozen=True)
class Completion:
    """One answer: the object, and its message."""

    completed: CompletedObject
    message: CompletedObjectMessage
    from_cache: bool


class Completer:
    """Completes what is asked for, on the thread of the job queue, and remembers it.

    `observe` asks the scene node; `current_map_id` is the newest map id heard of, '' before any; `heard_of` are the map
    and the revision of an instance in the newest list of the scene node, None where it is not in it.
    """

    def __init__(
        self,
        config: CompletionConfig,
        observe: Observe,
        current_map_id: Callable[[], str],
        heard_of: Callable[[int], tuple[str, int] | None],
        mesh_dir: str,
        cache_size: int,
    ) -> None:
        self._config, self._observe = config, observe
        self._current_map_id, self._heard_of = current_map_id, heard_of
        self._mesh_dir = Path(mesh_dir).expanduser().resolve() if mesh_dir else None
        self._cache_size = cache_size
        self._cache: OrderedDict[tuple, Completion] = OrderedDict()
        self._cache_lock = Lock()

    def remembered(self, request: CompletionRequest) -> Completion | None:
        """What was completed of the revision that the scene node has published last, from any thread and at once.

        None: it has to be asked for, as for an object that a point selects.

        Raises:
            UnknownTransformError: the request names another frame than the map's.
        """
        heard = self._heard_of(request.instance_id) if request.select_by == SELECT_ID and not request.force else None
        if heard is None or request.map_id not in ("", heard[0]):
            return None
        return self._recall(_key(heard[0], request.instance_id, heard[1], request), request)

    def __call__(self, request: CompletionRequest, prior: Prior, job: Job[Completion]) -> Completion:
        """The whole job.

        Raises:
            InstasceneError: named, with the words for the caller.
        """
        job.report(Stage.OBSERVE, 0.0, "asking the scene node for the object")
        response = self._observe(request.observe_request(), job.cancelled)
        _check_frame(request.target_frame, response.header.frame_id)
        observation = observation_of(response)
        job.report(Stage.OBSERVE, OBSERVED, _summary(observation))
        key = _key(observation.map_id, observation.instance_id, observation.instance_revision, request)
        if not request.force and (known := self._recall(key, request)) is not None:
            return known
        started_s = monotonic()
        completed = self._complete(observation, request, prior, job)
        message = completed_message(completed, response.instance, response.header)
        message.mesh_resource = self._write(completed)
        message.processing_time = duration_of_s(monotonic() - started_s)
        return self._remember(key, Completion(completed, message, from_cache=False))

    def _complete(
        self, observation: ObjectObservation, request: CompletionRequest, prior: Prior, job: Job[Completion]
    ) -> CompletedObject:
        heard_at_start = self._current_map_id()

        def map_changed() -> bool:
            # Not merely "differs from the observation's": the news of a new map may come after its first observation.
            return self._current_map_id() not in (heard_at_start, observation.map_id)

        def progress(stage: Stage, fraction: float, message: str) -> None:
            job.report(int(stage), OBSERVED + (1 - OBSERVED) * fraction, message)

        try:
            completed = complete_object(
                observation, prior, self._config, request.seed, request.max_faces,
                progress, lambda: job.cancelled() or map_changed(),
            )  # fmt: skip
        except CancelledError:
            if not map_changed():
                raise
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise OutOfMemoryError(f"{request.method} ran out of memory: {error}") from error
        if map_changed():
            raise MapChangedError(f"the map {observation.map_id} was reset while its object was completed: ask again")
        return completed

    def _write(self, completed: CompletedObject) -> str:
        """URI of the mesh file, '' without a folder for it."""
        if self._mesh_dir is None:
            return ""
        path = self._mesh_dir / f"{completed.map_id[:8]}_{completed.instance_id}.ply"
        try:
            write_ply(path, Mesh(completed.vertices_m, completed.faces), completed.colors, completed.observed)
        except OSError as error:
            raise InstasceneError(f"the mesh cannot be written to {path} (parameter mesh_dir): {error}") from error
        return path.as_uri()

    def _recall(self, key: tuple, request: CompletionRequest) -> Completion | None:
        with self._cache_lock:
            known = self._cache.get(key)
        if known is None:
            return None
        _check_frame(request.target_frame, known.message.header.frame_id)
        return replace(known, from_cache=True)

    def _remember(self, key: tuple, completion: Completion) -> Completion:
        with self._cache_lock:
            self._cache[key] = completion
            self._cache.move_to_end(key)
            if len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)
        return completion


def _key(map_id: str, instance_id: int, revision: int, request: CompletionRequest) -> tuple:
    """Equal for requests that have the same answer."""
    return map_id, instance_id, revision, request.method, request.seed, request.max_faces


def _summary(observation: ObjectObservation) -> str:
    return f"instance {observation.instance_id}: {len(observation.surfels)} surfels in {len(observation.views)} views"


def _check_frame(target_frame: str, map_frame: str) -> None:
    if target_frame not in ("", map_frame):
        raise UnknownTransformError(
            f"target_frame is {target_frame!r}; answers come in the map frame {map_frame!r}: leave it empty and "
            "transform the pose on your side (tf2_ros: sudo apt install ros-jazzy-tf2-ros)"
        )
