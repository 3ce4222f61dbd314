"""What the completion node publishes: each new object once, and all objects of the map for RViz."""

from threading import Lock

from rclpy.node import Node
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from instascene_ros.adapters.completed_views import completed_markers, completed_points
from instascene_ros.adapters.completer import Completion
from instascene_ros.adapters.qos import latched_qos
from instascene_ros.msg import CompletedObject, InstanceArray

LATCHED_OBJECTS = 32  # a late subscriber gets this many of the newest objects


class CompletionOutputs:
    """Follows the map: a reset clears the views, and a removed instance takes its completion out of them."""

    def __init__(self, node: Node, max_marker_faces: int) -> None:
        self._objects = node.create_publisher(CompletedObject, "completed_objects", latched_qos(LATCHED_OBJECTS))
        self._points = node.create_publisher(PointCloud2, "completed_objects/points", latched_qos())
        self._markers = node.create_publisher(MarkerArray, "completed_objects/markers", latched_qos())
        self._node, self._closed = node, False
        self.max_marker_faces = max_marker_faces
        self._lock = Lock()
        self._shown: dict[int, Completion] = {}
        self._map_id = ""

    def close(self) -> None:
        """Take back everything that was published; a job that ends later publishes nothing."""
        with self._lock:
            self._closed = True
            for publisher in (self._objects, self._points, self._markers):
                self._node.destroy_publisher(publisher)

    def current_map_id(self) -> str:
        """The newest map id that the scene node has announced, '' before any."""
        return self._map_id

    def add(self, completion: Completion) -> None:
        """A newly completed object."""
        with self._lock:
            if self._closed:
                return
            self._objects.publish(completion.message)
            map_id = completion.message.map_id
            self._shown = {i: one for i, one in self._shown.items() if one.message.map_id == map_id}
            self._shown[completion.completed.instance_id] = completion
            self._show(completion.message.header)

    def follow(self, array: InstanceArray) -> None:
        """The scene node has published its list of instances."""
        with self._lock:
            if self._closed:
                return
            self._map_id = array.map_id
            known = {instance.id for instance in array.instances}
            kept = {i: one for i, one in self._shown.items() if i in known and one.message.map_id == array.map_id}
            if len(kept) < len(self._shown):
                self._shown = kept
                self._show(array.header)

    def _show(self, header: Header) -> None:
        objects = [one.completed for one in self._shown.values()]
        self._points.publish(completed_points(objects, header))
        self._markers.publish(completed_markers(objects, header, self.max_marker_faces))
