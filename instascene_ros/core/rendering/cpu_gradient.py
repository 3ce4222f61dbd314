"""CPU backend: the gradient of blending, from the last Gaussian of each band to the first.

With g the gradient of a pixel's channels, f_i the features, and S_i = sum of w_k (g . f_k) over the Gaussians k behind
i, the gradient of alpha_i is T_i (g . f_i) - S_i / (1 - alpha_i). Every (Gaussian, band) pair sums into a row of its
own and `gather` adds up the rows of a Gaussian in a fixed order: no races, and the same bits every time.
"""

from typing import NamedTuple, no_type_check

import numpy as np

from instascene_ros.core.rendering.contract import MAX_ALPHA, MIN_ALPHA
from instascene_ros.core.rendering.cpu_blend import BAND_ROWS, Bins, Scene, fill_alphas, record_of
from instascene_ros.core.rendering.cpu_jit import compiled, share_of
from instascene_ros.core.rendering.cpu_vectors import LANES, add_row, dot_rows

SUMS = 10  # cu cv  a0 a1 b0 b1  d0 p r  opacity

_MAX_ALPHA = np.float32(MAX_ALPHA)
_MIN_ALPHA = np.float32(MIN_ALPHA)
_ZERO = np.float32(0)
_ONE = np.float32(1)
_TWO = np.float32(2)
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


class Walk(NamedTuple):
    """All that the walk reads and writes."""

    bins: Bins
    scene: Scene
    adjoint: Adjoint
    partials: Partials


@compiled(inline=True)
@no_type_check
def _alpha_gradient(pixel: int, alpha: np.float32, g: int, entry: int, walk: Walk) -> np.float32:
    """Step one pixel to the front of this Gaussian; adds to the feature gradient, returns that of alpha."""
    _, scene, adjoint, partials = walk
    T = adjoint.T[pixel] / (_ONE - alpha)
    weight = alpha * T
    g_dot_f = dot_rows(adjoint.image, pixel, scene.features, g)
    add_row(partials.features, entry, weight, adjoint.image, pixel)
    g_alpha = T * g_dot_f - adjoint.behind[pixel] / (_ONE - alpha)
    adjoint.behind[pixel] += weight * g_dot_f
    adjoint.T[pixel] = T
    return g_alpha


@compiled(inline=True)
@no_type_check
def _add_geometry(record: tuple[np.float32, ...], x: int, y: int, chunk: np.ndarray, sums: np.ndarray) -> None:
    """Add the gradient of LANES pixels from (x, y) on to the sums; `chunk` holds alpha and its gradient.

    Sums: cu cv of the low-pass filter, opacity, then of each numerator and denominator of u and v: g, g dx, g dy.
    """
    cu, cv, a0, a1, b0, b1, d0, p, r, _, _ = record
    dy = np.float32(y) - cv
    s_cu = s_cv = s_op = s_u = s_ux = s_v = s_vx = s_q = s_qx = _ZERO
    for k in range(LANES):
        dx = np.float32(x + k) - cu
        nu, nv, q = b1 * dx - a1 * dy, a0 * dy - b0 * dx, d0 + p * dx + r * dy
        q_squared = q * q + _TINY
        rho_disc, rho_pixel = (nu * nu + nv * nv) / q_squared, _TWO * (dx * dx + dy * dy)
        g_log_alpha = chunk[0, k] * chunk[1, k] if chunk[0, k] < _MAX_ALPHA else _ZERO
        g_disc = -g_log_alpha / q_squared if rho_disc < rho_pixel else _ZERO
        g_pixel = _ZERO if rho_disc < rho_pixel else _TWO * g_log_alpha
        g_u, g_v, g_q = g_disc * nu, g_disc * nv, -g_disc * rho_disc * q
        s_op += g_log_alpha
        s_cu, s_cv = s_cu + g_pixel * dx, s_cv + g_pixel * dy
        s_u, s_ux, s_v, s_vx = s_u + g_u, s_ux + g_u * dx, s_v + g_v, s_vx + g_v * dx
        s_q, s_qx = s_q + g_q, s_qx + g_q * dx
    sums[0] += s_cu
    sums[1] += s_cv
    sums[2] += s_op
    sums[3] += s_u
    sums[4] += s_ux
    sums[5] += s_u * dy
    sums[6] += s_v
    sums[7] += s_vx
    sums[8] += s_v * dy
    sums[9] += s_q
    sums[10] += s_qx
    sums[11] += s_q * dy


