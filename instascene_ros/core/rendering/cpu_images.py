"""CPU backend: what is derived from a frame's depth and masks, row by row. See `core.frame_images` and `core.depth`."""

from typing import NamedTuple, no_type_check

import numpy as np

from instascene_ros.core.depth import LEAST_TOLERANCE_M, MAX_JUMP, MISSING_M, NORMAL_PX, SMOOTH_PX
from instascene_ros.core.rendering.cpu_jit import compiled, on_all_cores, share_of

RIM_PX = 2  # reach of the wider rim

_HALF, _ONE, _TWO = np.float32(0.5), np.float32(1), np.float32(2)


class Noise(NamedTuple):
    """Of depth, and how much of it is none."""

    constant_m: np.float32
    quadratic: np.float32
    sigmas: np.float32

    @classmethod
    def of(cls, *numbers: float) -> "Noise":
        return cls(*(np.float32(number) for number in numbers))


class Derived(NamedTuple):
    """All [H W]."""

    smooth_m: np.ndarray  # float32
    tolerance_m: np.ndarray  # float32
    edges: np.ndarray  # bool
    rim_px: np.ndarray  # uint8: how near, up to RIM_PX, another label is; 0 = not that near
    normals: np.ndarray  # [H W 3] float32, camera frame


def derive(depth_m: np.ndarray, labels: np.ndarray, rays: np.ndarray, noise: Noise) -> Derived:
    """Everything that neighbouring pixels decide."""
    shape = depth_m.shape
    smooth_m, tolerance_m = np.empty(shape, np.float32), np.empty(shape, np.float32)
    out = Derived(smooth_m, tolerance_m, np.empty(shape, bool), np.zeros(shape, np.uint8), np.empty_like(rays))
    on_all_cores(_depth_rows, np.pad(depth_m, SMOOTH_PX), noise, out)
    on_all_cores(_label_rows, labels, out.rim_px)
    on_all_cores(_normal_rows, rays, out)
    return out


