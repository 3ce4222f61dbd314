"""Denoised points and normals of a depth image, for segmentation."""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float32
from numba import njit, prange

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


def depth_noise_m(depth_m: Float32[np.ndarray, "*shape"], base_m: float, growth_per_m: float) -> Float32[np.ndarray, "*shape"]:
    """Standard deviation of structured-light depth: quadratic in the distance (Nguyen et al., 3DIMPVT 2012)."""
    return (base_m + growth_per_m * (depth_m - 0.4) ** 2).astype(np.float32)


def surface_of_depth(
    depth_m: Float32[np.ndarray, "H W"], sigma_m: Float32[np.ndarray, "H W"], camera: Camera, radius_px: int
) -> Surface:
    """Least-squares tangent plane of every pixel over the neighbours that lie on the same surface.

    Planes are fitted to inverse depth, which is linear in the pixel on any plane.
    """
    steep = np.float32(4.0 / camera.fx)  # relative depth change of a pixel on a surface seen at about 15 degrees
    planes = _fit_planes(depth_m, sigma_m, np.zeros((*depth_m.shape, 3), np.float32), WARMUP_RADIUS_PX, steep)
    planes = _fit_planes(depth_m, sigma_m, planes, max(radius_px, WARMUP_RADIUS_PX), steep)
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


@njit(cache=True, parallel=True, fastmath=True)
@no_type_check
def _fit_planes(depth_m, sigma_m, guess, radius, steep):
    """[H W 3] inverse depth per pixel right, per pixel down, at the pixel; zero where fewer than six neighbours fit."""
    height, width = depth_m.shape
    planes = np.zeros((height, width, 3), np.float32)
    for v in prange(height):
        for u in range(width):
            z = depth_m[v, u]
            if z <= 0:
                continue
            gate = GATE_SIGMAS * sigma_m[v, u]
            guessed = guess[v, u, 2] > 0
            n = su = sv = suu = svv = suv = sw = suw = svw = 0.0
            for y in range(max(v - radius, 0), min(v + radius + 1, height)):
                for x in range(max(u - radius, 0), min(u + radius + 1, width)):
                    other = depth_m[y, x]
                    if other <= 0:
                        continue
                    du, dv = x - u, y - v
                    if guessed:
                        expected = guess[v, u, 0] * du + guess[v, u, 1] * dv + guess[v, u, 2]
                        fits = expected > 0 and abs(other * expected - 1) * z < gate
                    else:
                        fits = abs(other - z) < gate + steep * z * max(abs(du), abs(dv))
                    if not fits:
                        continue
                    w = 1 / other
                    n += 1
                    su += du
                    sv += dv
                    sw += w
                    suu += du * du
                    svv += dv * dv
                    suv += du * dv
                    suw += du * w
                    svw += dv * w
            if n < 6:
                continue
            cuu, cvv, cuv = suu - su * su / n, svv - sv * sv / n, suv - su * sv / n
            cuw, cvw = suw - su * sw / n, svw - sv * sw / n
            det = cuu * cvv - cuv * cuv
            if det < 1e-3 * n * n:
                continue
            a = (cuw * cvv - cvw * cuv) / det
            b = (cvw * cuu - cuw * cuv) / det
            planes[v, u, 0] = a
            planes[v, u, 1] = b
            planes[v, u, 2] = (sw - a * su - b * sv) / n
    return planes
