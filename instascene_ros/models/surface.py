"""Denoised points and normals of a depth image, for segmentation."""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float32
from numba import njit

from instascene_ros.core.camera import Camera

WARMUP_RADIUS_PX = 2  # of the first fit, which the second one is judged against
GATE_SIGMAS = 3.0  # a neighbour further than this from the local plane belongs to another surface


@dataclass(frozen=True)
class Surface:
    """What a camera sees, one tangent plane per pixel, in the camera frame. Rows without depth are zero."""

    points_m: Float32[np.ndarray, "H W 3"]
    normals: Float32[np.ndarray, "H W 3"]  # towards the camera; zero = unknown
    sigma_m: Float32[np.ndarray, "H W"]  # of one raw depth value

    @property
    def known(self) -> Bool[np.ndarray, "H W"]:
        """Pixels with a point and a normal."""
        return np.abs(self.normals).sum(-1) > 0


def depth_noise_m(
    depth_m: Float32[np.ndarray, "*shape"], base_m: float, growth_per_m: float
) -> Float32[np.ndarray, "*shape"]:
    """Standard deviation of structured-light depth: quadratic in the distance (Nguyen et al., 3DIMPVT 2012)."""
    return (base_m + growth_per_m * (depth_m - 0.4) ** 2).astype(np.float32)


def surface_of_depth(
    depth_m: Float32[np.ndarray, "H W"], sigma_m: Float32[np.ndarray, "H W"], camera: Camera, radius_px: int
) -> Surface:
    """Least-squares tangent plane of every pixel over the neighbours that lie on the same surface.

    Planes are fitted to inverse depth, which is linear in the pixel on any plane.
    """
    steep = np.float32(4.0 / camera.fx)  # relative depth change of a pixel on a surface seen at about 15 degrees
    raw = np.where(depth_m > 0, 1 / np.where(depth_m > 0, depth_m, 1), 0).astype(np.float32)
    flat = np.zeros((*depth_m.shape, 3), np.float32)
    flat[..., 2] = raw
    rough = _fit_planes(raw, sigma_m * raw * raw, flat, WARMUP_RADIUS_PX, steep)
    planes = _fit_planes(raw, sigma_m * raw * raw, rough, max(radius_px, WARMUP_RADIUS_PX), np.float32(0))
    along_u, along_v, inverse = planes[..., 0], planes[..., 1], planes[..., 2]
    known = (inverse > 0) & (depth_m > 0)
    rays = camera.rays()
    normals = np.empty((*depth_m.shape, 3), np.float32)
    normals[..., 0] = -along_u * camera.fx
    normals[..., 1] = -along_v * camera.fy
    normals[..., 2] = -inverse + along_u * camera.fx * rays[..., 0] + along_v * camera.fy * rays[..., 1]
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    normals = np.where(known[..., None], normals / np.maximum(length, 1e-12), 0).astype(np.float32)
    smooth_m = np.where(known, 1 / np.where(known, inverse, 1), depth_m).astype(np.float32)
    return Surface(rays * smooth_m[..., None], normals, sigma_m)


@njit(cache=True, fastmath=True)
@no_type_check
def _fit_planes(inverse, sigma, guess, radius, steep):
    """[H W 3] slope right and down (1/m/px) and value (1/m) of inverse depth; zero where fewer than six neighbours fit.

    `sigma` is of inverse depth. A neighbour fits within `GATE_SIGMAS` of the plane `guess`, and `steep` (relative) more
    for each pixel away.
    """
    height, width = inverse.shape
    planes = np.zeros((height, width, 3), np.float32)
    for v in range(height):
        for u in range(width):
            if inverse[v, u] > 0 and guess[v, u, 2] > 0:
                limits = (np.float32(GATE_SIGMAS) * sigma[v, u], steep * inverse[v, u])
                sums = _sums(inverse, v, u, radius, guess[v, u], limits)
                _solve(sums, inverse[v, u], planes[v, u])
    return planes


@njit(cache=True, fastmath=True, inline="always")
@no_type_check
def _sums(inverse, v, u, radius, slope, limits):
    """Moments of the neighbours within limits[0], plus limits[1] for each pixel away, of the plane `slope`.

    No branches and single precision: the inner loop vectorises.
    """
    height, width = inverse.shape
    zero, one, middle = np.float32(0), np.float32(1), inverse[v, u]
    gate, allowed = limits
    along, down, value = slope[0], slope[1], slope[2]
    n = su = sv = suu = svv = suv = sw = suw = svw = zero
    for y in range(max(v - radius, 0), min(v + radius + 1, height)):
        dv = np.float32(y - v)
        for x in range(max(u - radius, 0), min(u + radius + 1, width)):
            du, other = np.float32(x - u), inverse[y, x]
            off = abs(other - (along * du + down * dv + value))
            fits = one if (other > zero) & (off < gate + allowed * max(abs(du), abs(dv))) else zero
            w = (other - middle) * fits
            n += fits
            su += du * fits
            sv += dv * fits
            suu += du * du * fits
            svv += dv * dv * fits
            suv += du * dv * fits
            sw += w
            suw += du * w
            svw += dv * w
    return n, su, sv, suu, svv, suv, sw, suw, svw


@njit(cache=True, fastmath=True, inline="always")
@no_type_check
def _solve(sums, middle, plane):
    """Least squares from the moments, into `plane`."""
    n, su, sv, suu, svv, suv, sw, suw, svw = sums
    if n < 6:
        return
    cuu, cvv, cuv = suu - su * su / n, svv - sv * sv / n, suv - su * sv / n
    cuw, cvw = suw - su * sw / n, svw - sv * sw / n
    det = cuu * cvv - cuv * cuv
    if det > 1e-3 * n * n:
        plane[0] = (cuw * cvv - cvw * cuv) / det
        plane[1] = (cvw * cuu - cuw * cuv) / det
        plane[2] = (sw - plane[0] * su - plane[1] * sv) / n + middle