@compiled()
@no_type_check
def _depth_rows(lane, num_lanes, padded_m, noise, out):
    height, width = out.smooth_m.shape
    total, near = np.empty(width, np.float32), np.empty(width, np.float32)
    for v in share_of(height, lane, num_lanes):
        center_m, tolerance_m = padded_m[v + SMOOTH_PX, SMOOTH_PX:], out.tolerance_m[v]
        for u in range(width):
            sigma_m = noise.constant_m + noise.quadratic * center_m[u] * center_m[u]
            tolerance_m[u] = max(noise.sigmas * sigma_m, np.float32(LEAST_TOLERANCE_M))
            total[u], near[u] = center_m[u], _ONE
        # Opposite neighbours are taken in pairs, so that slant cancels out.
        for pair in range((2 * SMOOTH_PX + 1) ** 2 // 2):
            down, across = pair // (2 * SMOOTH_PX + 1), pair % (2 * SMOOTH_PX + 1)
            one, other = padded_m[v + down, across:], padded_m[v + 2 * SMOOTH_PX - down, 2 * SMOOTH_PX - across :]
            for u in range(width):
                middle_m = (one[u] + other[u]) * _HALF
                same = (one[u] > 0) & (other[u] > 0) & (abs(middle_m - center_m[u]) < _TWO * tolerance_m[u])
                total[u] += _TWO * middle_m if same else np.float32(0)
                near[u] += _TWO if same else np.float32(0)
        for u in range(width):
            out.smooth_m[v, u] = total[u] / near[u] if center_m[u] > 0 else np.float32(0)
            out.edges[v, u] = center_m[u] > 0 and _is_edge(padded_m, v, u, height, width, tolerance_m[u])


@compiled(inline=True)
@no_type_check
def _is_edge(padded_m, v, u, height, width, tolerance_m):
    """Whether a plane through the pixel cannot explain its neighbours."""
    here_m = padded_m[v + SMOOTH_PX, u + SMOOTH_PX]
    nearest, farthest = here_m, here_m
    for y in range(max(v - 1, 0), min(v + 2, height)):
        for x in range(max(u - 1, 0), min(u + 2, width)):
            found_m = padded_m[y + SMOOTH_PX, x + SMOOTH_PX]
            found_m = found_m if found_m > 0 else np.float32(MISSING_M)
            nearest, farthest = min(nearest, found_m), max(farthest, found_m)
    return abs((farthest - here_m) - (here_m - nearest)) > _TWO * tolerance_m


@compiled()
@no_type_check
def _label_rows(lane, num_lanes, labels, rim_px):
    height, width = labels.shape
    for v in share_of(height, lane, num_lanes):
        for u in range(width):
            for reach in range(1, RIM_PX + 1):
                if _has_other_label(labels, v, u, reach):
                    rim_px[v, u] = reach
                    break


@compiled(inline=True)
@no_type_check
def _has_other_label(labels, v, u, reach):
    height, width = labels.shape
    for y in range(max(v - reach, 0), min(v + reach + 1, height)):
        for x in range(max(u - reach, 0), min(u + reach + 1, width)):
            if labels[y, x] != labels[v, u]:
                return True
    return False


@compiled()
@no_type_check
def _normal_rows(lane, num_lanes, rays, out):
    height, width = out.smooth_m.shape
    for v in share_of(height, lane, num_lanes):
        for u in range(width):
            _write_normal(rays, out.smooth_m, v, u, out.normals[v, u])


@compiled(inline=True)
@no_type_check
def _write_normal(rays, smooth_m, v, u, normal):
    """One good neighbour along each axis will do; without, and without depth, the normal is zero."""
    height, width = smooth_m.shape
    here_m = smooth_m[v, u]
    x_0, x_1 = max(u - NORMAL_PX, 0), min(u + NORMAL_PX, width - 1)
    y_0, y_1 = max(v - NORMAL_PX, 0), min(v + NORMAL_PX, height - 1)
    left, right = _side(smooth_m, v, x_0, here_m), _side(smooth_m, v, x_1, here_m)
    up, down = _side(smooth_m, y_0, u, here_m), _side(smooth_m, y_1, u, here_m)
    normal[:] = 0
    if here_m <= 0 or (left < 0 and right < 0) or (up < 0 and down < 0):
        return
    a0, a1, a2 = _step(rays, smooth_m, v, x_0, left, v, x_1, right, v, u)
    b0, b1, b2 = _step(rays, smooth_m, y_0, u, up, y_1, u, down, v, u)
    n0, n1, n2 = b1 * a2 - b2 * a1, b2 * a0 - b0 * a2, b0 * a1 - b1 * a0
    length = np.sqrt(n0 * n0 + n1 * n1 + n2 * n2)
    if length <= 1e-12:
        return
    if n0 * rays[v, u, 0] + n1 * rays[v, u, 1] + n2 * rays[v, u, 2] > 0:
        length = -length
    normal[0], normal[1], normal[2] = n0 / length, n1 / length, n2 / length


@compiled(inline=True)
@no_type_check
def _side(smooth_m, y, x, here_m):
    """Depth of a neighbour on the same surface, -1 where it is not."""
    found_m = smooth_m[y, x]
    return found_m if found_m > 0 and abs(found_m - here_m) < MAX_JUMP * NORMAL_PX * here_m else -1.0


@compiled(inline=True)
@no_type_check
def _step(rays, smooth_m, y_0, x_0, from_m, y_1, x_1, to_m, v, u):
    """From one neighbour's point to the opposite one's; the pixel itself stands in for one that is not good."""
    y_0, x_0, from_m = (y_0, x_0, from_m) if from_m > 0 else (v, u, smooth_m[v, u])
    y_1, x_1, to_m = (y_1, x_1, to_m) if to_m > 0 else (v, u, smooth_m[v, u])
    d0 = to_m * rays[y_1, x_1, 0] - from_m * rays[y_0, x_0, 0]
    d1 = to_m * rays[y_1, x_1, 1] - from_m * rays[y_0, x_0, 1]
    return d0, d1, to_m * rays[y_1, x_1, 2] - from_m * rays[y_0, x_0, 2]
