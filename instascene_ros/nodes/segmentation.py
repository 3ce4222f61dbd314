"""Node `segmentation`: images in, entity masks out. Wiring only; the segmenter works on a thread of its own."""

from collections.abc import Callable

from instascene_ros.adapters.live_parameters import LiveParameters
from instascene_ros.adapters.managed_node import ManagedNode, started
from instascene_ros.adapters.mask_reports import MaskReports
from instascene_ros.adapters.mask_session import MaskSession, warm_up
from instascene_ros.adapters.segmentation_config import SegmentationNodeConfig
from instascene_ros.adapters.spinning import leave, run
from instascene_ros.core.config import Config, NetworkConfig, SegmentationConfig
from instascene_ros.core.protocols import Segmenter
from instascene_ros.models import make_segmenter, needs_depth


class SegmentationNode(ManagedNode):
    """A managed node. configure: load the model and warm it up; activate: take images; cleanup: free the model."""

    def __init__(self, make_segmenter: Callable[[str, Config], Segmenter] = make_segmenter) -> None:
        super().__init__("segmentation")
        self._make_segmenter = make_segmenter
        self._session: MaskSession | None = None
        self._reports: MaskReports | None = None
        groups = {SegmentationNodeConfig: "", SegmentationConfig: "segmentation.", NetworkConfig: "networks."}
        self._settings = LiveParameters(self, groups, lambda: self._session is None, self._reconfigure)

    def configure(self) -> None:
        """Load the segmenter and segment one made-up image.

        Raises:
            BackendUnavailableError: its library, weights or device are missing.
        """
        config = self._settings[SegmentationNodeConfig]
        core = Config(segmentation=self._settings[SegmentationConfig], networks=self._settings[NetworkConfig])
        segmenter = self._make_segmenter(config.segmenter, core)
        warm_up(segmenter)
        self._session = MaskSession(self, config, segmenter, needs_depth(config.segmenter), self._on_crash)
        self._reports = MaskReports(self, self._session)
        self.get_logger().info(f"segments the images of {', '.join(config.cameras)} with {config.segmenter!r}")

    def activate(self) -> None:
        """Take images."""
        self._session.open()

    def deactivate(self) -> None:
        """Take no images; the model stays."""
        self._session.shut()

    def cleanup(self) -> None:
        """Free the model."""
        reports, self._reports = self._reports, None
        session, self._session = self._session, None
        if reports is not None:
            reports.close()
        if session is not None:
            session.close()

    def _reconfigure(self) -> None:
        if self._session is not None:
            self._session.configure(self._settings[SegmentationNodeConfig])

    def _on_crash(self, error: BaseException) -> None:
        self.crash = error  # the spin loop sees it, ends the process and raises it


def main(make_segmenter: Callable[[str, Config], Segmenter] = make_segmenter) -> None:
    """Run the node until Ctrl-C."""
    leave(run(lambda: started(SegmentationNode(make_segmenter)), num_threads=1))


if __name__ == "__main__":
    main()
