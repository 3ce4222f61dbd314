"""Small compact patches of one surface and one colour, and how neighbouring patches meet."""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8
from numba import njit

from instascene_ros.models.surface import Surface

ITERATIONS = 3
FRAGMENT_SHARE = 5  # a part below this fraction (1/n) of a full patch joins a neighbour


@dataclass(frozen=True)
class Superpixels:
    """Patches of the foreground: labels and the mean of each patch."""

    labels: Int32[np.ndarray, "H W"]  # 0 none, 1..S
    pixels: Int32[np.ndarray, " S"]
    points_m: Float32[np.ndarray, "S 3"]
    normals: Float32[np.ndarray, "S 3"]
    lab: Float32[np.ndarray, "S 3"]


def lab_of_rgb(rgb: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "H W 3"]:
    """CIE L*a*b* (D65) of sRGB."""
    srgb = np.arange(256) / 255.0
    linear = np.where(srgb > 0.04045, ((srgb + 0.055) / 1.055) ** 2.4, srgb / 12.92).astype(np.float32)[rgb]
    to_xyz = np.array([[0.4339, 0.3762, 0.1899], [0.2126, 0.7152, 0.0722], [0.0178, 0.1095, 0.8728]], np.float32)
    xyz = linear @ to_xyz.T  # relative to the white point
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def superpixels_of(
    surface: Surface, lab: Float32[np.ndarray, "H W 3"], foreground: Bool[np.ndarray, "H W"], step_px: int
) -> Superpixels:
    """SLIC (Achanta et al. 2012) on `foreground`; beside colour and position, distance from the patch's tangent plane
    and the turn of the normal tell patches apart. Patches are connected."""
    height, width = foreground.shape
    v, u = np.meshgrid(np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32), indexing="ij")
    features = np.concatenate([np.stack([u, v], -1), surface.points_m, surface.normals, lab], axis=-1)
    columns = -(-width // step_px)
    cells = (v.astype(np.int32) // step_px) * columns + u.astype(np.int32) // step_px
    labels = np.where(foreground, cells + 1, 0).astype(np.int32)
    count = columns * -(-height // step_px)
    for _ in range(ITERATIONS):
        means, _ = _means(labels, features, count)
        _assign(labels, features, surface.sigma_m, means, cells, np.array([step_px, columns, count]))
    labels, count = _connected(labels)
    means, pixels = _means(labels, features, count)
    _absorb(labels, features, surface.sigma_m, means, pixels, step_px)
    labels, count = _connected(labels)
    means, pixels = _means(labels, features, count)
    normals = means[:, 5:8] / np.maximum(np.linalg.norm(means[:, 5:8], axis=-1, keepdims=True), 1e-6)
    return Superpixels(labels, pixels, means[:, 2:5].copy(), normals, means[:, 8:11].copy())


@njit(cache=True)
@no_type_check
def _means(labels, features, count):
    """Mean of the features [count F] and pixels [count] of labels 1..count."""
    height, width, depth = features.shape
    sums = np.zeros((count, depth), np.float32)
    pixels = np.zeros(count, np.int32)
    for v in range(height):
        for u in range(width):
            label = labels[v, u] - 1
            if label >= 0:
                pixels[label] += 1
                for f in range(depth):
                    sums[label, f] += features[v, u, f]
    for label in range(count):
        if pixels[label] > 0:
            sums[label] /= pixels[label]
        else:
            sums[label, 0] = np.inf  # so that no pixel joins it
    return sums, pixels


@njit(cache=True)
@no_type_check
def _assign(labels, features, sigma_m, means, cells, grid):
    """Give every foreground pixel to the nearest of the nine patches born around it."""
    height, width = labels.shape
    step, columns, count = grid
    for v in range(height):
        for u in range(width):
            if labels[v, u] == 0:
                continue
            best, label = np.inf, labels[v, u]
            home = cells[v, u]
            for row in (-1, 0, 1):
                for column in (-1, 0, 1):
                    x = home % columns + column
                    other = home + row * columns + column
                    if x < 0 or x >= columns or other < 0 or other >= count or not np.isfinite(means[other, 0]):
                        continue
                    distance = _distance(features[v, u], means[other], sigma_m[v, u], step)
                    if distance < best:
                        best, label = distance, other + 1
            labels[v, u] = label


@njit(cache=True, inline="always")
@no_type_check
def _distance(pixel, mean, sigma_m, step):
    """Squared, in units of a patch's width, its depth noise, half a radian and 15 units of Lab."""
    position = ((pixel[0] - mean[0]) ** 2 + (pixel[1] - mean[1]) ** 2) / (step * step)
    off = ((pixel[2] - mean[2]) * mean[5] + (pixel[3] - mean[3]) * mean[6] + (pixel[4] - mean[4]) * mean[7]) / (
        2 * sigma_m + 1e-6
    )
    turn = ((pixel[5] - mean[5]) ** 2 + (pixel[6] - mean[6]) ** 2 + (pixel[7] - mean[7]) ** 2) * 4
    color = ((pixel[8] - mean[8]) ** 2 + (pixel[9] - mean[9]) ** 2 + (pixel[10] - mean[10]) ** 2) / 225
    return position + min(off * off, 9.0) + turn + color


@njit(cache=True)
@no_type_check
def _connected(labels):
    """4-connected parts of equal label, numbered from 1 in reading order, and their count."""
    height, width = labels.shape
    parts = np.zeros_like(labels)
    stack = np.empty(height * width, np.int64)
    count = 0
    for start in range(height * width):
        if labels.flat[start] == 0 or parts.flat[start] != 0:
            continue
        count += 1
        parts.flat[start] = count
        stack[0], top = start, 1
        while top > 0:
            top -= 1
            v, u = stack[top] // width, stack[top] % width
            for y, x in ((v - 1, u), (v + 1, u), (v, u - 1), (v, u + 1)):
                if 0 <= y < height and 0 <= x < width and parts[y, x] == 0 and labels[y, x] == labels[v, u]:
                    parts[y, x] = count
                    stack[top] = y * width + x
                    top += 1
    return parts, count


@njit(cache=True)
@no_type_check
def _absorb(labels, features, sigma_m, means, pixels, step):
    """Give the pixels of fragments to the most similar patch beside them, from the patch inwards."""
    height, width = labels.shape
    least = step * step // FRAGMENT_SHARE
    for _ in range(3):
        before = labels.copy()
        for v in range(height):
            for u in range(width):
                label = before[v, u]
                if label == 0 or pixels[label - 1] >= least:
                    continue
                best = np.inf
                for y, x in ((v - 1, u), (v + 1, u), (v, u - 1), (v, u + 1)):
                    if not (0 <= y < height and 0 <= x < width):
                        continue
                    other = before[y, x]
                    if other == 0 or pixels[other - 1] < least:
                        continue
                    distance = _distance(features[v, u], means[other - 1], sigma_m[v, u], step)
                    if distance < best:
                        best = distance
                        labels[v, u] = other
