"""CPU backend: surfels' planes as features to blend, their gradient, and what traced pixels say about them."""

from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from instascene_ros.core.rendering.contract import Trace
from instascene_ros.core.rendering.cpu_jit import compiled, on_all_cores, share_of
from instascene_ros.core.rendering.splats import View

FEATURES = 7  # colour, normal in the camera, offset
SUMS = 9
TABLES = 2  # of sums at once: more would take longer to add up than pairs take


class PlaneFeatures(torch.autograd.Function):
    """See `render.plane_features`."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        *columns, view = inputs
        means_m, quats, colors = (column.detach().contiguous() for column in columns)
        features = np.empty((len(means_m), FEATURES), np.float32)
        on_all_cores(_features, means_m.numpy(), quats.numpy(), colors.numpy(), *_arrays(view), features)
        ctx.save_for_backward(means_m, quats)
        ctx.view = view
        return torch.from_numpy(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        means_m, quats = (column.numpy() for column in ctx.saved_tensors)
        found = np.empty_like(means_m), np.empty_like(quats), np.empty_like(means_m)
        on_all_cores(_gradients, means_m, quats, *_arrays(ctx.view), gradients[0].contiguous().numpy(), *found)
        return *(torch.from_numpy(gradient) for gradient in found), None


def sums_of(
    trace: Trace, means_m: Float32[Tensor, "N 3"], quats_wxyz: Float32[Tensor, "N 4"], view: View,
    images: tuple[Tensor, ...], min_cosine: float,
) -> Float32[Tensor, "N 9"]:  # fmt: skip
    """See `evidence._sums`; images are the depth to trust (negative elsewhere), tolerance, quality and colour error."""
    scalars = np.stack([image.numpy().reshape(-1) for image in images[:3]], axis=1)
    errors, (fx, fy, cx, cy) = images[3].contiguous().numpy().reshape(-1, 3), view.K
    camera = np.array([fx, fy, cx - 0.5, cy - 0.5, images[0].shape[1], min_cosine])
    planes = np.empty((len(means_m), 4), np.float32)
    on_all_cores(_planes, means_m.contiguous().numpy(), quats_wxyz.contiguous().numpy(), *_arrays(view), planes)
    pairs = tuple(column.contiguous().numpy() for column in (trace.gaussians, trace.pixels, trace.weights))
    sums = np.zeros((TABLES, len(means_m), SUMS), np.float32)
    on_all_cores(_add_pairs, pairs, planes, camera, scalars, errors, sums, most=TABLES)
    return torch.from_numpy(sums.sum(axis=0))


def _arrays(view: View) -> tuple[np.ndarray, np.ndarray]:
    return np.array(view.R, np.float32).reshape(3, 3), np.array(view.t, np.float32)


@compiled(inline=True)
@no_type_check
def _normal(quats, i):
    """(unit quaternion, 1 / its length, normal in the world)."""
    w, x, y, z = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
    inverse = 1 / np.sqrt(max(w * w + x * x + y * y + z * z, 1e-24))
    w, x, y, z = w * inverse, x * inverse, y * inverse, z * inverse
    return (w, x, y, z), inverse, (2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y))


@compiled(inline=True)
@no_type_check
def _offset(means_m, i, t, n):
    return n[0] * (means_m[i, 0] - t[0]) + n[1] * (means_m[i, 1] - t[1]) + n[2] * (means_m[i, 2] - t[2])


@compiled()
@no_type_check
def _features(lane, num_lanes, means_m, quats, colors, R, t, features):
    for i in share_of(len(means_m), lane, num_lanes):
        _, _, n = _normal(quats, i)
        offset = _offset(means_m, i, t, n)
        toward = -1.0 if offset > 0 else 1.0
        for k in range(3):
            features[i, k] = colors[i, k]
            features[i, 3 + k] = toward * (R[k, 0] * n[0] + R[k, 1] * n[1] + R[k, 2] * n[2])
        features[i, 6] = toward * offset


@compiled()
@no_type_check
def _gradients(lane, num_lanes, means_m, quats, R, t, given, of_means, of_quats, of_colors):
    for i in share_of(len(means_m), lane, num_lanes):
        (w, x, y, z), inverse, n = _normal(quats, i)
        toward = -1.0 if _offset(means_m, i, t, n) > 0 else 1.0
        g, of_offset = given[i], given[i, 6] * toward
        for k in range(3):
            of_colors[i, k], of_means[i, k] = g[k], of_offset * n[k]
        g0 = toward * (R[0, 0] * g[3] + R[1, 0] * g[4] + R[2, 0] * g[5]) + of_offset * (means_m[i, 0] - t[0])
        g1 = toward * (R[0, 1] * g[3] + R[1, 1] * g[4] + R[2, 1] * g[5]) + of_offset * (means_m[i, 1] - t[1])
        g2 = toward * (R[0, 2] * g[3] + R[1, 2] * g[4] + R[2, 2] * g[5]) + of_offset * (means_m[i, 2] - t[2])
        of_w, of_x = 2 * (y * g0 - x * g1), 2 * (z * g0 - w * g1 - 2 * x * g2)
        of_y, of_z = 2 * (w * g0 + z * g1 - 2 * y * g2), 2 * (x * g0 + y * g1)
        radial = w * of_w + x * of_x + y * of_y + z * of_z
        of_quats[i, 0], of_quats[i, 1] = (of_w - w * radial) * inverse, (of_x - x * radial) * inverse
        of_quats[i, 2], of_quats[i, 3] = (of_y - y * radial) * inverse, (of_z - z * radial) * inverse


@compiled()
@no_type_check
def _planes(lane, num_lanes, means_m, quats, R, t, planes):
    """Normal in the camera and offset of every surfel's plane."""
    for i in share_of(len(means_m), lane, num_lanes):
        _, _, n = _normal(quats, i)
        planes[i, 3] = _offset(means_m, i, t, n)
        for k in range(3):
            planes[i, k] = R[k, 0] * n[0] + R[k, 1] * n[1] + R[k, 2] * n[2]


@compiled()
@no_type_check
def _add_pairs(lane, num_lanes, pairs, planes, camera, scalars, errors, sums):
    """Each lane sums its share of the pairs into a table of its own: no races, and the same bits every time."""
    gaussians, pixels, weights = pairs
    fx, fy, cx, cy, width, min_cosine = camera
    out = sums[lane]
    for pair in share_of(len(weights), lane, num_lanes):
        g, pixel = gaussians[pair], pixels[pair]
        ray_x, ray_y = (pixel % int(width) - cx) / fx, (pixel // int(width) - cy) / fy
        facing = planes[g, 0] * ray_x + planes[g, 1] * ray_y + planes[g, 2]
        cosine, observed_m = abs(facing) / np.sqrt(ray_x * ray_x + ray_y * ray_y + 1), scalars[pixel, 0]
        if cosine <= min_cosine or observed_m <= 0:
            continue
        weight, residual_m, tolerance_m = weights[pair], observed_m - planes[g, 3] / facing, scalars[pixel, 1]
        out[g, 0] += weight
        if residual_m > 2 * tolerance_m:
            out[g, 2] += weight
        if abs(residual_m) >= tolerance_m:
            continue
        e0, e1, e2 = errors[pixel, 0], errors[pixel, 1], errors[pixel, 2]
        out[g, 1] += weight
        out[g, 3] += weight * cosine * scalars[pixel, 2]
        out[g, 4] += weight * residual_m * facing
        out[g, 5] += weight * (e0 * e0 + e1 * e1 + e2 * e2)
        out[g, 6] += weight * e0
        out[g, 7] += weight * e1
        out[g, 8] += weight * e2
