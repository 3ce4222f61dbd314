"""CPU backend: footprints blended front to back in horizontal bands of the image, and the gradient back to front.

A band holds the Gaussians whose boxes touch it, near to far, and belongs to one thread, so nothing is shared. Work
follows the footprints instead of the pixels of tiles: small surfels cost what they cover.
"""

from typing import NamedTuple, no_type_check

import numpy as np

from instascene_ros.core.rendering.contract import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE
from instascene_ros.core.rendering.cpu_jit import compiled
from instascene_ros.core.rendering.cpu_vectors import LANES, add_row

BAND_ROWS = 8

_MAX_ALPHA = np.float32(MAX_ALPHA)
_MIN_ALPHA = np.float32(MIN_ALPHA)
_MIN_T = np.float32(MIN_TRANSMITTANCE)
_ONE = np.float32(1)
_TWO = np.float32(2)
_HALF = np.float32(0.5)
_TINY = np.float32(1e-30)
_RHO_BEYOND = np.float32(11.2)  # exp(-rho / 2) < 1 / 255


class Bins(NamedTuple):
    """Which Gaussians touch which band: entries sorted by band, then depth."""

    gaussians: np.ndarray  # [E] int32, row of the map
    starts: np.ndarray  # [bands + 1] int64, first entry of each band
    slots: np.ndarray  # [E] int32, the entries of each Gaussian, one run per Gaussian
    slot_starts: np.ndarray  # [N + 1] int64, first slot of each Gaussian


class Canvas(NamedTuple):
    """What blending fills; pixels row by row."""

    image: np.ndarray  # [HW K] float32
    T: np.ndarray  # [HW] float32, transmittance; stopped rays negative
    last: np.ndarray  # [HW] int32, rank in its band of the last Gaussian that the pixel holds, -1 = none
    width: int


class Scene(NamedTuple):
    """What is blended."""

    records: np.ndarray  # [N 12] float32, see `cpu_projection.project`
    boxes: np.ndarray  # [N 4] int32
    features: np.ndarray  # [N K] float32


class Pairs(NamedTuple):
    """Room for trace pairs, one row a band."""

    gaussians: np.ndarray  # [bands R] int32
    pixels: np.ndarray  # [bands R] int32
    weights: np.ndarray  # [bands R] float32
    counts: np.ndarray  # [bands] int64, pairs found (may exceed R)
    min_weight: float


@compiled()
@no_type_check
def fill_bins(boxes: np.ndarray, order: np.ndarray, num_bands: int) -> Bins:
    """Sort the Gaussians of `order` (near to far) into bands."""
    starts = np.zeros(num_bands + 1, np.int64)
    slot_starts = np.zeros(len(boxes) + 1, np.int64)
    for g in order:
        first, last = boxes[g, 2] // BAND_ROWS, (boxes[g, 3] - 1) // BAND_ROWS
        slot_starts[g + 1] = last - first + 1
        for band in range(first, last + 1):
            starts[band + 1] += 1
    starts = np.cumsum(starts)
    slot_starts = np.cumsum(slot_starts)
    gaussians = np.empty(starts[-1], np.int32)
    slots = np.empty(starts[-1], np.int32)
    ends = starts[:-1].copy()
    for g in order:
        first, last = boxes[g, 2] // BAND_ROWS, (boxes[g, 3] - 1) // BAND_ROWS
        for band in range(first, last + 1):
            gaussians[ends[band]] = g
            slots[slot_starts[g] + band - first] = ends[band]
            ends[band] += 1
    return Bins(gaussians, starts, slots, slot_starts)


@compiled(inline=True)
@no_type_check
def exp_minus(x: np.float32) -> np.float32:
    """exp(-x) for 0 <= x <= 5.6 to 1e-6: a power series around the middle of x/8, then three squarings."""
    t = np.float32(0.35) - x * np.float32(0.125)
    e = np.float32(1 / 720)
    e = e * t + np.float32(1 / 120)
    e = e * t + np.float32(1 / 24)
    e = e * t + np.float32(1 / 6)
    e = e * t + _HALF
    e = e * t + _ONE
    e = (e * t + _ONE) * np.float32(0.7046880897187134)  # exp(-0.35)
    e = e * e
    e = e * e
    return e * e


