"""CPU backend: surfels to the image, and the gradient back.

With the tangents t_k = s_k R e_k of a disc and its centre (X, Y, Z) in the camera frame, the pixel offset (dx, dy)
from the projected centre meets the disc at

    u = (b1 dx - a1 dy) / q,   v = (a0 dy - b0 dx) / q,   q = d0 + p dx + r dy     (standard deviations)

    a_k = fx (t_k.x - t_k.z X/Z),  b_k = fy (t_k.y - t_k.z Y/Z)
    d0 = (a0 b1 - a1 b0) / Z,  p = (b0 t_1.z - b1 t_0.z) / Z,  r = (a1 t_0.z - a0 t_1.z) / Z

which is 2DGS's intersection of two planes (Huang et al. 2024, Eq. 8-10) with the pixel moved to the centre.
"""

from typing import NamedTuple, no_type_check

import numpy as np

from instascene_ros.core.rendering.contract import MIN_ALPHA, NEAR_M
from instascene_ros.core.rendering.cpu_boxes import interval, write_box, write_scanned_box
from instascene_ros.core.rendering.cpu_jit import compiled, share_of

Vector = tuple[float, float, float]
RECORD = 12  # cu cv  a0 a1 b0 b1  d0 p r  opacity, largest rho that counts, (free)


class View(NamedTuple):
    """A camera and its pose, for the kernels."""

    R_camera_world: np.ndarray  # [3 3] float64
    t_world_camera: np.ndarray  # [3] float64, m
    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int


class Surfels(NamedTuple):
    """The differentiable columns of the map."""

    means_m: np.ndarray  # [N 3] float32
    quats_wxyz: np.ndarray  # [N 4] float32
    log_scales: np.ndarray  # [N 2] float32
    opacity_logits: np.ndarray  # [N] float32


@compiled()
@no_type_check
def _tangents(
    quat: np.ndarray, log_scales: np.ndarray, view: View
) -> tuple[Vector, Vector, tuple[float, float, float, float], float, tuple[float, float]]:
    """Tangents t_0 and t_1 in the camera frame, the unit quaternion, its former length, and the scales."""
    w, x, y, z = np.float64(quat[0]), np.float64(quat[1]), np.float64(quat[2]), np.float64(quat[3])
    length = max(np.sqrt(w * w + x * x + y * y + z * z), 1e-12)
    w, x, y, z = w / length, x / length, y / length, z / length
    s0, s1 = np.exp(np.float64(log_scales[0])), np.exp(np.float64(log_scales[1]))
    e0 = (s0 * (1 - 2 * (y * y + z * z)), s0 * 2 * (x * y + w * z), s0 * 2 * (x * z - w * y))
    e1 = (s1 * 2 * (x * y - w * z), s1 * (1 - 2 * (x * x + z * z)), s1 * 2 * (y * z + w * x))
    return _rotated(view.R_camera_world, e0), _rotated(view.R_camera_world, e1), (w, x, y, z), length, (s0, s1)


@compiled()
@no_type_check
def _rotated(R: np.ndarray, v: Vector) -> Vector:
    return (
        R[0, 0] * v[0] + R[0, 1] * v[1] + R[0, 2] * v[2],
        R[1, 0] * v[0] + R[1, 1] * v[1] + R[1, 2] * v[2],
        R[2, 0] * v[0] + R[2, 1] * v[1] + R[2, 2] * v[2],
    )


@compiled()
@no_type_check
def _mean_in_camera(mean: np.ndarray, view: View) -> Vector:
    t = view.t_world_camera
    return _rotated(view.R_camera_world, (mean[0] - t[0], mean[1] - t[1], mean[2] - t[2]))


@compiled()
@no_type_check
def _project_one(surfels: Surfels, i: int, view: View, record: np.ndarray, box: np.ndarray) -> float:
    """Write one record and box; returns the depth of the centre, m."""
    x, y, z = _mean_in_camera(surfels.means_m[i], view)
    opacity = 1 / (1 + np.exp(-np.float64(surfels.opacity_logits[i])))
    if not (z > NEAR_M and opacity > MIN_ALPHA):
        return z
    t0, t1, _, _, _ = _tangents(surfels.quats_wxyz[i], surfels.log_scales[i], view)
    xn, yn = x / z, y / z
    fx, fy = view.fx, view.fy
    a = (fx * (t0[0] - xn * t0[2]), fx * (t1[0] - xn * t1[2]))
    b = (fy * (t0[1] - yn * t0[2]), fy * (t1[1] - yn * t1[2]))
    w = (t0[2], t1[2])
    center = (fx * xn + view.cx, fy * yn + view.cy)
    rho_max = 2 * np.log(opacity / MIN_ALPHA)
    record[0], record[1] = center
    record[2], record[3] = a
    record[4], record[5] = b
    record[6] = (a[0] * b[1] - a[1] * b[0]) / z
    record[7] = (b[0] * w[1] - b[1] * w[0]) / z
    record[8] = (a[1] * w[0] - a[0] * w[1]) / z
    record[9], record[10] = opacity, rho_max
    across = interval(a, w, z, rho_max)
    if across[1] == np.inf:
        write_scanned_box(box, record, view)
    else:
        write_box(box, center, across, interval(b, w, z, rho_max), view)
    return z


class Projected(NamedTuple):
    """Surfels in the image."""

    records: np.ndarray  # [N 12] float32
    boxes: np.ndarray  # [N 4] int32: left, right, top, bottom, half open; all zero where nothing is seen
    depths_m: np.ndarray  # [N] float32, of the centres


