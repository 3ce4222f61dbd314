"""What the scene node publishes of its map. Used by the scene thread only, so every message is one moment's."""

from collections.abc import Sequence

from rclpy.node import Node
from std_msgs.msg import Header

from instascene_ros.adapters.debug_images import DebugImages
from instascene_ros.adapters.instance_messages import instance_array
from instascene_ros.adapters.markers import instance_markers
from instascene_ros.adapters.node_config import PublishConfig
from instascene_ros.adapters.objects import surfel_cloud
from instascene_ros.adapters.publishing import publisher
from instascene_ros.adapters.rate_gate import RateGate
from instascene_ros.adapters.scene_clouds import instances_cloud, map_cloud
from instascene_ros.adapters.scenes import Scene
from instascene_ros.adapters.stamps import stamp_of_ns
from instascene_ros.core import topics
from instascene_ros.msg import CompletedObject, InstanceArray


class SceneOutputs:
    """Latched snapshots of the scene, rate-limited; `flush` publishes what a rate held back."""

    def __init__(self, node: Node, config: PublishConfig, map_frame: str) -> None:
        self._node, self._config, self._map_frame = node, config, map_frame
        self.completed: dict[tuple[str, int], CompletedObject] = {}  # by map id and instance id; others write it
        self._instances = publisher(node, topics.INSTANCES)
        self._points = publisher(node, topics.INSTANCE_POINTS)
        self._markers = publisher(node, topics.INSTANCE_MARKERS)
        self._map_points = publisher(node, topics.MAP_POINTS)
        self._map_gaussians = publisher(node, topics.MAP_GAUSSIANS)
        # Also of the completion node; here those of a map that was loaded.
        self._objects = publisher(node, topics.COMPLETED)
        self._publishers = (
            self._instances, self._points, self._markers, self._map_points, self._map_gaussians, self._objects,
        )  # fmt: skip
        self._debug = DebugImages(node)
        self._instances_gate = RateGate(config.instances_rate_hz)
        self._points_gate, self._map_gate = RateGate(config.points_rate_hz), RateGate(config.map_rate_hz)
        self._debug_gate = RateGate(config.debug_rate_hz)
        self._sequence, self._map_id = 0, ""
        self._published_ids: set[int] = set()
        self._marked_ids: set[int] = set()
        self._selected_id = 0
        self.stamp_ns = 0  # of the newest integrated image

    def configure(self, config: PublishConfig) -> None:
        """Take over rates and sizes."""
        self._config = config
        self._instances_gate.rate_hz, self._points_gate.rate_hz = config.instances_rate_hz, config.points_rate_hz
        self._map_gate.rate_hz, self._debug_gate.rate_hz = config.map_rate_hz, config.debug_rate_hz

    def close(self) -> None:
        """Take back everything that was published."""
        for one in self._publishers:
            self._node.destroy_publisher(one)
        self._debug.close()

    @property
    def header(self) -> Header:
        """The map frame, at the newest integrated image."""
        return Header(frame_id=self._map_frame, stamp=stamp_of_ns(self.stamp_ns))

    def update(self, scene: Scene, stamp_ns: int) -> None:
        """The scene has changed by the image of that stamp."""
        self.stamp_ns = stamp_ns
        for gate in (self._instances_gate, self._points_gate, self._map_gate, self._debug_gate):
            gate.owe()
        self.flush(scene)

    def owe_clouds(self) -> None:
        """The map has been refined: all clouds are to show the same places again, at the rates that they may."""
        self._points_gate.owe()
        self._map_gate.owe()

    def flush(self, scene: Scene) -> None:
        """Publish what is owed and due."""
        if self._instances_gate.take():
            self._publish_instances(scene)
        if self._points_gate.take():
            self._points.publish(instances_cloud(scene.gaussians, scene.labels(), self.header))
        if self._map_gate.take():
            self._map_points.publish(map_cloud(scene.gaussians, self.header, self._config.max_map_points))
            if self._map_gaussians.get_subscription_count() > 0:
                self._map_gaussians.publish(surfel_cloud(scene.gaussians, self.header))
        if self._debug_gate.take():
            self._debug.publish(scene)

    def select(self, instance_id: int) -> None:
        """Highlight an instance in the markers; 0 = none. Published with the next list."""
        self._selected_id = instance_id
        self._instances_gate.owe()

    def publish_completed(self, objects: Sequence[CompletedObject]) -> None:
        """Objects of a map that was loaded."""
        for one in objects:
            self._objects.publish(one)

    def array(self, scene: Scene) -> InstanceArray:
        """The list as it stands, numbered like the last one published."""
        completed = {
            i: done.instance_revision for (map_id, i), done in self.completed.items() if map_id == scene.map_id
        }
        array = instance_array(scene.instances, scene.map_id, self.header, completed)
        array.sequence = self._sequence
        return array

    def _publish_instances(self, scene: Scene) -> None:
        new_map = scene.map_id != self._map_id
        self._selected_id = 0 if new_map else self._selected_id
        self._sequence, self._map_id = self._sequence + 1, scene.map_id
        array = self.array(scene)
        ids = {instance.id for instance in array.instances}
        array.removed_ids = [] if new_map else sorted(self._published_ids - ids)
        markers, self._marked_ids = instance_markers(array, self._marked_ids, new_map, self._selected_id)
        self._published_ids = ids
        self._instances.publish(array)
        self._markers.publish(markers)
