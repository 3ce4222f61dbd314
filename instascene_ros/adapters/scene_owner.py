"""What the scene thread does with frames and requests: the only code that touches the scene."""

from collections.abc import Callable, Collection, Sequence

from geometry_msgs.msg import PointStamped

from instascene_ros.adapters.counters import SceneCounters
from instascene_ros.adapters.error_codes import NoMapError
from instascene_ros.adapters.frames import FrameMessages, to_frame
from instascene_ros.adapters.scene_outputs import SceneOutputs
from instascene_ros.adapters.scene_requests import instance_at
from instascene_ros.adapters.scenes import Scene
from instascene_ros.core.errors import InvalidFrameError
from instascene_ros.core.map_file import SavedMap
from instascene_ros.msg import CompletedObject


class SceneOwner:
    """Runs on the scene thread. Bad frames are counted and named; any other error is left to stop the node."""

    def __init__(
        self, scene: Scene, outputs: SceneOutputs, depth_scale: float,
        warn: Callable[[str, str], None], now_ns: Callable[[], int], hurried: Callable[[], bool],
    ) -> None:  # fmt: skip
        self.scene, self.outputs, self.counters = scene, outputs, SceneCounters(map_id=scene.map_id)
        self.completed = outputs.completed
        self._newest_ns = 0  # stamp of the newest image since time began, which may be several times
        self._depth_scale, self._warn, self._now_ns, self._hurried = depth_scale, warn, now_ns, hurried

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
        self._newest_ns = max(self._newest_ns, update.stamp_ns)  # cameras overtake each other
        self._changed(self._newest_ns)
        self.counters.num_refused = update.num_refused
        self.counters.integrated((self._now_ns() - update.stamp_ns) / 1e9, update.stage_ms)
        if self.scene.refine(self._hurried):  # clients have what they wait for
            self.outputs.owe_clouds()

    def reset(self) -> str:
        """Empty map, new map id (the answer), and everybody is told."""
        self.scene.reset()
        self.counters.map_id = self.scene.map_id
        self._changed(self.outputs.stamp_ns)
        return self.scene.map_id

    def restart_time(self) -> None:
        """The stamps of the images start over; those of the outputs follow."""
        self._newest_ns = 0

    def snapshot(self) -> tuple[SavedMap, list[CompletedObject]]:
        """The map, and the newest completion of each of its instances.

        Raises:
            NoMapError: nothing has been mapped yet.
        """
        if not len(self.scene.gaussians):
            raise NoMapError("nothing has been mapped yet: are images and poses arriving? (topic status)")
        saved = self.scene.snapshot()
        known = set(saved.instances.ids.tolist())
        return saved, [one for (_, instance_id), one in self.completed.items() if instance_id in known]

    def restore(self, saved: SavedMap, completed: Sequence[CompletedObject]) -> int:
        """Go on from a saved map, which `saved.map_id` names anew; the number of instances.

        Raises:
            InvalidSceneError: the map cannot be gone on from; nothing was changed.
        """
        self.scene.restore(saved)
        self.counters.map_id = self.scene.map_id
        self.completed.clear()
        self.completed.update({(one.map_id, one.instance_id): one for one in completed})
        self._newest_ns = 0
        self._changed(self.scene.keyframes[-1].stamp_ns if self.scene.keyframes else 0)
        self.outputs.publish_completed(completed)
        return len(self.scene.instances)

    def edit(self, change: Callable[[Scene], tuple[int, ...]], gone: Collection[int] = ()) -> tuple[int, ...]:
        """Change instances, and forget the completions of those that are `gone`; the ids affected.

        Raises:
            UnknownInstanceError, InvalidEditError: nothing was changed.
        """
        affected = change(self.scene)
        for instance_id in gone:
            self.completed.pop((self.scene.map_id, instance_id), None)
        self._changed(self.outputs.stamp_ns)
        return affected

    def select(self, point: PointStamped) -> int:
        """Highlight the instance at a point that was clicked, and return it.

        Raises:
            InstasceneError: nothing is near, or the frame is another; then nothing is highlighted any more.
        """
        self.outputs.select(0)
        selected = instance_at(self.scene, point, self.outputs.header)
        self.outputs.select(selected)
        return selected

    def _changed(self, stamp_ns: int) -> None:
        self.counters.num_gaussians, self.counters.num_instances = len(self.scene.gaussians), len(self.scene.instances)
        self.outputs.update(self.scene, stamp_ns)

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