@compiled()
@no_type_check
def project(lane: int, num_lanes: int, surfels: Surfels, view: View, out: Projected) -> None:
    """Fill `out`, whose boxes are zero."""
    for i in share_of(len(surfels.means_m), lane, num_lanes):
        out.depths_m[i] = _project_one(surfels, i, view, out.records[i], out.boxes[i])


@compiled()
@no_type_check
def _tangent_gradients(
    grad: np.ndarray, t0: Vector, t1: Vector, mean: Vector, view: View
) -> tuple[Vector, Vector, Vector]:
    """Gradient of both tangents and of the centre in the camera frame, from that of the record."""
    x, y, z = mean
    xn, yn = x / z, y / z
    fx, fy = view.fx, view.fy
    a0, a1 = fx * (t0[0] - xn * t0[2]), fx * (t1[0] - xn * t1[2])
    b0, b1 = fy * (t0[1] - yn * t0[2]), fy * (t1[1] - yn * t1[2])
    w0, w1 = t0[2], t1[2]
    gd, gp, gr = grad[6] / z, grad[7] / z, grad[8] / z
    ga0 = grad[2] + gd * b1 - gr * w1
    ga1 = grad[3] - gd * b0 + gr * w0
    gb0 = grad[4] - gd * a1 + gp * w1
    gb1 = grad[5] + gd * a0 - gp * w0
    gw0 = -gp * b1 + gr * a1
    gw1 = gp * b0 - gr * a0
    by_z = gd * (a0 * b1 - a1 * b0) + gp * (b0 * w1 - b1 * w0) + gr * (a1 * w0 - a0 * w1)
    g_t0 = (fx * ga0, fy * gb0, gw0 - fx * xn * ga0 - fy * yn * gb0)
    g_t1 = (fx * ga1, fy * gb1, gw1 - fx * xn * ga1 - fy * yn * gb1)
    g_xn = fx * (grad[0] - ga0 * w0 - ga1 * w1)
    g_yn = fy * (grad[1] - gb0 * w0 - gb1 * w1)
    return g_t0, g_t1, (g_xn / z, g_yn / z, -(g_xn * xn + g_yn * yn + by_z) / z)


@compiled()
@no_type_check
def _quat_gradient(
    q: tuple[float, float, float, float], length: float, g0: Vector, g1: Vector
) -> tuple[float, float, float, float]:
    """Gradient of a quaternion of any length from that of the first two columns of its rotation."""
    w, x, y, z = q
    gw = 2 * (z * g0[1] - y * g0[2] - z * g1[0] + x * g1[2])
    gx = 2 * (y * g0[1] + z * g0[2] + y * g1[0] - 2 * x * g1[1] + w * g1[2])
    gy = 2 * (-2 * y * g0[0] + x * g0[1] - w * g0[2] + x * g1[0] + z * g1[2])
    gz = 2 * (-2 * z * g0[0] + w * g0[1] + x * g0[2] - w * g1[0] - 2 * z * g1[1] + y * g1[2])
    along = w * gw + x * gx + y * gy + z * gz
    return (gw - w * along) / length, (gx - x * along) / length, (gy - y * along) / length, (gz - z * along) / length


@compiled()
@no_type_check
def _unproject_one(surfels: Surfels, i: int, view: View, grad: np.ndarray, out: Surfels) -> None:
    mean = _mean_in_camera(surfels.means_m[i], view)
    t0, t1, q, length, scales = _tangents(surfels.quats_wxyz[i], surfels.log_scales[i], view)
    g_t0, g_t1, g_mean = _tangent_gradients(grad, t0, t1, mean, view)
    R_world_camera = view.R_camera_world.T
    # Written one by one: numba compiles the assignment of a tuple to a row for seconds.
    out.means_m[i, 0], out.means_m[i, 1], out.means_m[i, 2] = _rotated(R_world_camera, g_mean)
    g0, g1 = _rotated(R_world_camera, g_t0), _rotated(R_world_camera, g_t1)
    s0, s1 = scales
    g0, g1 = (s0 * g0[0], s0 * g0[1], s0 * g0[2]), (s1 * g1[0], s1 * g1[1], s1 * g1[2])
    of_quat = _quat_gradient(q, length, g0, g1)
    out.quats_wxyz[i, 0], out.quats_wxyz[i, 1], out.quats_wxyz[i, 2], out.quats_wxyz[i, 3] = of_quat
    out.log_scales[i, 0] = g_t0[0] * t0[0] + g_t0[1] * t0[1] + g_t0[2] * t0[2]
    out.log_scales[i, 1] = g_t1[0] * t1[0] + g_t1[1] * t1[1] + g_t1[2] * t1[2]
    opacity = 1 / (1 + np.exp(-np.float64(surfels.opacity_logits[i])))
    out.opacity_logits[i] = grad[9] * opacity * (1 - opacity)


@compiled()
@no_type_check
def unproject(
    lane: int, num_lanes: int, surfels: Surfels, view: View, gradients: np.ndarray, boxes: np.ndarray, out: Surfels
) -> None:
    """Fill the (zeroed) gradients of the columns from those of the records [N 10], where something was seen."""
    for i in share_of(len(boxes), lane, num_lanes):
        if boxes[i, 1] > 0:
            _unproject_one(surfels, i, view, gradients[i], out)