@compiled(inline=True)
@no_type_check
def _write_sums(record: tuple[np.float32, ...], sums: np.ndarray, out: np.ndarray, entry: int) -> None:
    _, _, a0, a1, b0, b1, _, p, r, opacity, _ = record
    g_u, g_v, g_q = sums[3], sums[6], sums[9]
    out[entry, 0] = sums[0] - (g_u * b1 - g_v * b0 + g_q * p)
    out[entry, 1] = sums[1] - (g_v * a0 - g_u * a1 + g_q * r)
    out[entry, 2], out[entry, 3], out[entry, 4], out[entry, 5] = sums[8], -sums[5], -sums[7], sums[4]
    out[entry, 6], out[entry, 7], out[entry, 8] = g_q, sums[10], sums[11]
    out[entry, 9] = sums[2] / opacity


@compiled(inline=True)
@no_type_check
def _gradient_entry(place: tuple[int, int, int], walk: Walk, chunk: np.ndarray, sums: np.ndarray) -> None:
    """Gradient of one Gaussian in one band; `place` is (entry, rank in the band, band)."""
    entry, rank, band = place
    bins, scene, adjoint, partials = walk
    g = bins.gaussians[entry]
    boxes, last, width = scene.boxes, adjoint.last, adjoint.width
    record = record_of(scene.records, g)
    right = boxes[g, 1]
    sums[:] = 0
    for y in range(max(boxes[g, 2], band * BAND_ROWS), min(boxes[g, 3], (band + 1) * BAND_ROWS)):
        for x_first in range(boxes[g, 0], right, LANES):
            fill_alphas(record, x_first, y, chunk[0])
            chunk[1] = 0
            for k in range(min(LANES, right - x_first)):
                pixel = np.uintp(y * width + x_first + k)
                alpha = chunk[0, k]
                if alpha >= _MIN_ALPHA and rank <= last[pixel]:
                    chunk[1, k] = _alpha_gradient(pixel, alpha, g, entry, walk)
            _add_geometry(record, x_first, y, chunk, sums)
    _write_sums(record, sums, partials.records, entry)


@compiled()
@no_type_check
def _gradient_band(band: int, walk: Walk) -> None:
    starts = walk.bins.starts
    chunk = np.empty((2, LANES), np.float32)
    sums = np.empty(12, np.float32)
    for entry in range(starts[band + 1] - 1, starts[band] - 1, -1):
        _gradient_entry((entry, entry - starts[band], band), walk, chunk, sums)


@compiled()
@no_type_check
def blend_gradient(lane: int, num_lanes: int, bins: Bins, scene: Scene, adjoint: Adjoint, partials: Partials) -> None:
    """Fill the (zeroed) partials; uses up the adjoint."""
    for band in range(lane, len(bins.starts) - 1, num_lanes):
        _gradient_band(band, Walk(bins, scene, adjoint, partials))


@compiled()
@no_type_check
def gather(lane: int, num_lanes: int, bins: Bins, partials: Partials, sums: Partials) -> None:
    """Add the rows of every Gaussian to the (zeroed) sums: records [N 10] and features [N K]."""
    for g in share_of(len(bins.slot_starts) - 1, lane, num_lanes):
        for slot in range(bins.slot_starts[g], bins.slot_starts[g + 1]):
            entry = bins.slots[slot]
            for k in range(SUMS):
                sums.records[g, k] += partials.records[entry, k]
            for k in range(sums.features.shape[1]):
                sums.features[g, k] += partials.features[entry, k]
