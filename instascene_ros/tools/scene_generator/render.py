"""Pictures of a still scene: exact depth and entities, and lit colour."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32, UInt8

from instascene_ros.core.camera import Camera
from instascene_ros.tools.scene_generator.light import LAMP_M
from instascene_ros.tools.scene_generator.raycast import MISS, Hits, RayCaster
from instascene_ros.tools.scene_generator.surfaces import Surface, corner_normals

LAMP_COLOUR = np.array([1.10, 1.02, 0.90])
SKY_COLOUR = np.array([0.58, 0.61, 0.66])
GAMMA = 2.2


@dataclass(frozen=True)
class View:
    """What lies behind every pixel's centre."""

    depth_m: Float32[np.ndarray, "H W"]  # along z; 0 = nothing
    surface: Int32[np.ndarray, "H W"]  # index of the surface, -1 = nothing
    facing: Float32[np.ndarray, "H W"]  # cosine between ray and surface normal


class Renderer:
    """Renders fixed surfaces; `light` holds lamp and sky at the corners of their faces."""

    def __init__(self, surfaces: Sequence[Surface], caster: RayCaster, light: Sequence[np.ndarray]) -> None:
        self._surfaces = surfaces
        self._caster = caster
        self._light = light
        self._normals = [corner_normals(s.mesh) for s in surfaces]
        self._flat_normals = [s.mesh.face_normals for s in surfaces]

    def view(self, camera: Camera, T_world_camera: Float64[np.ndarray, "4 4"]) -> View:
        rays = camera.rays().reshape(-1, 3) @ T_world_camera[:3, :3].T
        hits = self._caster.cast(T_world_camera[:3, 3], rays)
        facing = np.zeros(len(rays), np.float32)
        for index, normals in enumerate(self._flat_normals):
            on = hits.mesh == index
            along = (normals[hits.face[on]] * rays[on]).sum(axis=1)
            facing[on] = np.abs(along) / np.linalg.norm(rays[on], axis=1)
        size = (camera.height, camera.width)
        depth_m = np.where(hits.mesh == MISS, 0, hits.distance).astype(np.float32)
        return View(depth_m.reshape(size), hits.mesh.reshape(size), facing.reshape(size))

    def colour(
        self, camera: Camera, T_world_camera: Float64[np.ndarray, "4 4"], supersample: int = 2
    ) -> Float32[np.ndarray, "H W 3"]:
        """sRGB 0..1; every pixel averages `supersample` x `supersample` rays."""
        fine = camera.scaled_to_width(camera.width * supersample)
        rays = fine.rays().reshape(-1, 3) @ T_world_camera[:3, :3].T
        hits = self._caster.cast(T_world_camera[:3, 3], rays)
        linear = np.full((len(rays), 3), 0.4)
        for index in range(len(self._surfaces)):
            on = np.nonzero(hits.mesh == index)[0]
            if len(on):
                linear[on] = self._shade(index, hits, on, rays[on])
        blocks = linear.clip(0, 1).reshape(camera.height, supersample, camera.width, supersample, 3)
        return (blocks.mean(axis=(1, 3)) ** (1 / GAMMA)).astype(np.float32)

    def _shade(
        self, index: int, hits: Hits, on: np.ndarray, rays: Float64[np.ndarray, "P 3"]
    ) -> Float64[np.ndarray, "P 3"]:
        """Linear colour of the hits `on` one surface."""
        surface, face, weights = self._surfaces[index], hits.face[on], hits.corner_weights[on][..., None]
        points = (surface.mesh.vertices_m[surface.mesh.faces[face]] * weights).sum(axis=1)
        normals = (self._normals[index][face] * weights).sum(axis=1)
        lamp, sky = (self._light[index][face] * weights).sum(axis=1).T
        T = surface.T_world_object
        albedo = surface.texture((points - T[:3, 3]) @ T[:3, :3]).astype(np.float64) ** GAMMA
        halfway = _unit(_unit(LAMP_M - points) - _unit(rays))
        shine = surface.gloss * np.clip((_unit(normals) * halfway).sum(axis=1), 0, 1) ** 40 * (lamp > 0.05) * lamp
        diffuse = albedo * (lamp[:, None] * LAMP_COLOUR + sky[:, None] * SKY_COLOUR)
        return diffuse + shine[:, None] * LAMP_COLOUR


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def to_bytes(colour: Float32[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    return (colour * 255 + 0.5).clip(0, 255).astype(np.uint8)
