"""Ray casting against triangle meshes; the only part of the generator that imports open3d."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32

from instascene_ros.tools.scene_generator.meshes import Mesh

MISS = -1


@dataclass(frozen=True)
class Hits:
    """First surface on each ray."""

    distance: Float32[np.ndarray, " P"]  # in lengths of the ray's direction; inf = nothing hit
    mesh: Int32[np.ndarray, " P"]  # index of the mesh; MISS = none
    face: Int32[np.ndarray, " P"]
    corner_weights: Float32[np.ndarray, "P 3"]  # barycentric, of the face's corners


class RayCaster:
    """Answers rays against a fixed set of meshes."""

    def __init__(self, meshes: Sequence[Mesh]) -> None:
        import open3d as o3d  # heavy: only when constructed

        self._tensor = o3d.core.Tensor
        self._scene = o3d.t.geometry.RaycastingScene()
        for mesh in meshes:
            vertices = np.ascontiguousarray(mesh.vertices_m, np.float32)
            self._scene.add_triangles(self._tensor(vertices), self._tensor(np.ascontiguousarray(mesh.faces, np.uint32)))

    def cast(self, origins_m: Float[np.ndarray, "*origin 3"], directions: Float[np.ndarray, "P 3"]) -> Hits:
        answer = self._scene.cast_rays(self._rays(origins_m, directions))
        distance = answer["t_hit"].numpy()
        hit = np.isfinite(distance)
        uv = answer["primitive_uvs"].numpy()
        return Hits(
            distance,
            np.where(hit, answer["geometry_ids"].numpy().astype(np.int64), MISS).astype(np.int32),
            np.where(hit, answer["primitive_ids"].numpy().astype(np.int64), 0).astype(np.int32),
            np.concatenate([1 - uv.sum(axis=1, keepdims=True), uv], axis=1).astype(np.float32),
        )

    def occluded(
        self, origins_m: Float[np.ndarray, "*origin 3"], directions: Float[np.ndarray, "P 3"], far: float = np.inf
    ) -> Bool[np.ndarray, " P"]:
        """Whether anything lies on the ray before `far` lengths of its direction."""
        return self._scene.test_occlusions(self._rays(origins_m, directions), tfar=float(far)).numpy()

    def distance_m(self, points_m: Float[np.ndarray, "P 3"]) -> Float32[np.ndarray, " P"]:
        """Distance of points to the nearest surface."""
        return self._scene.compute_distance(self._tensor(np.ascontiguousarray(points_m, np.float32))).numpy()

    def inside(self, points_m: Float[np.ndarray, "P 3"]) -> Bool[np.ndarray, " P"]:
        """Whether points are enclosed; the surfaces must be closed."""
        tensor = self._tensor(np.ascontiguousarray(points_m, np.float32))
        return self._scene.compute_occupancy(tensor, nsamples=3).numpy() > 0.5

    def _rays(self, origins_m: Float[np.ndarray, "*origin 3"], directions: Float[np.ndarray, "P 3"]) -> object:
        origins = np.broadcast_to(origins_m, directions.shape)
        return self._tensor(np.concatenate([origins, directions], axis=1).astype(np.float32))
