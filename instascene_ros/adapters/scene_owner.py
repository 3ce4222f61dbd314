"""What the scene thread does with frames and requests: the only code that touches the scene."""

from collections.abc import Callable

from instascene_ros.adapters.counters import SceneCounters
from instascene_ros.adapters.frames import FrameMessages, to_frame
from instascene_ros.adapters.scene_outputs import SceneOutputs
from instascene_ros.adapters.scenes import Scene
from instascene_ros.core.errors import InvalidFrameError
from instascene_ros.msg import CompletedObject


class SceneOwner:
    """Runs on the scene thread. Bad frames are counted and named; any other error is left to stop the node."""

    def __init__(
        self, scene: Scene, outputs: SceneOutputs, depth_scale: float,
        warn: Callable[[str, str], None], now_ns: Callable[[], int],
    ) -> None:  # fmt: skip
        self.scene, self.outputs, self.counters = scene, outputs, SceneCounters(map_id=scene.map_id)
        self.completed = outputs.completed
        self._depth_scale, self._warn, self._now_ns = depth_scale, warn, now_ns

    def process(self, messages: FrameMessages) -> None:
        """Take in one frame and publish what it changed."""
        try:
            frame = to_frame(messages, self._depth_scale)
            update = self.scene.process(frame)
        except InvalidFrameError as error:
            self.counters.dropped_invalid += 1
            self.counters.last_invalid = str(error)
            self._warn(f"{messages.camera} invalid", f"{messages.camera}: frame dropped: {error}")
            return
        self.counters.num_gaussians, self.counters.num_instances = update.num_gaussians, len(update.instances)
        self.outputs.update(self.scene, max(update.stamp_ns, self.outputs.stamp_ns))
        self.counters.integrated((self._now_ns() - update.stamp_ns) / 1e9, update.stage_ms)

    def reset(self) -> str:
        """Empty map, new map id (the answer), and everybody is told."""
        self.scene.reset()
        self.counters.map_id = self.scene.map_id
        self.counters.num_gaussians = self.counters.num_instances = 0
        self.outputs.update(self.scene, self.outputs.stamp_ns)
        return self.scene.map_id

    def restart_time(self) -> None:
        """The stamps of the images start over; those of the outputs follow."""
        self.outputs.stamp_ns = 0

    def remember(self, completed: CompletedObject) -> None:
        """Keep the newest completion of each instance of this map, for clients that ask."""
        self.completed[(completed.map_id, completed.instance_id)] = completed
        for key in [key for key in self.completed if key[0] != self.scene.map_id]:
            del self.completed[key]

    def release(self) -> None:
        """Free the map; nothing may be asked of the owner afterwards."""
        self.scene = None
        self.completed.clear()

    def flush(self) -> None:
        """Publish what a rate limit held back."""
        self.outputs.flush(self.scene)
