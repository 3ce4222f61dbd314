"""Triangle meshes: from a volume, cleaned, decimated, ray-cast, written. The only module that imports open3d."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open3d as o3d
from jaxtyping import Bool, Float, Float32, Float64, Int32, Int64, UInt8

from instascene_ros.core.camera import Camera
from instascene_ros.core.geometry import transform
from instascene_ros.core.volume import VoxelGrid


@dataclass(frozen=True)
class Mesh:
    """Triangles, counter-clockwise seen from outside."""

    vertices_m: Float32[np.ndarray, "V 3"]
    faces: Int32[np.ndarray, "F 3"]

    @property
    def volume_m3(self) -> float:
        """Enclosed volume; positive when the faces look outward."""
        a, b, c = (self.vertices_m[self.faces[:, k]].astype(np.float64) for k in range(3))
        return float((a * np.cross(b, c)).sum() / 6)

    def vertex_normals(self) -> Float32[np.ndarray, "V 3"]:
        """Unit outward normals, weighted by face area."""
        a, b, c = (self.vertices_m[self.faces[:, k]] for k in range(3))
        of_face = np.cross(b - a, c - a)
        normals = np.zeros_like(self.vertices_m)
        for k in range(3):
            np.add.at(normals, self.faces[:, k], of_face)
        return (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)).astype(np.float32)

    def face_areas_m2(self) -> Float[np.ndarray, " F"]:
        a, b, c = (self.vertices_m[self.faces[:, k]] for k in range(3))
        return 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)


def is_watertight(mesh: Mesh) -> bool:
    """Every edge is shared by exactly two faces, vertices at the same place counted as one."""
    if len(mesh.faces) == 0:
        return False
    _, merged = np.unique(np.round(mesh.vertices_m.astype(np.float64), 7), axis=0, return_inverse=True)
    faces = merged.reshape(-1)[mesh.faces]
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    return len(edges) > 0 and bool((np.unique(edges, axis=0, return_counts=True)[1] == 2).all())


def mesh_of_field(grid: VoxelGrid, field: Float[np.ndarray, "X Y Z"]) -> Mesh:
    """Zero level of a field that is negative inside (marching cubes). Closed: beyond the grid everything is outside."""
    n = max(grid.shape) + 2
    cube = np.full((n, n, n), 1.0)
    x, y, z = grid.shape
    unit = np.clip(field / max(float(np.abs(field).max(initial=0)), 1e-12), -1, 1)
    unit[np.abs(unit) < 1e-4] = 1e-4  # a vertex exactly on a voxel would make triangles without area
    cube[1 : x + 1, 1 : y + 1, 1 : z + 1] = unit
    volume = o3d.pipelines.integration.UniformTSDFVolume(
        float(n), n, 1.0, o3d.pipelines.integration.TSDFVolumeColorType.NoColor
    )
    volume.inject_volume_tsdf(o3d.utility.Vector2dVector(np.stack([cube.ravel(), np.ones(cube.size)], axis=-1)))
    extracted = volume.extract_triangle_mesh()
    local = (np.asarray(extracted.vertices) - 1.5) * grid.voxel_m  # open3d puts voxel i at i + 0.5; one of padding
    return Mesh(
        transform(grid.T_world_grid, local.reshape(-1, 3)).astype(np.float32),
        np.asarray(extracted.triangles, np.int32).reshape(-1, 3),
    )


def _to_open3d(mesh: Mesh) -> o3d.geometry.TriangleMesh:
    return o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(mesh.vertices_m.astype(np.float64)), o3d.utility.Vector3iVector(mesh.faces)
    )


def _from_open3d(mesh: o3d.geometry.TriangleMesh) -> Mesh:
    return Mesh(
        np.asarray(mesh.vertices, np.float32).reshape(-1, 3), np.asarray(mesh.triangles, np.int32).reshape(-1, 3)
    )


def read_mesh(path: Path) -> Mesh:
    """A triangle mesh from any file that open3d reads.

    Raises:
        ValueError: there is no such mesh.
    """
    mesh = _from_open3d(o3d.io.read_triangle_mesh(str(path)))
    if len(mesh.faces) == 0:
        raise ValueError(f"{path} holds no triangle mesh")
    return mesh


def smoothed(mesh: Mesh, iterations: int) -> Mesh:
    """Taubin smoothing: takes voxel stairs away without shrinking."""
    return _from_open3d(_to_open3d(mesh).filter_smooth_taubin(iterations)) if iterations else mesh


def decimated(mesh: Mesh, max_faces: int) -> Mesh:
    """At most `max_faces` faces where that keeps the mesh watertight; otherwise the smallest watertight one found."""
    target = max_faces
    while target < len(mesh.faces):
        simpler = _from_open3d(_to_open3d(mesh).simplify_quadric_decimation(target))
        if is_watertight(simpler):
            return simpler
        target = target * 5 // 4
    return mesh


class RayCaster:
    """Looks at one mesh from any camera."""

    def __init__(self, mesh: Mesh) -> None:
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        self._faces = mesh.faces
        self._scene.add_triangles(
            o3d.core.Tensor(np.ascontiguousarray(mesh.vertices_m)), o3d.core.Tensor(mesh.faces.astype(np.uint32))
        )

    def look(
        self, camera: Camera, T_world_camera: Float64[np.ndarray, "4 4"]
    ) -> tuple[Float32[np.ndarray, "H W"], Int64[np.ndarray, "H W"]]:
        """Depth along z (m, 0 = nothing) and the vertex nearest to each hit (-1 = nothing)."""
        directions = camera.rays() @ T_world_camera[:3, :3].T
        origins = np.broadcast_to(T_world_camera[:3, 3], directions.shape)
        rays = np.concatenate([origins, directions], axis=-1).astype(np.float32)
        hit = self._scene.cast_rays(o3d.core.Tensor(rays), nthreads=1)
        depth_m = hit["t_hit"].numpy()  # rays have z = 1, so the ray parameter is the depth
        seen = np.isfinite(depth_m)
        u, v = np.moveaxis(hit["primitive_uvs"].numpy(), -1, 0)
        corner = np.argmax(np.stack([1 - u - v, u, v]), axis=0)
        face = np.where(seen, hit["primitive_ids"].numpy().astype(np.int64), 0)
        vertex = np.where(seen, self._faces[face, corner], -1).astype(np.int64)
        return np.where(seen, depth_m, 0).astype(np.float32), vertex

    def distance_m(self, points_m: Float32[np.ndarray, "P 3"]) -> Float32[np.ndarray, " P"]:
        """Distance of each point to the surface."""
        return self._scene.compute_distance(o3d.core.Tensor(np.ascontiguousarray(points_m)), nthreads=1).numpy()

    def inside(self, points_m: Float32[np.ndarray, "P 3"]) -> Bool[np.ndarray, " P"]:
        """Whether each point lies in the enclosed volume."""
        return self._scene.compute_occupancy(o3d.core.Tensor(np.ascontiguousarray(points_m)), nthreads=1).numpy() > 0.5


def write_ply(path: Path, mesh: Mesh, colors: UInt8[np.ndarray, "V 3"], observed: Bool[np.ndarray, " V"]) -> None:
    """Binary little-endian PLY with vertex colours and a uchar vertex property `observed` (0 = invented)."""
    vertices = np.empty(len(mesh.vertices_m), [("xyz", "<f4", 3), ("rgb", "u1", 3), ("observed", "u1")])
    vertices["xyz"], vertices["rgb"], vertices["observed"] = mesh.vertices_m, colors, observed
    faces = np.empty(len(mesh.faces), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, mesh.faces
    header = [
        "ply", "format binary_little_endian 1.0", "comment world frame, metres; observed 0 = invented by the prior",
        f"element vertex {len(vertices)}", *(f"property float {axis}" for axis in "xyz"),
        *(f"property uchar {channel}" for channel in ("red", "green", "blue", "observed")),
        f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", "",
    ]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join(header).encode() + vertices.tobytes() + faces.tobytes())
