"""The scene node's services: coroutines that wait for the scene thread while the executor goes on with the inputs."""

from collections.abc import Awaitable, Callable
from logging import getLogger
from typing import Any, TypeVar

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from instascene_ros.adapters.awaiting import awaitable
from instascene_ros.adapters.error_codes import Codes, NoMapError, code_of
from instascene_ros.adapters.scene_edits import edit_instances
from instascene_ros.adapters.scene_files import path_of
from instascene_ros.adapters.scene_requests import get_instances, observe_object
from instascene_ros.adapters.scene_session import SceneSession
from instascene_ros.adapters.scene_storage import SceneStorage, load, restore, save
from instascene_ros.core.errors import CancelledError, InstasceneError
from instascene_ros.srv import EditInstances, GetInstances, LoadMap, ObserveObject, SaveMap

Answer = TypeVar("Answer")
Ask = Callable[[SceneSession, Any], Any]  # on the scene thread: session and request -> response
log = getLogger(__name__)


class SceneServices:
    """Served in every state, so that nobody waits for a service: without a map the answer says so."""

    def __init__(self, node: Node, session: Callable[[], SceneSession | None]) -> None:
        self._node, self._session = node, session
        self._group, self._storage = ReentrantCallbackGroup(), SceneStorage()
        self._serve(GetInstances, "get_instances", lambda s, asked: get_instances(s.owner.scene, s.outputs, asked))
        self._serve(ObserveObject, "observe_object", lambda s, asked: observe_object(s.owner.scene, s.outputs, asked))
        self._serve(EditInstances, "edit_instances", lambda s, asked: edit_instances(s.owner, asked))
        self._respond(SaveMap, "save_map", self._save_map)
        self._respond(LoadMap, "load_map", self._load_map)
        node.create_service(Trigger, "reset", self._reset, callback_group=self._group)
        node.create_service(SetBool, "pause", self._pause, callback_group=self._group)

    def close(self) -> None:
        """Finish the file at hand."""
        self._storage.close()

    def _serve(self, kind: type, name: str, ask: Ask) -> None:
        """Answer on the scene thread."""

        async def on_scene(request: Any) -> Any:
            return await self._on_scene(lambda session: ask(session, request))

        self._respond(kind, name, on_scene)

    def _respond(self, kind: type, name: str, respond: Callable[[Any], Awaitable[Any]]) -> None:
        """Answer with what the coroutine returns, or with the code and the words of what it raises."""

        async def answer(request: Any, response: Any) -> Any:
            try:
                return await respond(request)
            except InstasceneError as error:
                response.error_code, response.error_msg = code_of(error), str(error)
            except Exception as error:  # a fault in an answer must not take the map with it
                log.exception("%s failed", name)
                response.error_code, response.error_msg = Codes.UNKNOWN, f"{type(error).__name__}: {error} (see log)"
            return response

        self._node.create_service(kind, name, answer, callback_group=self._group)

    def _configured(self) -> SceneSession:
        session = self._session()
        if session is None:
            name = self._node.get_fully_qualified_name()
            raise NoMapError(f"{name} is not configured: ros2 lifecycle set {name} configure")
        return session

    async def _on_scene(self, function: Callable[[SceneSession], Answer]) -> Answer:
        """Run on the scene thread between frames.

        Raises:
            NoMapError: the node is not configured.
            CancelledError: the node stops first.
        """
        session = self._configured()
        done = await awaitable(session.worker.call(lambda: function(session)), self._node.executor)
        if done.cancelled():
            raise CancelledError("the scene node is stopping")
        return done.result()

    async def _on_files(self, function: Callable[[], Answer]) -> Answer:
        """Run on the thread of the files; mapping goes on meanwhile."""
        done = await awaitable(self._storage.run(function), self._node.executor)
        if done.cancelled():
            raise CancelledError("the scene node is stopping")
        return done.result()

    async def _save_map(self, request: SaveMap.Request) -> SaveMap.Response:
        root = self._configured().config.map_root
        path_of(request.url, root)  # before the map is copied
        snapshot = await self._on_scene(lambda session: session.owner.snapshot())
        return await self._on_files(lambda: save(request, root, snapshot))

    async def _load_map(self, request: LoadMap.Request) -> LoadMap.Response:
        config = self._configured().config
        loaded = await self._on_files(lambda: load(request.url, config.map_root, config.map_frame))
        return await self._on_scene(lambda session: restore(session, loaded))

    async def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            self._configured().worker.discard_frames()
            map_id = await self._on_scene(lambda session: session.owner.reset())
            response.success, response.message = True, f"new map {map_id}"
        except InstasceneError as error:
            response.success, response.message = False, str(error)
        except Exception as error:  # as in every other answer
            log.exception("reset failed")
            response.success, response.message = False, f"{type(error).__name__}: {error} (see log)"
        return response

    def _pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        try:
            self._configured().paused = request.data
            response.success, response.message = True, "paused" if request.data else "mapping"
        except InstasceneError as error:
            response.success, response.message = False, str(error)
        return response
