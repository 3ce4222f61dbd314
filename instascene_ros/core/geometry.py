"""Rigid transforms, rotations and depth-image geometry. Transforms read `p_a = T_a_b @ p_b`; quaternions are wxyz."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor

from instascene_ros.core import depth
from instascene_ros.core.camera import Camera


@lru_cache(maxsize=8)
def _rotation_of_products(device: torch.device, dtype: torch.dtype) -> Float[Tensor, "16 9"]:
    """A rotation matrix is linear in the products of its unit quaternion's entries (w, x, y, z): their factors."""
    factors = torch.zeros(4, 4, 3, 3, dtype=dtype)
    w, x, y, z = range(4)
    for axis in (x, y, z):  # diagonal: w^2 plus the own square minus the other two
        for k in (w, x, y, z):
            factors[k, k, axis - 1, axis - 1] = 1.0 if k in (w, axis) else -1.0
    for i, j, k in ((x, y, z), (y, z, x), (z, x, y)):  # R_ij = 2 (q_i q_j - w q_k), R_ji = 2 (q_i q_j + w q_k)
        factors[i, j, i - 1, j - 1] = factors[i, j, j - 1, i - 1] = 2.0
        factors[w, k, i - 1, j - 1], factors[w, k, j - 1, i - 1] = -2.0, 2.0
    return factors.reshape(16, 9).to(device)


def rotation_from_quats(quats_wxyz: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices of quaternions of any non-zero length."""
    return (_products(quats_wxyz) @ _rotation_of_products(quats_wxyz.device, quats_wxyz.dtype)).unflatten(-1, (3, 3))


def z_axis_from_quats(quats_wxyz: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3"]:
    """Third column of `rotation_from_quats`."""
    return _products(quats_wxyz) @ _rotation_of_products(quats_wxyz.device, quats_wxyz.dtype)[:, 2::3]


def _products(quats_wxyz: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 16"]:
    unit = torch.nn.functional.normalize(quats_wxyz, dim=-1)
    return (unit[..., :, None] * unit[..., None, :]).flatten(-2)


def quats_from_rotations(rotations: Float[Tensor, "N 3 3"]) -> Float[Tensor, "N 4"]:
    """Unit quaternions (wxyz) of rotation matrices.

    Every column of 4 q q^T is q up to its length; the one with the largest diagonal is far from zero (Shepperd, 1978).
    """
    m = rotations
    xx, yy, zz = m[:, 0, 0], m[:, 1, 1], m[:, 2, 2]
    wx, wy, wz = m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]
    xy, xz, yz = m[:, 0, 1] + m[:, 1, 0], m[:, 0, 2] + m[:, 2, 0], m[:, 1, 2] + m[:, 2, 1]
    rows = [
        1 + xx + yy + zz, wx, wy, wz,
        wx, 1 + xx - yy - zz, xy, xz,
        wy, xy, 1 - xx + yy - zz, yz,
        wz, xz, yz, 1 - xx - yy + zz,
    ]  # fmt: skip
    outer = torch.stack(rows, dim=-1).reshape(-1, 4, 4)
    largest = outer.diagonal(dim1=1, dim2=2).argmax(dim=1)
    return torch.nn.functional.normalize(outer.gather(1, largest[:, None, None].expand(-1, 1, 4))[:, 0], dim=-1)


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


class Landing(NamedTuple):
    """Where world points fall in an image; u and v are 0 where `inside` is False."""

    pixels: Float[np.ndarray, "P 2"]  # exact (u, v); NaN behind the camera
    u: Int64[np.ndarray, " P"]  # column and row of the nearest pixel
    v: Int64[np.ndarray, " P"]
    z: Float[np.ndarray, " P"]  # depth, m
    inside: Bool[np.ndarray, " P"]


def landing(points_m: Float[np.ndarray, "P 3"], camera: Camera, T_world_camera: Float64[np.ndarray, "4 4"]) -> Landing:
    """The pixel of each world point, to look images up at."""
    pixels, z = project(transform(inverse(T_world_camera), points_m), camera)
    u, v = np.rint(np.nan_to_num(pixels, nan=-1)).astype(np.int64).T
    inside = (u >= 0) & (v >= 0) & (u < camera.width) & (v < camera.height)
    return Landing(pixels, np.where(inside, u, 0), np.where(inside, v, 0), z, inside)


def normals_of_depth(
    depth_m: Float32[np.ndarray, "H W"], camera: Camera, radius_px: int = 2
) -> Float32[np.ndarray, "H W 3"]:
    """Unit surface normals in the camera frame, facing the camera; zero where they cannot be told.

    See `depth.normals`.
    """
    rays = torch.from_numpy(camera.rays())
    return depth.normals(torch.from_numpy(np.ascontiguousarray(depth_m)), rays, radius_px).numpy()
