"""Large flat surfaces that carry or surround objects: table, worktop, floor, walls."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int32
from scipy import ndimage

from instascene_ros.core.camera import Camera
from instascene_ros.core.config import SegmentationConfig
from instascene_ros.models.surface import Surface

GRID_PX = 64  # the search looks at this many pixels along a row
HYPOTHESES = 48  # tried for each plane
PARALLEL_COS = np.cos(np.deg2rad(12.0))
SAME_FACING_COS = np.cos(np.deg2rad(35.0))  # of a pixel on a plane; edges round normals off
MAX_OBJECT_HEIGHT_M = 0.4  # a small level plane this little above a large one is an object's top
MAX_TOP_SHARE = 0.35  # of the larger plane's area
GRAVITY_COS = np.cos(np.deg2rad(15.0))


@dataclass(frozen=True)
class Plane:
    """Points p of the camera frame with `normal @ p = offset_m`; the normal faces the camera."""

    normal: Float64[np.ndarray, "3"]
    offset_m: float
    center_m: Float64[np.ndarray, "3"]  # of what is seen of it
    area_m2: float
    pixels: int

    def heights_m(self, points_m: Float[np.ndarray, "*shape 3"]) -> Float[np.ndarray, "*shape"]:
        """Signed distance towards the camera."""
        return points_m @ self.normal.astype(points_m.dtype) - points_m.dtype.type(self.offset_m)


def find_planes(surface: Surface, camera: Camera, config: SegmentationConfig) -> list[Plane]:
    """Planes of at least `min_support_px_share` of the image, largest first.

    One-point hypotheses (a pixel and its normal) on a coarse grid of pixels; the winner is refitted to its largest
    connected part, so that a lid at the height of a far table does not tilt it.
    """
    rng = np.random.default_rng(0)  # the same frame always gives the same planes
    step = max(1, camera.width // GRID_PX)
    half = step // 2
    points, normals, sigma = (a[half::step, half::step] for a in (surface.points_m, surface.normals, surface.sigma_m))
    free = np.abs(normals).sum(-1) > 0
    least = max(config.min_support_px_share * free.size, 8)
    planes: list[Plane] = []
    while len(planes) < config.max_planes and free.sum() > least:
        p, n, s = points[free], normals[free], sigma[free]
        seeds = rng.integers(0, len(p), HYPOTHESES)
        offsets = (n[seeds] * p[seeds]).sum(-1)
        on = (np.abs(p @ n[seeds].T - offsets) < 3 * s[:, None]) & (n @ n[seeds].T > PARALLEL_COS)  # [S, hypotheses]
        best = int(on.sum(0).argmax())
        if on[:, best].sum() < least:
            break
        part = free.copy()
        part[free] = on[:, best]
        part = _largest_part(part)
        normal, offset_m = _refit(points[part], n[seeds[best]].astype(np.float64))
        on_plane = free & (np.abs(points @ normal - offset_m) < 3 * sigma) & (normals @ normal > SAME_FACING_COS)
        if on_plane.sum() >= least:
            planes.append(_measured(normal, offset_m, points[on_plane], step, camera))
        free &= ~(on_plane | part)
    return sorted(planes, key=lambda plane: -plane.pixels)


def _largest_part(on: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    parts, count = ndimage.label(on, np.ones((3, 3), int))
    return parts == np.bincount(parts.ravel())[1:].argmax() + 1 if count else on


def _refit(
    points: Float32[np.ndarray, "P 3"], facing: Float64[np.ndarray, "3"]
) -> tuple[Float64[np.ndarray, "3"], float]:
    """Least-squares plane, its normal on the side of `facing`. Far points count less: they are noisier."""
    weights = 1 / np.maximum(points[:, 2].astype(np.float64), 0.1) ** 2
    center = (points * weights[:, None]).sum(0) / weights.sum()
    spread = (points - center) * np.sqrt(weights)[:, None]
    normal = np.linalg.eigh(spread.T @ spread)[1][:, 0]
    normal *= 1.0 if normal @ facing > 0 else -1.0
    return normal, float(normal @ center)


def _measured(
    normal: Float64[np.ndarray, "3"], offset_m: float, points: Float32[np.ndarray, "P 3"], step_px: int, camera: Camera
) -> Plane:
    """The plane with the area and the pixels of its points, each of which stands for a square of `step_px`."""
    z = np.maximum(points[:, 2].astype(np.float64), 1e-3)
    slant = np.maximum(np.abs((points / z[:, None]) @ normal), 0.05)  # ray with z = 1 against the normal
    area_m2 = float((z * z / (camera.fx * camera.fy) / slant).sum()) * step_px**2
    return Plane(normal, offset_m, points.mean(0).astype(np.float64), area_m2, len(points) * step_px**2)


def up_direction(planes: list[Plane], R_world_camera: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, "3"]:
    """Up in the camera frame: the world's z axis where a plane that faces it is seen, otherwise the best guess.

    Recordings need not have z up, so the axis counts only if some plane agrees; the guess is the normal of the
    plane direction with most pixels, weighed by how far it points to the top of the image.
    """
    camera_up = np.array([0.0, -1.0, 0.0])
    votes = [sum(q.pixels for q in planes if q.normal @ p.normal > PARALLEL_COS) for p in planes]
    world_up = R_world_camera[2]
    if world_up @ camera_up > -0.3:
        level = [v for p, v in zip(planes, votes, strict=True) if p.normal @ world_up > GRAVITY_COS]
        if level and (max(level) >= 0.3 * max(votes) or world_up @ camera_up > 0.5):
            return world_up
    if not planes:
        return camera_up
    # A camera that looks straight down sees the table along its own axis, hence the floor of 0.1.
    weights = [v * max(float(p.normal @ camera_up), 0.1) for p, v in zip(planes, votes, strict=True)]
    return planes[int(np.argmax(weights))].normal


def support_planes(planes: list[Plane], up: Float64[np.ndarray, "3"], config: SegmentationConfig) -> list[Plane]:
    """The planes too large to be the face of an object: level ones from a table's size, others from a wall's."""
    level = [p for p in planes if p.normal @ up > GRAVITY_COS and p.area_m2 >= config.min_table_area_m2]
    walls = [p for p in planes if p.normal @ up <= GRAVITY_COS and p.area_m2 >= config.min_wall_area_m2]
    return [p for p in level if not any(_lies_on(p, q) for q in level)] + walls


def _lies_on(top: Plane, table: Plane) -> bool:
    """Whether `top` is the upper side of something that stands on `table`, such as a book or a box."""
    rise_m = float(top.center_m @ table.normal) - table.offset_m
    return 0 < rise_m < MAX_OBJECT_HEIGHT_M and top.area_m2 < MAX_TOP_SHARE * table.area_m2


def plane_heights(
    surface: Surface, planes: list[Plane], limit: float
) -> tuple[Float32[np.ndarray, "H W"], Int32[np.ndarray, "H W"]]:
    """Height over the closest plane that a pixel could be part of, depth standard deviations; infinite without one.

    And which plane that is, from 1; 0 = none. `limit` is where a pixel clearly leaves a plane.
    """
    heights = np.full(surface.known.shape, np.inf, np.float32)
    nearest = np.zeros(surface.known.shape, np.int32)
    for number, plane in enumerate(planes, start=1):
        facing = surface.normals @ plane.normal.astype(np.float32) > SAME_FACING_COS
        above = plane.heights_m(surface.points_m) / np.maximum(surface.sigma_m, 1e-6)
        near = facing & (np.abs(above) < 3 * limit)
        if near.any():
            above = np.where(facing, above - _warp(above, near), np.inf)
            closer = np.abs(above) < np.abs(heights)
            heights, nearest = np.where(closer, above, heights), np.where(closer, np.int32(number), nearest)
    return heights, nearest


def _warp(heights: Float32[np.ndarray, "H W"], near: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """Quadratic image of what a real lens leaves of a plane: a few millimetres, slowly varying."""
    height, width = heights.shape
    v, u = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij", sparse=True)
    ones = np.ones_like(heights)
    terms = np.stack([ones, u * ones, v * ones, u * u * ones, u * v * ones, v * v * ones], axis=-1)
    step = max(1, width // GRID_PX)
    rows, target, used = terms[::step, ::step], heights[::step, ::step], near[::step, ::step]
    ridge = 1e-2 * max(int(used.sum()), 1) * np.eye(6)
    fit = np.zeros(6)
    for trim in (3.0, 1.5):  # first everything near, then what follows the first fit: objects drop out
        kept = used & (np.abs(target - rows @ fit) < trim)
        x, y = rows[kept], target[kept]
        fit = np.linalg.solve(x.T @ x + ridge, x.T @ y)
    return (terms @ fit).astype(np.float32)
