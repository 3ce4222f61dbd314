"""What exists while the scene node is configured: the scene, its thread, what it publishes, where images come in."""

from collections.abc import Callable

from rclpy.node import Node

from instascene_ros.adapters.counters import release_memory
from instascene_ros.adapters.frames import FrameMessages
from instascene_ros.adapters.logs import ThrottledLog
from instascene_ros.adapters.node_config import SceneNodeConfig
from instascene_ros.adapters.scene_inputs import SceneInputs
from instascene_ros.adapters.scene_outputs import SceneOutputs
from instascene_ros.adapters.scene_owner import SceneOwner
from instascene_ros.adapters.scenes import MakeScene
from instascene_ros.adapters.worker import SceneWorker
from instascene_ros.core.config import Config


class SceneSession:
    """From configure to cleanup. Images are taken while `open`, and mapped unless `paused`.

    Raises:
        InstasceneError: device, rasteriser, segmenter or pose source is missing.
    """

    def __init__(
        self, node: Node, make_scene: MakeScene, core: Config, config: SceneNodeConfig,
        on_crash: Callable[[BaseException], None],
    ) -> None:  # fmt: skip
        self.config, self.paused, self.is_open = config, False, False
        self._warn = ThrottledLog(node.get_logger().warning)
        self.inputs = SceneInputs(node, config, self._deliver, self._on_jump, self._on_restart, self._warn)
        scene = make_scene(core, config)
        self.outputs = SceneOutputs(node, config.publish, config.map_frame)
        self.owner = SceneOwner(
            scene, self.outputs, config.depth_scale, self._warn, lambda: node.get_clock().now().nanoseconds,
            lambda: self.worker.waited_for,
        )  # fmt: skip
        self.worker: SceneWorker[FrameMessages] = SceneWorker(self.owner.process, on_crash)
        self.worker.start()

    def open(self) -> None:
        """Take images from now on."""
        self.inputs.open()
        self.is_open = True

    def shut(self) -> None:
        """Take no more images; the map stays, and may be asked about."""
        self.is_open = False
        self.inputs.close()
        self.worker.discard_frames()

    def close(self) -> None:
        """Finish the frame at hand, end the scene thread, free the map."""
        self.worker.stop()
        self.outputs.close()
        self.owner.release()
        release_memory()

    def configure(self, config: SceneNodeConfig) -> None:
        """Take over what may change while running."""
        self.config = config
        self.inputs.configure(config)
        self.worker.post(lambda: self.outputs.configure(config.publish))

    def _deliver(self, messages: FrameMessages) -> None:
        if not self.paused:
            self.worker.offer(messages.camera, messages)

    def _on_jump(self, camera: str, distance_m: float) -> None:
        action = self.config.on_pose_jump
        self._warn(
            f"{camera} jump", f"{camera}: pose jumped {distance_m:.2f} m between frames (on_pose_jump: {action})"
        )
        if action == "reset":
            self.reset()
        self.paused |= action == "pause"

    def _on_restart(self, camera: str) -> None:
        """Frames from before would hold the stamps of the outputs in what is the future now."""
        self.worker.discard_frames()
        self.worker.post(self.owner.restart_time)
        if self.config.on_time_jump == "reset":
            self.worker.post(self.owner.reset)

    def reset(self) -> None:
        """Empty map; frames that wait are of the old one."""
        self.worker.discard_frames()
        self.worker.post(self.owner.reset)
