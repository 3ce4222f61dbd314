"""Light that reaches every corner of every face: a soft lamp and the sky, baked once for a still scene."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Float64

from instascene_ros.tools.scene_generator.raycast import RayCaster
from instascene_ros.tools.scene_generator.surfaces import Surface, corner_normals

LAMP_M = np.array([0.9, -0.7, 2.0])
LAMP_RADIUS_M = 0.28
LAMP_SAMPLES, SKY_SAMPLES = 48, 96
SKY_REACH_M = 0.6  # anything farther does not darken
BOUNCE = 0.35  # light that comes back from what hides the sky


def unshadowed(surface: Surface) -> Float32[np.ndarray, "F 3 2"]:
    """Lamp and sky at the corners of each face as if nothing stood in the way."""
    normals = corner_normals(surface.mesh).reshape(-1, 3)
    points = surface.mesh.vertices_m[surface.mesh.faces].reshape(-1, 3)
    to_lamp = LAMP_M - points
    to_lamp /= np.linalg.norm(to_lamp, axis=1, keepdims=True)
    lamp = np.clip((normals * to_lamp).sum(axis=1), 0, None)
    return np.stack([lamp, 0.65 + 0.35 * normals[:, 2]], axis=-1).reshape(-1, 3, 2).astype(np.float32)


def baked(surfaces: Sequence[Surface], caster: RayCaster) -> list[Float32[np.ndarray, "F 3 2"]]:
    """Lamp and sky at the corners of each face, with soft shadows and occlusion; 1 = fully lit."""
    return [_bake(surface, caster) for surface in surfaces]


def _bake(surface: Surface, caster: RayCaster) -> Float32[np.ndarray, "F 3 2"]:
    faces = surface.mesh.faces
    corners = np.concatenate(
        [faces.reshape(-1, 1), (corner_normals(surface.mesh).reshape(-1, 3) * 100).round()], axis=1
    )
    unique, back = np.unique(corners, axis=0, return_inverse=True)
    normals = unique[:, 1:] / np.maximum(np.linalg.norm(unique[:, 1:], axis=1, keepdims=True), 1e-9)
    points = surface.mesh.vertices_m[unique[:, 0].astype(int)] + 0.0015 * normals
    light = np.stack([_lamp(points, normals, caster), _sky(points, normals, caster)], axis=-1)
    return light[back.ravel()].reshape(-1, 3, 2).astype(np.float32)


def _lamp(points_m: Float64[np.ndarray, "P 3"], normals: Float64[np.ndarray, "P 3"], caster: RayCaster) -> np.ndarray:
    turn = np.arange(LAMP_SAMPLES) * np.pi * (3 - np.sqrt(5))
    radius = LAMP_RADIUS_M * np.sqrt((np.arange(LAMP_SAMPLES) + 0.5) / LAMP_SAMPLES)
    total = np.zeros(len(points_m))
    for x, y in zip(radius * np.cos(turn), radius * np.sin(turn), strict=True):
        ray = LAMP_M + [x, y, 0.0] - points_m
        cosine = (normals * ray).sum(axis=1) / np.linalg.norm(ray, axis=1)
        facing = np.nonzero(cosine > 0)[0]
        clear = ~caster.occluded(points_m[facing], ray[facing], far=1.0)
        total[facing] += cosine[facing] * clear
    return total / LAMP_SAMPLES


def _sky(points_m: Float64[np.ndarray, "P 3"], normals: Float64[np.ndarray, "P 3"], caster: RayCaster) -> np.ndarray:
    k = np.arange(SKY_SAMPLES) + 0.5
    z, turn = 1 - 2 * k / SKY_SAMPLES, k * np.pi * (3 - np.sqrt(5))
    directions = np.stack([np.sqrt(1 - z * z) * np.cos(turn), np.sqrt(1 - z * z) * np.sin(turn), z], axis=-1)
    total, weight = np.zeros(len(points_m)), np.zeros(len(points_m))
    for direction in directions:
        cosine = normals @ direction
        facing = np.nonzero(cosine > 0)[0]
        rays = np.broadcast_to(direction * SKY_REACH_M, (len(facing), 3))
        hidden = caster.occluded(points_m[facing], rays, far=1.0)
        brightness = 0.55 + 0.45 * direction[2]  # a bright ceiling over a darker room
        total[facing] += cosine[facing] * brightness * np.where(hidden, BOUNCE, 1.0)
        weight[facing] += cosine[facing]
    return total / np.maximum(weight, 1e-9)
