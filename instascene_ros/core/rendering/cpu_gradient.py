"""CPU backend: the gradient of blending, from the last Gaussian of each band to the first.

With g the gradient of a pixel's channels, f_i the features, and S_i = sum of w_k (g . f_k) over the Gaussians k behind
i, the gradient of alpha_i is T_i (g . f_i) - S_i / (1 - alpha_i). Every (Gaussian, band) pair sums into a row of its
own and `gather` adds up the rows of a Gaussian in a fixed order: no races, and the same bits every time.
"""

from typing import NamedTuple, no_type_check

import numba
import numpy as np

from instascene_ros.core.rendering.contract import MAX_ALPHA, MIN_ALPHA
from instascene_ros.core.rendering.cpu_blend import BAND_ROWS, Bins, Scene, exp_minus, record_of
from instascene_ros.core.rendering.cpu_jit import compiled
from instascene_ros.core.rendering.cpu_vectors import add_row, dot_rows

SUMS = 10  # cu cv  a0 a1 b0 b1  d0 p r  opacity

_MAX_ALPHA = np.float32(MAX_ALPHA)
_MIN_ALPHA = np.float32(MIN_ALPHA)
_ZERO = np.float32(0)
_ONE = np.float32(1)
_TWO = np.float32(2)
_FOUR = np.float32(4)
_HALF = np.float32(0.5)
_TINY = np.float32(1e-30)


class Adjoint(NamedTuple):
    """State of the walk from back to front."""

    image: np.ndarray  # [HW K] float32, gradient of the canvas
    T: np.ndarray  # [HW] float32, transmittance behind the Gaussians still to come
    behind: np.ndarray  # [HW] float32, S
    last: np.ndarray  # [HW] int32, as in `Canvas`
    width: int


class Partials(NamedTuple):
    """Gradient sums of every (Gaussian, band) entry."""

    records: np.ndarray  # [E 10] float32
    features: np.ndarray  # [E K] float32


@compiled(inline=True)
@no_type_check
def _alpha_gradient(pixel, alpha, adjoint, features, g, entry, feature_sums):
    """Step one pixel to the front of this Gaussian; adds to the feature gradient, returns that of alpha."""
    T = adjoint.T[pixel] / (_ONE - alpha)
    weight = alpha * T
    g_dot_f = dot_rows(adjoint.image, pixel, features, g)
    add_row(feature_sums, entry, weight, adjoint.image, pixel)
    g_alpha = T * g_dot_f - adjoint.behind[pixel] / (_ONE - alpha)
    adjoint.behind[pixel] += weight * g_dot_f
    adjoint.T[pixel] = T
    return g_alpha


@compiled(inline=True)
@no_type_check
def _gradient_entry(place, entry, scene, adjoint, partials):
    """Gradient of one Gaussian in one band; `place` is (Gaussian, rank in the band, band)."""
    g, rank, band = place
    cu, cv, a0, a1, b0, b1, d0, p, r, opacity, rho_max = record_of(scene.records, g)
    boxes, last = scene.boxes, adjoint.last
    g_op = g_cu = g_cv = g_u = g_ux = g_uy = g_v = g_vx = g_vy = g_q = g_qx = g_qy = _ZERO
    for y in range(max(boxes[g, 2], band * BAND_ROWS), min(boxes[g, 3], (band + 1) * BAND_ROWS)):
        dy = np.float32(y) - cv
        for x in range(boxes[g, 0], boxes[g, 1]):
            pixel = np.uintp(y * adjoint.width + x)
            if rank > last[pixel]:
                continue
            dx = np.float32(x) - cu
            nu, nv, q = b1 * dx - a1 * dy, a0 * dy - b0 * dx, d0 + p * dx + r * dy
            rho_disc, rho_pixel = (nu * nu + nv * nv) / (q * q + _TINY), _TWO * (dx * dx + dy * dy)
            rho = min(rho_disc, rho_pixel)
            if rho > rho_max:
                continue
            density = exp_minus(_HALF * rho)
            alpha = min(_MAX_ALPHA, opacity * density)
            if alpha < _MIN_ALPHA:
                continue
            g_alpha = _alpha_gradient(pixel, alpha, adjoint, scene.features, g, entry, partials.features)
            if opacity * density > _MAX_ALPHA:
                continue
            g_op += g_alpha * density
            g_rho = -_HALF * alpha * g_alpha
            if rho_disc < rho_pixel:
                g_n = _TWO * g_rho / (q * q)
                du, dv, dq = g_n * nu, g_n * nv, -_TWO * g_rho * rho / q
                g_u, g_ux, g_uy = g_u + du, g_ux + du * dx, g_uy + du * dy
                g_v, g_vx, g_vy = g_v + dv, g_vx + dv * dx, g_vy + dv * dy
                g_q, g_qx, g_qy = g_q + dq, g_qx + dq * dx, g_qy + dq * dy
            else:
                g_cu -= _FOUR * g_rho * dx
                g_cv -= _FOUR * g_rho * dy
    sums = partials.records[entry]
    sums[0] = g_cu - (g_u * b1 - g_v * b0 + g_q * p)
    sums[1] = g_cv - (g_v * a0 - g_u * a1 + g_q * r)
    sums[2], sums[3], sums[4], sums[5] = g_vy, -g_uy, -g_vx, g_ux
    sums[6], sums[7], sums[8], sums[9] = g_q, g_qx, g_qy, g_op


@compiled()
@no_type_check
def _gradient_band(band, bins, scene, adjoint, partials):
    first = bins.starts[band]
    for entry in range(bins.starts[band + 1] - 1, first - 1, -1):
        place = (bins.gaussians[entry], entry - first, band)
        _gradient_entry(place, entry, scene, adjoint, partials)


@compiled(parallel=True)
@no_type_check
def blend_gradient(bins: Bins, scene: Scene, adjoint: Adjoint, partials: Partials, num_lanes: int) -> None:
    """Fill the (zeroed) partials; uses up the adjoint."""
    num_bands = len(bins.starts) - 1
    for lane in numba.prange(num_lanes):
        for band in range(lane, num_bands, num_lanes):
            _gradient_band(band, bins, scene, adjoint, partials)


@compiled(parallel=True)
@no_type_check
def gather(bins: Bins, partials: Partials) -> Partials:
    """Sum the rows of every Gaussian: records [N 10] and features [N K]."""
    n = len(bins.slot_starts) - 1
    records = np.zeros((n, SUMS), np.float32)
    features = np.zeros((n, partials.features.shape[1]), np.float32)
    for g in numba.prange(n):
        for slot in range(bins.slot_starts[g], bins.slot_starts[g + 1]):
            entry = bins.slots[slot]
            for k in range(SUMS):
                records[g, k] += partials.records[entry, k]
            for k in range(features.shape[1]):
                features[g, k] += partials.features[entry, k]
    return Partials(records, features)