@compiled(inline=True)
@no_type_check
def record_of(records: np.ndarray, g: int) -> tuple[np.float32, ...]:
    """The used columns of one record."""
    return (
        records[g, 0], records[g, 1], records[g, 2], records[g, 3], records[g, 4], records[g, 5],
        records[g, 6], records[g, 7], records[g, 8], records[g, 9], records[g, 10],
    )  # fmt: skip


@compiled(inline=True)
@no_type_check
def fill_alphas(record: tuple[np.float32, ...], x: int, y: int, alphas: np.ndarray) -> None:
    """Alpha of one Gaussian at LANES pixels from (x, y) on; below MIN_ALPHA where it does not count."""
    cu, cv, a0, a1, b0, b1, d0, p, r, opacity, _ = record
    dy = np.float32(y) - cv
    for k in range(LANES):
        dx = np.float32(x + k) - cu
        nu, nv, q = b1 * dx - a1 * dy, a0 * dy - b0 * dx, d0 + p * dx + r * dy
        rho = min((nu * nu + nv * nv) / (q * q + _TINY), _TWO * (dx * dx + dy * dy))
        alphas[k] = min(_MAX_ALPHA, opacity * exp_minus(_HALF * min(rho, _RHO_BEYOND)))


@compiled(inline=True)
@no_type_check
def _blend_entry(place: tuple[int, int, int], scene: Scene, canvas: Canvas, pairs: Pairs, alphas: np.ndarray) -> int:
    """Blend one Gaussian into one band; `place` is (Gaussian, rank in the band, band). Returns the rays it stopped."""
    g, rank, band = place
    record = record_of(scene.records, g)
    boxes, features, image, Ts, last = scene.boxes, scene.features, canvas.image, canvas.T, canvas.last
    right = boxes[g, 1]
    stopped = 0
    for y in range(max(boxes[g, 2], band * BAND_ROWS), min(boxes[g, 3], (band + 1) * BAND_ROWS)):
        for x_first in range(boxes[g, 0], right, LANES):
            fill_alphas(record, x_first, y, alphas)
            for k in range(min(LANES, right - x_first)):
                pixel = np.uintp(y * canvas.width + x_first + k)
                alpha, T = alphas[k], Ts[pixel]
                if alpha < _MIN_ALPHA or T < 0:
                    continue
                T_after = T * (_ONE - alpha)
                if T_after <= _MIN_T:
                    Ts[pixel] = -T
                    stopped += 1
                    continue
                weight = alpha * T
                Ts[pixel] = T_after
                last[pixel] = rank
                add_row(image, pixel, weight, features, g)
                if weight > pairs.min_weight:
                    _remember(pairs, band, g, pixel, weight)
    return stopped


@compiled(inline=True)
@no_type_check
def _remember(pairs: Pairs, band: int, g: int, pixel: int, weight: np.float32) -> None:
    n = pairs.counts[band]
    if n < pairs.weights.shape[1]:
        pairs.gaussians[band, n] = g
        pairs.pixels[band, n] = pixel
        pairs.weights[band, n] = weight
    pairs.counts[band] = n + 1


@compiled()
@no_type_check
def _blend_band(band: int, bins: Bins, scene: Scene, canvas: Canvas, pairs: Pairs) -> None:
    rows_left = len(canvas.T) // canvas.width - band * BAND_ROWS
    live = min(rows_left, BAND_ROWS) * canvas.width
    first = bins.starts[band]
    alphas = np.empty(LANES, np.float32)
    for entry in range(first, bins.starts[band + 1]):
        live -= _blend_entry((bins.gaussians[entry], entry - first, band), scene, canvas, pairs, alphas)
        if live == 0:
            return


@compiled()
@no_type_check
def blend(lane: int, num_lanes: int, bins: Bins, scene: Scene, canvas: Canvas, pairs: Pairs) -> None:
    """Fill the canvas and the pairs; neighbouring bands go to different threads, for balance."""
    for band in range(lane, len(bins.starts) - 1, num_lanes):
        _blend_band(band, bins, scene, canvas, pairs)
