"""Cameras around an object, and the choice of the looks that tell most about it."""

import numpy as np
from jaxtyping import Float32, Float64

from instascene_ros.core.camera import Camera

PosedCamera = tuple[Camera, Float64[np.ndarray, "4 4"]]  # (camera, T_world_camera)

RING = ((30.0, 12), (-30.0, 6), (85.0, 1), (-85.0, 1))  # (elevation in degrees, cameras evenly around)
DISTANCE_RADII = 4.0  # far enough for little perspective, near enough to look into a bowl
MARGIN = 1.15  # the image shows this many radii to each side


def ring_cameras(
    center_m: Float64[np.ndarray, " 3"], radius_m: float, up: Float64[np.ndarray, " 3"], size_px: int
) -> list[PosedCamera]:
    """Square images of a sphere from all around, above and below; any part of a simple shape is in two or more.

    The 30 degree ring is the paper's (supplement, section 7); below and overhead close what it cannot see.
    """
    side_x, side_y = perpendicular(up)
    focal_px = size_px * DISTANCE_RADII / (2 * MARGIN)
    camera = Camera(focal_px, focal_px, (size_px - 1) / 2, (size_px - 1) / 2, size_px, size_px)
    cameras = []
    for elevation_deg, count in RING:
        elevation = np.radians(elevation_deg)
        for azimuth in 2 * np.pi * np.arange(count) / count:
            across = np.cos(azimuth) * side_x + np.sin(azimuth) * side_y
            outward = np.cos(elevation) * across + np.sin(elevation) * up
            cameras.append((camera, look_at(center_m + DISTANCE_RADII * radius_m * outward, center_m, up)))
    return cameras


def perpendicular(axis: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, "2 3"]:
    """Two unit vectors that make a right-handed frame with the unit vector `axis` as its z."""
    helper = np.eye(3)[int(np.abs(axis).argmin())]
    x = np.cross(helper, axis)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(axis, x)])


def look_at(
    position_m: Float64[np.ndarray, " 3"], target_m: Float64[np.ndarray, " 3"], up: Float64[np.ndarray, " 3"]
) -> Float64[np.ndarray, "4 4"]:
    """T_world_camera of an optical frame at `position_m` that looks at `target_m` and has `up` upwards in its image."""
    forward = target_m - position_m
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    T_world_camera = np.eye(4)
    T_world_camera[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    T_world_camera[:3, 3] = position_m
    return T_world_camera


def spread(directions: Float64[np.ndarray, "V 3"], visibility: Float32[np.ndarray, " V"], count: int) -> list[int]:
    """Rows of at most `count` views, best first: the one that sees most, then those that add the newest direction.

    `directions` are unit vectors from the object to the cameras, `visibility` how much of it each sees (any scale).
    """
    if len(visibility) == 0 or count <= 0:
        return []
    share = np.sqrt(visibility / max(float(visibility.max()), 1e-12))
    chosen = [int(visibility.argmax())]
    while len(chosen) < min(count, len(visibility)):
        angle = np.arccos(np.clip(directions @ directions[chosen].T, -1, 1)).min(axis=1)
        gain = (angle + 1e-3) * share
        gain[chosen] = -1
        chosen.append(int(gain.argmax()))
    return chosen
