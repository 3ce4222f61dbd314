"""What colour each vertex has, and whether any camera saw it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8
from scipy.spatial import cKDTree

from instascene_ros.core.camera import Camera
from instascene_ros.core.geometry import landing
from instascene_ros.core.meshing import Mesh
from instascene_ros.core.objects import MASK_OBJECT, GeneratedView, ObjectView

MIN_COSINE = 0.1  # a surface seen flatter than this is not seen
GREY = 128


def paint(
    mesh: Mesh, seen: Sequence[ObjectView], generated: Sequence[GeneratedView], tolerance_m: float
) -> tuple[UInt8[np.ndarray, "V 3"], Bool[np.ndarray, " V"]]:
    """(colours, observed) of every vertex.

    A vertex is observed when it lies within `tolerance_m` of the depth, on the object's mask and facing the camera, in
    two views (in one, where there are fewer than four). Its colour is that of the views that saw it; otherwise that of
    the generated views; otherwise that of the nearest vertex that has one.
    """
    normals = mesh.vertex_normals()
    total, count = np.zeros((len(mesh.vertices_m), 3)), np.zeros(len(mesh.vertices_m), int)
    weight = np.zeros(len(mesh.vertices_m))
    for view in seen:
        on_object = view.mask == MASK_OBJECT
        color, w = _look(
            mesh, normals, view.camera, view.T_world_camera, view.rgb, view.depth_m, on_object, tolerance_m
        )
        total, weight, count = total + w[:, None] * color, weight + w, count + (w > 0)
    observed = count >= (2 if len(seen) >= 4 else 1)
    made_total, made_weight = np.zeros_like(total), np.zeros_like(weight)
    for view in generated:
        color, w = _look(
            mesh, normals, view.camera, view.T_world_camera, view.rgb, view.depth_m, view.alpha > 0.5, 2 * tolerance_m
        )
        made_total, made_weight = made_total + w[:, None] * color, made_weight + w
    use_made = ~observed & (made_weight > 0)
    total[use_made], weight[use_made] = made_total[use_made], made_weight[use_made]
    return _filled(mesh, total, weight), observed


def _filled(
    mesh: Mesh, total: Float64[np.ndarray, "V 3"], weight: Float64[np.ndarray, " V"]
) -> UInt8[np.ndarray, "V 3"]:
    known = weight > 0
    colors = np.full(total.shape, float(GREY))
    colors[known] = total[known] / weight[known, None]
    if known.any() and not known.all():
        _, nearest = cKDTree(mesh.vertices_m[known]).query(mesh.vertices_m[~known])
        colors[~known] = colors[known][nearest]
    return np.clip(np.rint(colors), 0, 255).astype(np.uint8)


def _look(
    mesh: Mesh,
    normals: Float32[np.ndarray, "V 3"],
    camera: Camera,
    T_world_camera: Float64[np.ndarray, "4 4"],
    rgb: UInt8[np.ndarray, "H W 3"],
    depth_m: Float32[np.ndarray, "H W"],
    on_object: Bool[np.ndarray, "H W"],
    tolerance_m: float,
) -> tuple[UInt8[np.ndarray, "V 3"], Float64[np.ndarray, " V"]]:
    """Colour of each vertex in one image, and how well it is seen there (0 = not)."""
    _, u, v, z, inside = landing(mesh.vertices_m, camera, T_world_camera)
    toward = T_world_camera[:3, 3] - mesh.vertices_m
    cosine = (normals * toward).sum(-1) / np.maximum(np.linalg.norm(toward, axis=-1), 1e-9)
    hit = inside & on_object[v, u] & (depth_m[v, u] > 0) & (np.abs(depth_m[v, u] - z) <= tolerance_m)
    return rgb[v, u], np.where(hit & (cosine > MIN_COSINE), cosine**2, 0.0).astype(np.float64)
