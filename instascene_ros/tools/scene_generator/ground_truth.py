"""The truth about a finished scene: which surface points the training frames saw, and reference points for scoring."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Integer

from instascene_ros.core.camera import Camera
from instascene_ros.core.geometry import inverse, project, transform
from instascene_ros.tools.scene_generator.meshes import Mesh
from instascene_ros.tools.scene_generator.raycast import RayCaster
from instascene_ros.tools.scene_generator.surfaces import TABLE_M

OCCLUSION_M = 0.0015  # a point is seen when the ray towards it gets this close
CONTACT_M = 0.0015
MIN_PIXELS = 80  # at 640 px width


@dataclass(frozen=True)
class Cameras:
    """The training views."""

    camera: Camera
    Ts_world_camera: Float64[np.ndarray, "F 4 4"]


@dataclass(frozen=True)
class SurfacePoints:
    """Samples of all objects' surfaces."""

    points_m: Float64[np.ndarray, "P 3"]
    normals: Float64[np.ndarray, "P 3"]
    instance: Integer[np.ndarray, " P"]
    num_seen: Integer[np.ndarray, " P"]  # training frames


def surface_points(
    objects: Sequence[Mesh], counts: Sequence[int], cameras: Cameras, caster: RayCaster, rng: np.random.Generator
) -> SurfacePoints:
    """`counts[k]` area-uniform samples of object k + 1."""
    points, normals, instance = [], [], []
    for index, (mesh, count) in enumerate(zip(objects, counts, strict=True)):
        samples, face = mesh.sample(count, rng)
        points.append(samples)
        normals.append(mesh.face_normals[face])
        instance.append(np.full(count, index + 1))
    p, n = np.concatenate(points), np.concatenate(normals)
    return SurfacePoints(p, n, np.concatenate(instance), num_seen(p, n, cameras, caster))


def num_seen(
    points_m: Float64[np.ndarray, "P 3"], normals: Float64[np.ndarray, "P 3"], cameras: Cameras, caster: RayCaster
) -> Integer[np.ndarray, " P"]:
    """In how many views each point is inside the image, faces the camera and is not hidden."""
    count = np.zeros(len(points_m), np.int64)
    for T_world_camera in cameras.Ts_world_camera:
        rays = points_m - T_world_camera[:3, 3]
        pixels, z = project(transform(inverse(T_world_camera), points_m), cameras.camera)
        size = [cameras.camera.width, cameras.camera.height]
        inside = (
            (z > 0) & (np.nan_to_num(pixels, nan=-9) >= -0.5).all(axis=1) & (pixels < np.array(size) - 0.5).all(axis=1)
        )
        ahead = np.nonzero(inside & ((rays * normals).sum(axis=1) < 0))[0]
        hits = caster.cast(T_world_camera[:3, 3], rays[ahead])
        slack = OCCLUSION_M / np.linalg.norm(rays[ahead], axis=1)
        count[ahead[hits.distance >= 1 - slack]] += 1
    return count


def reference(
    objects: Sequence[Mesh], count: int, cameras: Cameras, caster: RayCaster, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """`count` observed points of objects, as many of the table top (instance 0), weighted to equal density."""
    areas = np.array([m.face_areas_m2.sum() for m in objects])
    drawn = np.ceil(3 * count * areas / areas.sum()).astype(int)
    samples = surface_points(objects, drawn.tolist(), cameras, caster, rng)
    chosen = np.nonzero(samples.num_seen > 0)[0]
    density = min(count, len(chosen)) / (len(chosen) * areas.sum() / drawn.sum())
    chosen = np.sort(rng.permutation(chosen)[:count])
    plane = np.array([TABLE_M[0] / 2, TABLE_M[1] / 2, 0.0]) * rng.uniform(-1, 1, (count, 3))
    up = np.tile([0.0, 0.0, 1.0], (count, 1))
    plane = plane[num_seen(plane, up, cameras, caster) > 0]
    weight = density * TABLE_M[0] * TABLE_M[1] / count
    return {
        "points": np.concatenate([samples.points_m[chosen], plane]).astype(np.float32),
        "instance": np.concatenate([samples.instance[chosen], np.zeros(len(plane))]).astype(np.uint16),
        "weight": np.concatenate([np.ones(len(chosen)), np.full(len(plane), weight)]).astype(np.float32),
    }


def describe(
    objects: Sequence[Mesh],
    names: Sequence[str],
    samples: SurfacePoints,
    pixels: Integer[np.ndarray, "F K"],
    width: int,
) -> list[dict[str, object]]:
    """A row per object for `objects.json`; `pixels` counts each object's pixels in each training frame."""
    casters = [RayCaster([mesh]) for mesh in objects]
    rows: list[dict[str, object]] = []
    for index, mesh in enumerate(objects):
        mine = samples.instance == index + 1
        points = samples.points_m[mine]
        near = [c.distance_m(points).min() < CONTACT_M for k, c in enumerate(casters) if k != index]
        rows.append(
            {
                "id": index + 1,
                "model": names[index],
                "copies": list(names).count(names[index]),
                "observed_fraction": round(float((samples.num_seen[mine] > 0).mean()), 4),
                "visible_frames": int((pixels[:, index] >= MIN_PIXELS * (width / 640) ** 2).sum()),
                "max_pixels": int(pixels[:, index].max()),
                "area_cm2": round(float(mesh.face_areas_m2.sum()) * 1e4, 2),
                "volume_cm3": round(mesh.volume_m3 * 1e6, 2),
                "watertight": mesh.is_watertight(),
                "faces": len(mesh.faces),
                "on_table": bool(mesh.vertices_m[:, 2].min() < CONTACT_M),
                "touching": int(np.sum(near)),
            }
        )
    return rows
