"""Cameras around an object, and the choice of the looks that tell most about it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64

from instascene_ros.core.camera import Camera
from instascene_ros.core.objects import MASK_OBJECT, MASK_OCCLUDED, ObjectView

PosedCamera = tuple[Camera, Float64[np.ndarray, "4 4"]]  # (camera, T_world_camera)


@dataclass(frozen=True)
class Rig:
    """Square images of a sphere, all from the same distance. One elevation (deg) and azimuth (deg) a camera.

    Azimuth counts anticlockwise seen from above. The distance is far enough for little perspective, near enough to
    look into a bowl.
    """

    elevations_deg: tuple[float, ...]
    azimuths_deg: tuple[float, ...]
    size_px: int
    distance_radii: float = 4.0
    margin: float = 1.15  # the image shows this many radii to each side

    @classmethod
    def rings(cls, rings: Sequence[tuple[float, int]], size_px: int) -> "Rig":
        """Of (elevation in degrees, number of cameras evenly around)."""
        azimuths = [(elevation, 360 * k / count) for elevation, count in rings for k in range(count)]
        return cls(tuple(e for e, _ in azimuths), tuple(a for _, a in azimuths), size_px)

    def __len__(self) -> int:
        return len(self.azimuths_deg)

    def cameras(
        self,
        center_m: Float64[np.ndarray, " 3"],
        radius_m: float,
        up: Float64[np.ndarray, " 3"],
        front: Float64[np.ndarray, " 3"] | None = None,
    ) -> list[PosedCamera]:
        """Around the sphere; azimuth 0 is where `front` points (level part; default: an axis of the world)."""
        across, side = _level_axes(up, front)
        focal_px = self.size_px * self.distance_radii / (2 * self.margin)
        middle_px = (self.size_px - 1) / 2
        camera = Camera(focal_px, focal_px, middle_px, middle_px, self.size_px, self.size_px)
        cameras = []
        for elevation, azimuth in np.radians(np.stack([self.elevations_deg, self.azimuths_deg], axis=1)):
            level = np.cos(azimuth) * across + np.sin(azimuth) * side
            outward = np.cos(elevation) * level + np.sin(elevation) * up
            cameras.append((camera, look_at(center_m + self.distance_radii * radius_m * outward, center_m, up)))
        return cameras


CLOSING = ((-30.0, 6), (85.0, 1), (-85.0, 1))  # below and overhead close what a ring cannot see


def _level_axes(
    up: Float64[np.ndarray, " 3"], front: Float64[np.ndarray, " 3"] | None
) -> tuple[Float64[np.ndarray, " 3"], Float64[np.ndarray, " 3"]]:
    if front is not None:
        level = front - (front @ up) * up
        length = float(np.linalg.norm(level))
        if length > 1e-6:
            return level / length, np.cross(up, level / length)
    x, y = perpendicular(up)
    return x, y


def known_pixels(
    object_m: Float32[np.ndarray, "H W"], scene_m: Float32[np.ndarray, "H W"], tolerance_m: float
) -> Bool[np.ndarray, "H W"]:
    """Pixels of the object (depth of it alone, 0 = not there) that nothing hides in the whole scene's depth.

    InstaScene's test (supplement, section 7), per pixel and in metres.
    """
    return (object_m > 0) & (scene_m > 0) & (np.abs(object_m - scene_m) < tolerance_m)


def known_share(view: ObjectView) -> float:
    """Share of the object's pixels that nothing hides, 0..1; 0 where it is not in view."""
    shown, hidden = int((view.mask == MASK_OBJECT).sum()), int((view.mask == MASK_OCCLUDED).sum())
    return shown / (shown + hidden) if shown else 0.0


def best_input(views: Sequence[ObjectView], min_share: float) -> int:
    """Row of the view that shows most of the object among those that show `min_share` of it; else the least occluded.

    Raises:
        ValueError: there are no views.
    """
    if not views:
        raise ValueError("no views to choose from; expected at least one")
    shares = [known_share(view) for view in views]
    shown = [int((view.mask == MASK_OBJECT).sum()) for view in views]
    return max(range(len(views)), key=lambda i: (min(shares[i], min_share), shown[i]))


def perpendicular(axis: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, "2 3"]:
    """Two unit vectors that make a right-handed frame with the unit vector `axis` as its z."""
    helper = np.eye(3)[int(np.abs(axis).argmin())]
    x = _cross(helper, axis)
    x /= np.linalg.norm(x)
    return np.stack([x, _cross(axis, x)])


def _cross(a: Float64[np.ndarray, " 3"], b: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, " 3"]:
    """Of two vectors, in a twentieth of the time that numpy takes for any number of them."""
    (a0, a1, a2), (b0, b1, b2) = a.tolist(), b.tolist()
    return np.array([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0])


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
