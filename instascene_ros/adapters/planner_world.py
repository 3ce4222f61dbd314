"""What the scene and completion nodes have published, as the bodies that a planner should know."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int32
from sensor_msgs.msg import PointCloud2

from instascene_ros.adapters.adapter_configs import PlanningSceneNodeConfig
from instascene_ros.adapters.clouds import columns_of
from instascene_ros.adapters.mesh_messages import arrays_of_mesh
from instascene_ros.adapters.transforms import matrix_of_pose
from instascene_ros.core.collision_bodies import CollisionBody, box_body, hull_body, max_parts, mesh_body, parts_body
from instascene_ros.core.errors import InvalidFrameError
from instascene_ros.core.planning_changes import Names
from instascene_ros.msg import BoundingBox3D, CompletedObject, Instance, InstanceArray


@dataclass
class PlannerWorld:
    """Keeps the newest of everything. A body is made again only when its instance's revision changes."""

    config: PlanningSceneNodeConfig
    names: Names
    array: InstanceArray | None = None

    def __post_init__(self) -> None:
        """Raises BackendUnavailableError: `geometry` parts needs a library that is not installed."""
        if self.config.geometry == "parts":
            from instascene_ros.core.convex_parts import load_coacd  # open3d: only where meshes are taken apart

            load_coacd()
        self.unusable: dict[str, str] = {}
        self._completed: dict[tuple[str, int], CompletedObject] = {}
        self._points: PointCloud2 | None = None
        self._clouds: dict[int, Float32[np.ndarray, "P 3"]] | None = None  # of `_points`, once asked for
        self._bodies: dict[str, tuple[tuple[int, ...], CollisionBody]] = {}

    def on_instances(self, message: InstanceArray) -> None:
        self.array = message
        self._completed = {key: one for key, one in self._completed.items() if key[0] == message.map_id}

    def on_points(self, message: PointCloud2) -> None:
        self._points, self._clouds = message, None

    def on_completed(self, message: CompletedObject) -> None:
        self._completed[message.map_id, message.instance_id] = message

    def wanted(self) -> dict[str, CollisionBody]:
        """A body for each confirmed instance, by name; `unusable` says which have none, and why."""
        found: dict[str, CollisionBody] = {}
        self.unusable = {}
        if self.array is None:
            return found
        for one in self.array.instances:
            if one.state == Instance.STATE_CONFIRMED and one.confidence >= self.config.min_confidence:
                name = self.names.of(self.array.map_id, one.id)
                try:
                    found[name] = self._cached(name, one)
                except InvalidFrameError as error:
                    self.unusable[name] = str(error)
        self._bodies = {name: self._bodies[name] for name in found}
        return found

    def _cached(self, name: str, instance: Instance) -> CollisionBody:
        completed = self._completion_of(instance)
        has_points = self.config.geometry != "box" and completed is None and self._points is not None
        version = (instance.revision, completed.instance_revision if completed else -1, int(has_points))
        if self._bodies.get(name, (None,))[0] != version:
            self._bodies[name] = version, self._body_of(instance, completed)
        return self._bodies[name][1]

    def _completion_of(self, instance: Instance) -> CompletedObject | None:
        """The completion, until the object is somewhere else: by more than half of the completion's smallest side."""
        completed = self._completed.get((self.array.map_id, instance.id)) if self.array else None
        if completed is None:
            return None
        a, b, size = completed.pose.position, instance.bbox.center.position, completed.size
        moved_m = np.linalg.norm([a.x - b.x, a.y - b.y, a.z - b.z])
        return completed if moved_m <= max(0.5 * min(size.x, size.y, size.z), 0.02) else None

    def _body_of(self, instance: Instance, completed: CompletedObject | None) -> CollisionBody:
        config = self.config
        if completed is None:
            box = _box(instance.bbox, config.padding_m)
            return box if config.geometry == "box" else self._hull(box, self._points_of(instance, box))
        box = _box(BoundingBox3D(center=completed.pose, size=completed.size), config.padding_m)
        vertices_m, faces = _checked(*arrays_of_mesh(completed.mesh))
        if config.geometry == "box" or len(faces) == 0:
            return box
        if config.geometry == "convex":
            return self._hull(box, vertices_m)
        if config.geometry == "parts":
            parts_m = _parts(vertices_m.astype(np.float32), faces, max_parts(config.max_faces))
            return parts_body(box, parts_m, config.padding_m, config.max_faces)
        return mesh_body(box, *_decimated(vertices_m.astype(np.float32), faces, config.max_faces), config.padding_m)

    def _hull(self, box: CollisionBody, points_m: Float[np.ndarray, "P 3"]) -> CollisionBody:
        return hull_body(box, points_m, self.config.padding_m, self.config.max_faces)

    def _points_of(self, instance: Instance, box: CollisionBody) -> Float32[np.ndarray, "P 3"]:
        """The points of an instance in the frame of its box."""
        if self._points is None:
            return np.zeros((0, 3), np.float32)
        if self._clouds is None:
            columns = columns_of(self._points)
            if not {"x", "y", "z", "instance_id"} <= set(columns):
                raise InvalidFrameError(f"instances/points has the fields {list(columns)}; expected x y z instance_id")
            points_m, ids = np.stack([columns[axis] for axis in "xyz"], axis=-1), columns["instance_id"]
            order = np.argsort(ids, kind="stable")
            starts = np.unique(ids[order], return_index=True)[1][1:]
            parts = np.split(order, starts)
            self._clouds = {int(ids[rows[0]]): points_m[rows] for rows in parts if len(rows)}
        points_m = self._clouds.get(instance.id, np.zeros((0, 3), np.float32))
        points_m = points_m[np.isfinite(points_m).all(axis=-1)]
        T = box.T_world_body
        return ((points_m - T[:3, 3]) @ T[:3, :3]).astype(np.float32)


def _checked(
    vertices_m: Float64[np.ndarray, "V 3"], faces: Int32[np.ndarray, "F 3"]
) -> tuple[Float64[np.ndarray, "V 3"], Int32[np.ndarray, "F 3"]]:
    if not np.isfinite(vertices_m).all() or (len(faces) and not 0 <= faces.min() <= faces.max() < len(vertices_m)):
        raise InvalidFrameError(f"mesh of {len(vertices_m)} vertices is not finite, or its faces name others")
    return vertices_m, faces


def _box(bbox: BoundingBox3D, padding_m: float) -> CollisionBody:
    return box_body(matrix_of_pose(bbox.center), np.array([bbox.size.x, bbox.size.y, bbox.size.z]), padding_m)


def _decimated(
    vertices_m: Float32[np.ndarray, "V 3"], faces: Int32[np.ndarray, "F 3"], max_faces: int
) -> tuple[Float32[np.ndarray, "U 3"], Int32[np.ndarray, "G 3"]]:
    if len(faces) <= max_faces:
        return vertices_m, faces
    from instascene_ros.core.meshing import Mesh, decimated  # open3d: only where a mesh is too large

    mesh = decimated(Mesh(vertices_m, faces), max_faces)
    return mesh.vertices_m, mesh.faces


def _parts(
    vertices_m: Float32[np.ndarray, "V 3"], faces: Int32[np.ndarray, "F 3"], most: int
) -> list[Float32[np.ndarray, "_ 3"]]:
    """The corners of each convex part."""
    from instascene_ros.core.convex_parts import convex_parts
    from instascene_ros.core.meshing import Mesh

    return [part.vertices_m for part in convex_parts(Mesh(vertices_m, faces), most)]
