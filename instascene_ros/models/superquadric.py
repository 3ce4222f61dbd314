"""Balls, drums, blocks and what lies between: one family of shapes with five numbers, fitted to half of a surface.

Superquadrics (Barr 1981; fitted as in Solina and Bajcsy, PAMI 1990, but with a robust radial distance), here with a
linear taper along z. A fit is pulled towards known kinds (round, cylindrical, box) because half a surface cannot tell.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from scipy.spatial.transform import Rotation
from scipy.special import beta

# Rotation vector 3, centre 3, log half sizes 3, exponents 2, taper 1.
MIN_EXPONENT, MAX_EXPONENT, MAX_TAPER = 0.15, 1.2, 0.6
Parameters = Float64[np.ndarray, "B 12"]


@dataclass(frozen=True)
class Superquadric:
    """Shape and place. Its own axes are x, y (cross-section) and z (tapered)."""

    T_world_shape: Float64[np.ndarray, "4 4"]
    half_sizes_m: Float64[np.ndarray, " 3"]
    exponents: Float64[np.ndarray, " 2"]  # along z, across: 1 round, near 0 square
    taper: float  # growth of the cross-section from z = 0 to the upper end

    @property
    def parameters(self) -> Parameters:
        """One row, relative to the identity pose."""
        R = Rotation.from_matrix(self.T_world_shape[:3, :3]).as_rotvec()
        row = [R, self.T_world_shape[:3, 3], np.log(self.half_sizes_m), self.exponents, [self.taper]]
        return np.concatenate(row)[None]

    def distance_m(self, points_m: Float[np.ndarray, "P 3"]) -> Float64[np.ndarray, " P"]:
        """Distance along the ray from the centre, negative inside."""
        return radial_distance_m(self.parameters, points_m.astype(np.float64))[0]

    @property
    def volume_m3(self) -> float:
        """Exact but for the taper."""
        e1, e2 = self.exponents
        untapered = 2 * float(np.prod(self.half_sizes_m)) * e1 * e2 * beta(e1 / 2 + 1, e1) * beta(e2 / 2, e2 / 2)
        return float(untapered) * (1 + self.taper**2 / 3)


def from_parameters(row: Float64[np.ndarray, " 12"]) -> Superquadric:
    """The shape of one row of parameters."""
    T_world_shape = np.eye(4)
    T_world_shape[:3, :3], T_world_shape[:3, 3] = Rotation.from_rotvec(row[:3]).as_matrix(), row[3:6]
    exponents = np.clip(row[9:11], MIN_EXPONENT, MAX_EXPONENT)
    return Superquadric(T_world_shape, np.exp(row[6:9]), exponents, float(np.clip(row[11], -MAX_TAPER, MAX_TAPER)))


def radial_distance_m(parameters: Parameters, points_m: Float64[np.ndarray, "P 3"]) -> Float64[np.ndarray, "B P"]:
    """Distance of world points from each of B shapes, along the ray from the shape's centre; negative inside."""
    R_world_shape = Rotation.from_rotvec(parameters[:, :3]).as_matrix()
    local = np.einsum("bpi,bij->bpj", points_m[None] - parameters[:, None, 3:6], R_world_shape)
    e1, e2 = np.clip(parameters[:, 9:11], MIN_EXPONENT, MAX_EXPONENT).T[:, :, None]
    unit = local / np.exp(np.clip(parameters[:, None, 6:9], -7, 1))
    taper = np.clip(parameters[:, 11:12], -MAX_TAPER, MAX_TAPER)
    width = np.maximum(1 + taper * np.clip(unit[..., 2], -1.2, 1.2), 0.2)
    x, y, z = np.abs(unit[..., 0]) / width + 1e-9, np.abs(unit[..., 1]) / width + 1e-9, np.abs(unit[..., 2]) + 1e-9
    with np.errstate(over="ignore"):
        inside_outside = (x ** (2 / e2) + y ** (2 / e2)) ** (e2 / e1) + z ** (2 / e1)
    length = np.linalg.norm(local, axis=-1)
    return length * (1 - np.clip(inside_outside, 1e-12, 1e12) ** (-e1 / 2))


def _signed_power(value: np.ndarray, exponent: np.ndarray) -> np.ndarray:
    return np.sign(value) * np.abs(value) ** exponent


def lowest_m(parameters: Parameters, up: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, " B"]:
    """Height of the lowest of some points on each shape's surface."""
    elevation, azimuth = np.meshgrid(np.linspace(-np.pi / 2, np.pi / 2, 9), np.arange(16) * np.pi / 8)
    elevation, azimuth = elevation.ravel(), azimuth.ravel()
    e1, e2 = np.clip(parameters[:, 9:11], MIN_EXPONENT, MAX_EXPONENT).T[:, :, None]
    z = _signed_power(np.sin(elevation), e1)
    ring = _signed_power(np.cos(elevation), e1) * (1 + np.clip(parameters[:, 11:12], -MAX_TAPER, MAX_TAPER) * z)
    x, y = ring * _signed_power(np.cos(azimuth), e2), ring * _signed_power(np.sin(azimuth), e2)
    local = np.stack([x, y, z], axis=-1) * np.exp(np.clip(parameters[:, None, 6:9], -7, 1))  # [B S 3]
    up_local = np.einsum("i,bij->bj", up, Rotation.from_rotvec(parameters[:, :3]).as_matrix())
    return np.einsum("bsj,bj->bs", local, up_local).min(-1) + parameters[:, 3:6] @ up
