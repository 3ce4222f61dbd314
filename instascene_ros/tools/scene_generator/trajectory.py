"""Camera paths around the table, camera-to-world, optical axes."""

import numpy as np
from jaxtyping import Float, Float64
from scipy.spatial.transform import Rotation


def look_at(
    eye_m: Float[np.ndarray, "3"], target_m: Float[np.ndarray, "3"], roll_rad: float = 0.0
) -> Float64[np.ndarray, "4 4"]:
    """T_world_camera of a camera at `eye_m` that looks at `target_m`, world z up in the image."""
    forward = np.asarray(target_m, float) - eye_m
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    T_world_camera = np.eye(4)
    T_world_camera[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    T_world_camera[:3, :3] @= Rotation.from_rotvec([0, 0, roll_rad]).as_matrix()
    T_world_camera[:3, 3] = eye_m
    return T_world_camera


def eye(
    azimuth_rad: float, elevation_rad: float, distance_m: float, target_m: Float64[np.ndarray, "3"]
) -> Float64[np.ndarray, "3"]:
    """Point at a distance and direction from the target."""
    direction = [np.cos(azimuth_rad), np.sin(azimuth_rad), np.tan(elevation_rad)]
    return target_m + distance_m * np.cos(elevation_rad) * np.array(direction)


def orbit(
    num_frames: int,
    start_deg: float = 0.0,
    span_deg: float = 270.0,
    elevation_deg: float = 40.0,
    distance_m: float = 0.7,
) -> Float64[np.ndarray, "F 4 4"]:
    """A steady circle around the origin of the table top, without any shake."""
    target = np.array([0.0, 0.0, 0.03])
    azimuths = np.radians(start_deg + np.linspace(0.0, span_deg, num_frames))
    return np.stack([look_at(eye(a, np.radians(elevation_deg), distance_m, target), target) for a in azimuths])


def handheld(
    num_frames: int, start_deg: float, span_deg: float, rng: np.random.Generator
) -> Float64[np.ndarray, "F 4 4"]:
    """A person walking round: elevation 20-65 deg, distance 0.55-1.0 m, wandering target, roll and jitter."""
    s = np.linspace(0.0, 1.0, num_frames)
    azimuth = np.radians(start_deg + span_deg * (s + 0.01 * _wave(s, 5, rng) * s * (1 - s) * 4))
    elevation = np.radians(42.5 + 22.5 * np.clip(_wave(s, 2, rng), -1, 1))
    distance = 0.775 + 0.225 * np.clip(_wave(s, 3, rng), -1, 1)
    target = np.stack([0.04 * _wave(s, 3, rng), 0.04 * _wave(s, 3, rng), 0.04 + 0.015 * _wave(s, 3, rng)], axis=-1)
    roll = np.radians(4.0) * _wave(s, 4, rng)
    poses = []
    for k in range(num_frames):
        position = eye(azimuth[k], elevation[k], distance[k], target[k]) + rng.normal(0, 0.002, 3)
        poses.append(look_at(position, target[k] + rng.normal(0, 0.003, 3), roll[k]))
    return np.stack(poses)


def novel_views(
    num_covered: int, num_unseen: int, start_deg: float, span_deg: float, rng: np.random.Generator
) -> Float64[np.ndarray, "V 4 4"]:
    """Views from other heights and distances: first inside the sector that `handheld` covers, then outside it."""
    covered = start_deg + span_deg * (np.arange(num_covered) + 0.5) / max(num_covered, 1)
    unseen = start_deg + span_deg + (360 - span_deg) * (np.arange(num_unseen) + 0.5) / max(num_unseen, 1)
    poses = []
    for azimuth in np.concatenate([covered, unseen]):
        target = np.append(rng.uniform(-0.03, 0.03, 2), 0.04)
        elevation = np.radians(rng.uniform(16, 76))
        poses.append(look_at(eye(np.radians(azimuth), elevation, rng.uniform(0.6, 0.95), target), target))
    return np.array(poses).reshape(-1, 4, 4)


def _wave(s: Float[np.ndarray, " F"], cycles: int, rng: np.random.Generator) -> Float64[np.ndarray, " F"]:
    """Smooth random curve of at most about 1."""
    waves = [np.sin(2 * np.pi * (k * s + rng.random())) / k for k in range(1, cycles + 1)]
    curve = np.sum([w * rng.uniform(0.5, 1.0) for w in waves], axis=0)
    return curve / max(1.0, np.abs(curve).max())
