"""CPU backend: the pixels that a disc can be seen in. `record` is as in `cpu_projection`, `view` its `View`."""

from typing import Any, no_type_check

import numpy as np

from instascene_ros.core.rendering.cpu_jit import compiled


@compiled()
@no_type_check
def interval(a: tuple[float, float], w: tuple[float, float], z: float, rho_max: float) -> tuple[float, float]:
    """Largest extent left and right (or up and down) of the centre where a pixel can see the disc, px.

    The silhouette of a circle of the disc is a conic; one that reaches the camera plane is not bounded.
    """
    low_pass = np.sqrt(rho_max / 2)
    limit = rho_max * (w[0] * w[0] + w[1] * w[1]) - z * z
    if limit > -1e-6 * z * z:
        return -np.inf, np.inf
    middle = rho_max * (a[0] * w[0] + a[1] * w[1]) / limit
    half = np.sqrt(max(middle * middle - rho_max * (a[0] * a[0] + a[1] * a[1]) / limit, 0.0))
    return min(middle - half, -low_pass) - 1e-2, max(middle + half, low_pass) + 1e-2


@compiled()
@no_type_check
def write_box(
    box: np.ndarray, center: tuple[float, float], across: tuple[float, float], down: tuple[float, float], view: Any
) -> None:
    left, right = max(center[0] + across[0], 0.0), min(center[0] + across[1], view.width - 1.0)
    top, bottom = max(center[1] + down[0], 0.0), min(center[1] + down[1], view.height - 1.0)
    if left <= right and top <= bottom:  # false for NaN
        box[0], box[1] = np.ceil(left), np.floor(right) + 1
        box[2], box[3] = np.ceil(top), np.floor(bottom) + 1


@compiled()
@no_type_check
def _row_span(record: np.ndarray, dy: float, first: float, last: float) -> tuple[float, float]:
    """Leftmost and rightmost dx within [first, last] of a row where the disc can be seen; none if left > right.

    There u^2 + v^2 <= rho_max, a quadratic in dx once multiplied by q^2.
    """
    a0, a1, b0, b1 = np.float64(record[2]), np.float64(record[3]), np.float64(record[4]), np.float64(record[5])
    p, rho_max = np.float64(record[7]), np.float64(record[10])
    q = record[6] + record[8] * dy
    square = b0 * b0 + b1 * b1 - rho_max * p * p
    half = -(a0 * b0 + a1 * b1) * dy - rho_max * p * q
    root = half * half - square * ((a0 * a0 + a1 * a1) * dy * dy - rho_max * q * q)
    if root < 0 or square == 0:
        return (np.inf, -np.inf) if square > 0 else (first, last)
    root = np.sqrt(root)
    if square > 0:
        return max((-half - root) / square, first), min((-half + root) / square, last)
    near, far = (-half + root) / square, (-half - root) / square  # seen up to the one and from the other on
    return (first if near >= first else max(far, first)), (last if far <= last else min(near, last))


@compiled()
@no_type_check
def write_scanned_box(box: np.ndarray, record: np.ndarray, view: Any) -> None:
    """Of a disc that reaches the camera plane: row by row, since its silhouette has no end but may miss the image."""
    cu, cv, low_pass = np.float64(record[0]), np.float64(record[1]), np.sqrt(record[10] / 2)
    left, right, top, bottom = np.inf, -np.inf, -1, -1
    for y in range(view.height):
        start, end = _row_span(record, y - cv, -cu, view.width - 1 - cu)
        if abs(y - cv) <= low_pass:
            around = np.sqrt(low_pass * low_pass - (y - cv) * (y - cv))
            if max(-around, -cu) <= min(around, view.width - 1 - cu):
                start, end = min(start, max(-around, -cu)), max(end, min(around, view.width - 1 - cu))
        if start <= end:
            left, right, bottom = min(left, cu + start), max(right, cu + end), y + 1
            top = y if top < 0 else top
    if top >= 0:
        box[0], box[1] = max(np.ceil(left - 1e-2), 0.0), min(np.floor(right + 1e-2) + 1, view.width)
        box[2], box[3] = top, bottom
