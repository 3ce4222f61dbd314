"""What the completion node publishes: each new object once, and all objects of the map for RViz."""

from threading import Lock

from rclpy.node import Node
from std_msgs.msg import Header

from instascene_ros.adapters.completed_objects import completed_of
from instascene_ros.adapters.completed_views import completed_markers, completed_points
from instascene_ros.adapters.completer import Completion
from instascene_ros.adapters.publishing import publisher
from instascene_ros.core import topics
from instascene_ros.core.objects import CompletedObject
from instascene_ros.msg import CompletedObject as CompletedObjectMessage
from instascene_ros.msg import InstanceArray


class CompletionOutputs:
    """Follows the map: a reset clears the views, and a removed instance takes its completion out of them.

    The views show every object of the map, whoever published it: this node, another one, or the scene node after a
    load.
    """

    def __init__(self, node: Node, max_marker_faces: int) -> None:
        self._objects = publisher(node, topics.COMPLETED)
        self._points = publisher(node, topics.COMPLETED_POINTS)
        self._markers = publisher(node, topics.COMPLETED_MARKERS)
        self._node, self._closed = node, False
        self.max_marker_faces = max_marker_faces
        self._lock = Lock()
        self._known: dict[tuple[str, int], CompletedObject] = {}  # by map and instance, newest last
        self._map_id = ""
        self._revisions: dict[int, int] = {}  # of the instances of that map

    def close(self) -> None:
        """Take back everything that was published; a job that ends later publishes nothing."""
        with self._lock:
            self._closed = True
            for one in (self._objects, self._points, self._markers):
                self._node.destroy_publisher(one)

    def current_map_id(self) -> str:
        """The newest map id that the scene node has announced, '' before any."""
        return self._map_id

    def heard_of(self, instance_id: int) -> tuple[str, int] | None:
        """Map id and revision of an instance in the newest list; None: it is not in it."""
        with self._lock:
            revision = self._revisions.get(instance_id)
            return None if revision is None else (self._map_id, revision)

    def add(self, completion: Completion) -> None:
        """A newly completed object of this node."""
        with self._lock:
            if not self._closed:
                self._objects.publish(completion.message)
                self._take(completion.completed, completion.message.header)

    def hear(self, message: CompletedObjectMessage) -> None:
        """An object that was published; those of this node come back to it.

        Raises:
            InvalidFrameError: a message that does not follow the interface.
        """
        known = self._known.get((message.map_id, message.instance_id))
        if known is not None and _same(known, message):
            return
        completed = completed_of(message)
        with self._lock:
            if not self._closed:
                self._take(completed, message.header)

    def follow(self, array: InstanceArray) -> None:
        """The scene node has published its list of instances."""
        with self._lock:
            if self._closed:
                return
            before, ids = self._shown(), {instance.id for instance in array.instances}
            past, self._map_id = self._map_id, array.map_id
            self._revisions = {instance.id: instance.revision for instance in array.instances}
            gone = [key for key in self._known if key[0] == past != array.map_id]
            gone += [key for key in self._known if key[0] == array.map_id and key[1] not in ids]
            for key in gone:
                del self._known[key]
            if self._shown() != before:
                self._show(array.header)

    def _take(self, completed: CompletedObject, header: Header) -> None:
        key = (completed.map_id, completed.instance_id)
        self._known.pop(key, None)
        self._known[key] = completed
        foreign = [other for other in self._known if other[0] != self._map_id]
        for other in foreign[: -topics.LATCHED_OBJECTS]:  # of maps that may be announced yet
            del self._known[other]
        self._show(header)

    def _shown(self) -> list[tuple[str, int]]:
        """Objects of the map that was announced; all before any was."""
        return [key for key in self._known if self._map_id in ("", key[0])]

    def _show(self, header: Header) -> None:
        objects = [self._known[key] for key in self._shown()]
        self._points.publish(completed_points(objects, header))
        self._markers.publish(completed_markers(objects, header, self.max_marker_faces))


def _same(known: CompletedObject, message: CompletedObjectMessage) -> bool:
    made = (message.instance_revision, message.method, message.seed, len(message.mesh.triangles))
    return made == (known.instance_revision, known.method, known.seed, len(known.faces))
