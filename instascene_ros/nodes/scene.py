"""Node `scene`: posed RGB-D images in, object instances out. Wiring only; the scene lives on a thread of its own."""

from instascene_ros.adapters.clicks import Clicks
from instascene_ros.adapters.live_parameters import LiveParameters
from instascene_ros.adapters.managed_node import ManagedNode, started
from instascene_ros.adapters.node_config import SceneNodeConfig
from instascene_ros.adapters.qos import latched_qos
from instascene_ros.adapters.scene_reports import SceneReports
from instascene_ros.adapters.scene_services import SceneServices
from instascene_ros.adapters.scene_session import SceneSession
from instascene_ros.adapters.scene_storage import load, restore
from instascene_ros.adapters.scenes import MakeScene, make_scene_mapper
from instascene_ros.adapters.spinning import leave, run
from instascene_ros.core.config import Config
from instascene_ros.core.topics import COMPLETED
from instascene_ros.msg import CompletedObject


class SceneNode(ManagedNode):
    """A managed node. configure: load, empty map; activate: take images; deactivate: keep the map; cleanup: free it."""

    def __init__(self, make_scene: MakeScene = make_scene_mapper) -> None:
        super().__init__("scene")
        self._make_scene = make_scene
        self._session: SceneSession | None = None
        self._reports: SceneReports | None = None
        self._settings = LiveParameters(
            self, {SceneNodeConfig: "", Config: ""}, lambda: self._session is None, self._reconfigure
        )
        self._offers = SceneServices(self, lambda: self._session)
        self._clicks = Clicks(self, lambda: self._session)
        self.create_subscription(CompletedObject, "completed_objects", self._on_completed, latched_qos(COMPLETED.depth))

    def configure(self) -> None:
        """Load what is needed and begin an empty map.

        Raises:
            InstasceneError: device, rasteriser, segmenter or pose source is missing, or the map to begin with.
        """
        config = self._settings[SceneNodeConfig]
        self._session = SceneSession(self, self._make_scene, self._settings[Config], config, self._on_crash)
        if config.load_map:
            loaded, session = load(config.load_map, config.map_root, config.map_frame), self._session
            session.worker.call(lambda: restore(session, loaded)).result()
        self._reports = SceneReports(self, self._session)
        map_id = self._session.owner.counters.map_id
        self.get_logger().info(f"mapping in frame {config.map_frame!r}, map {map_id}")

    def activate(self) -> None:
        """Take images."""
        self._session.open()

    def deactivate(self) -> None:
        """Take no images; the map stays, and services answer about it."""
        self._session.shut()

    def cleanup(self) -> None:
        """Free the map and everything with it."""
        reports, self._reports = self._reports, None
        session, self._session = self._session, None
        if reports is not None:
            reports.close()
        if session is not None:
            session.close()

    def close(self) -> None:
        """Finish the frame and the file at hand; the process ends next."""
        super().close()
        self._offers.close()

    def _reconfigure(self) -> None:
        if self._session is not None:
            self._session.configure(self._settings[SceneNodeConfig])

    def _on_completed(self, message: CompletedObject) -> None:
        session = self._session
        if session is not None:
            session.worker.post(lambda: session.owner.remember(message))

    def _on_crash(self, error: BaseException) -> None:
        self.crash = error  # the spin loop sees it, ends the process and raises it


def main(make_scene: MakeScene = make_scene_mapper) -> None:
    """Run the node until Ctrl-C."""
    leave(run(lambda: started(SceneNode(make_scene)), num_threads=1))


if __name__ == "__main__":
    main()
