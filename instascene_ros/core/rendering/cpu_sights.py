"""What posed images say about many points of space, as one loop over the points."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float, Float32, Float64, Integer, UInt8

from instascene_ros.core.camera import Camera
from instascene_ros.core.objects import MASK_OBJECT, MASK_OTHER
from instascene_ros.core.rendering.cpu_jit import compiled, on_all_cores, share_of


def note_outside(
    points_m: Float32[np.ndarray, "N 3"], camera: Camera, T_camera_world: Float64[np.ndarray, "4 4"],
    surface_m: Float32[np.ndarray, "H W 3"], normals: Float32[np.ndarray, "H W 3"],
    beside_px: Float32[np.ndarray, "H W"], farthest_m: Float32[np.ndarray, "2 N"], truncation_m: float,
) -> None:  # fmt: skip
    """How far outside what a view shows each point lies (m, at most `truncation_m`), see `solid.solid_of_views`.

    `farthest_m` are the largest and the second largest distance found so far, and are brought up to date. `surface_m`
    and `normals` are in the camera's frame, zero where there are none. `beside_px` is how far outside the silhouette
    each pixel's centre lies, negative inside.
    """
    images = [np.ascontiguousarray(image, np.float32) for image in (surface_m, normals, beside_px)]
    on_all_cores(
        _note_outside, points_m, T_camera_world, _intrinsics(camera), *images,
        farthest_m, np.float32(truncation_m),
    )  # fmt: skip


def note_sights(
    points_m: Float32[np.ndarray, "N 3"], camera: Camera, T_camera_world: Float64[np.ndarray, "4 4"],
    images: tuple[Float32[np.ndarray, "H W"], UInt8[np.ndarray, "H W"], Float32[np.ndarray, "H W"]],
    sums: tuple[Float32[np.ndarray, " N"], ...], counts: tuple[Integer[np.ndarray, " N"], ...],
    within_m: Float32[np.ndarray, " N"], limits: tuple[float, ...],
) -> None:  # fmt: skip
    """What one view says of each point, see `free_space.gather_evidence`; all columns are brought up to date.

    `images` are depth (m), mask and the cosine between ray and surface; `sums` the weighted distances, their weights,
    and the weights of the object's own surface; `counts` the views that look through a point, those that look far
    through, those that see something else there, and those in which it lies in something else less those in which it
    lies in the object. `limits` (m): what is in front by more is free, by more is clear, what is behind by less is the
    surface, by less may be inside. Into the sums goes a look through a point only where all four pixels around it look
    through: half a pixel within an edge, the nearest alone looks past it as often as not.
    """
    on_all_cores(
        _note_sights, points_m, T_camera_world, _intrinsics(camera), *map(np.ascontiguousarray, images),
        *sums, *counts, within_m, np.array(limits, np.float32),
    )  # fmt: skip


def _intrinsics(camera: Camera) -> Float[np.ndarray, " 4"]:
    return np.array([camera.fx, camera.fy, camera.cx, camera.cy])


@compiled(inline=True)
@no_type_check
def _in_camera(points, i, T):
    """Point i in the camera's frame, m."""
    x, y, z = points[i, 0], points[i, 1], points[i, 2]
    return (
        T[0, 0] * x + T[0, 1] * y + T[0, 2] * z + T[0, 3],
        T[1, 0] * x + T[1, 1] * y + T[1, 2] * z + T[1, 3],
        T[2, 0] * x + T[2, 1] * y + T[2, 2] * z + T[2, 3],
    )


@compiled(inline=True)
@no_type_check
def _bilinear(image, u, v):
    """Value between pixels; beyond the outermost pixel centres, theirs."""
    height, width = image.shape
    u, v = min(max(u, 0.0), width - 1.0), min(max(v, 0.0), height - 1.0)
    column, row = min(int(u), max(width - 2, 0)), min(int(v), max(height - 2, 0))
    right, below = min(column + 1, width - 1), min(row + 1, height - 1)
    a, b = u - column, v - row
    upper = image[row, column] * (1 - a) + image[row, right] * a
    lower = image[below, column] * (1 - a) + image[below, right] * a
    return upper * (1 - b) + lower * b


@compiled(inline=True)
@no_type_check
def _least(depth, u, v):
    """Least depth of the four pixels around a place, of those that have any."""
    height, width = depth.shape
    least = np.inf
    for row in (int(np.floor(v)), int(np.floor(v)) + 1):
        for column in (int(np.floor(u)), int(np.floor(u)) + 1):
            if 0 <= row < height and 0 <= column < width and depth[row, column] > 0:
                least = min(least, depth[row, column])
    return least


@compiled()
@no_type_check
def _note_outside(lane, num_lanes, points, T, K, surface, normals, beside, farthest, truncation):
    height, width = beside.shape
    for i in share_of(len(points), lane, num_lanes):
        x, y, z = _in_camera(points, i, T)
        if z <= 0:
            continue
        u, v = K[0] * x / z + K[2], K[1] * y / z + K[3]
        if not (-0.5 < u < width - 0.5 and -0.5 < v < height - 0.5):
            continue
        column, row = int(np.rint(u)), int(np.rint(v))
        found = _bilinear(beside, u, v) * z / K[0]
        nx, ny, nz = normals[row, column, 0], normals[row, column, 1], normals[row, column, 2]
        if nx != 0 or ny != 0 or nz != 0:
            plane = nx * (x - surface[row, column, 0])
            plane += ny * (y - surface[row, column, 1]) + nz * (z - surface[row, column, 2])
            found = max(found, plane)
        found = min(max(found, -truncation), truncation)
        if found > farthest[0, i]:
            farthest[0, i], farthest[1, i] = found, farthest[0, i]
        elif found > farthest[1, i]:
            farthest[1, i] = found


@compiled()
@no_type_check
def _note_sights(
    lane, num_lanes, points, T, K, depth, mask, cosine,
    total, weight, own, free, clear, taken, within, within_m, limits,
):  # fmt: skip
    height, width = depth.shape
    front, far, back, deepest = limits[0], limits[1], limits[2], limits[3]
    for i in share_of(len(points), lane, num_lanes):
        x, y, z = _in_camera(points, i, T)
        if z <= 0:
            continue
        u, v = K[0] * x / z + K[2], K[1] * y / z + K[3]
        if not (0 <= np.rint(u) < width and 0 <= np.rint(v) < height):
            continue
        column, row = int(np.rint(u)), int(np.rint(v))
        if not depth[row, column] > 0:
            continue
        distance, slant = np.float32(depth[row, column] - z), cosine[row, column]
        is_object = mask[row, column] == MASK_OBJECT
        free[i] += distance > front
        if distance > front and _least(depth, u, v) - z > front:
            w = np.float32(0.5)
        elif is_object and -back < distance <= front:
            w = max(slant, np.float32(0.1))
            own[i] += w
        else:
            w = np.float32(0)
        total[i] += w * min(distance, front)
        weight[i] += w
        clear[i] += distance > far
        taken[i] += mask[row, column] == MASK_OTHER and abs(distance) <= front
        behind = -distance * (slant if slant > 0 else np.float32(1))  # square to the surface
        if 0 < behind < deepest:
            within[i] += -1 if is_object else 1
            if not is_object:
                within_m[i] = min(within_m[i], behind)
