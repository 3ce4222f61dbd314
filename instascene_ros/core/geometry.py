"""Rigid transforms, rotations and depth-image geometry. Transforms read `p_a = T_a_b @ p_b`; quaternions are wxyz."""

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from instascene_ros.core.camera import Camera


def rotation_from_quats(quats_wxyz: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices of quaternions of any non-zero length."""
    w, x, y, z = torch.nn.functional.normalize(quats_wxyz, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).reshape(*quats_wxyz.shape[:-1], 3, 3)


def quats_from_normals(normals: Float[Tensor, "N 3"]) -> Float[Tensor, "N 4"]:
    """Shortest rotation (wxyz) that takes the z axis to each unit normal."""
    x, y, z = normals.unbind(-1)
    quats = torch.stack([1 + z, -y, x, torch.zeros_like(z)], dim=-1)
    flipped = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=normals.dtype, device=normals.device)
    quats = torch.where((z < -0.9999)[:, None], flipped, quats)
    return torch.nn.functional.normalize(quats, dim=-1)


def transform(
    T_a_b: Float64[np.ndarray, "4 4"], points_b: Float[np.ndarray, "*batch 3"]
) -> Float[np.ndarray, "*batch 3"]:
    """Points of frame b, expressed in frame a."""
    return (points_b @ T_a_b[:3, :3].T + T_a_b[:3, 3]).astype(points_b.dtype)


def inverse(T_a_b: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "4 4"]:
    """T_b_a of a rigid transform."""
    T_b_a = np.eye(4)
    T_b_a[:3, :3] = T_a_b[:3, :3].T
    T_b_a[:3, 3] = -T_a_b[:3, :3].T @ T_a_b[:3, 3]
    return T_b_a


def points_of_depth(depth_m: Float32[np.ndarray, "H W"], camera: Camera) -> Float32[np.ndarray, "H W 3"]:
    """Camera-frame point of every pixel, m; zero where there is no depth."""
    return camera.rays() * depth_m[..., None]


def project(
    points_camera: Float[np.ndarray, "P 3"], camera: Camera
) -> tuple[Float[np.ndarray, "P 2"], Float[np.ndarray, " P"]]:
    """Pixel coordinates (u, v) and depth (m) of camera-frame points. Points at z <= 0 get NaN pixels."""
    z = points_camera[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        safe = np.where(z > 0, z, np.nan)
        u = camera.fx * points_camera[:, 0] / safe + camera.cx
        v = camera.fy * points_camera[:, 1] / safe + camera.cy
    return np.stack([u, v], axis=-1), z


def normals_of_depth(
    depth_m: Float32[np.ndarray, "H W"], camera: Camera, radius_px: int = 2, max_jump: float = 0.02
) -> Float32[np.ndarray, "H W 3"]:
    """Unit surface normals in the camera frame, facing the camera; zero where they cannot be told.

    Central differences over `radius_px`; a pixel whose neighbours are missing or jump in depth by more than
    `max_jump` of its own depth has none.
    """
    points = points_of_depth(depth_m, camera)
    padded = np.pad(points, ((radius_px, radius_px), (radius_px, radius_px), (0, 0)), mode="edge")
    height, width = depth_m.shape
    r = radius_px
    left, right = padded[r : r + height, :width], padded[r : r + height, 2 * r :]
    up, down = padded[:height, r : r + width], padded[2 * r :, r : r + width]
    known = depth_m > 0
    for neighbour in (left, right, up, down):
        z = neighbour[..., 2]
        known &= (z > 0) & (np.abs(z - depth_m) < max_jump * np.maximum(depth_m, 1e-6) * r)
    normals = np.cross(down - up, right - left)
    normals *= np.where((normals * points).sum(-1, keepdims=True) > 0, -1.0, 1.0)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.where(known[..., None] & (length > 1e-12), normals / np.maximum(length, 1e-12), 0).astype(np.float32)
