"""CPU backend: the surface that blended features show, and the gradient of its distance to a target, pixel by pixel."""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from instascene_ros.core.rendering.cpu_jit import compiled, on_all_cores, share_of


def surface(
    image: Float32[Tensor, "H W 7"], alpha: Float32[Tensor, "H W"], rays: Float32[Tensor, "H W 3"], min_cosine: float
) -> tuple[Float32[Tensor, "H W 3"], Float32[Tensor, "H W"], Float32[Tensor, "H W 3"]]:
    """Colour, depth (m) and normal; see `render.surface_of`."""
    found = torch.empty_like(rays), torch.empty_like(alpha), torch.empty_like(rays)
    on_all_cores(_surface, *_flat(image, alpha, rays), *_flat(*found), min_cosine)
    return found


def loss_gradient(
    image: Float32[Tensor, "H W 7"],
    alpha: Float32[Tensor, "H W"],
    rays: Float32[Tensor, "H W 3"],
    targets: tuple[Tensor, ...],
    numbers: tuple[float, float, float, float],
) -> Float32[Tensor, "H W 7"]:
    """See `refinement.loss_gradient`: targets are rgb, gain, depth, normals, tolerance and usable pixels; numbers the
    smallest cosine and alpha and the weights of depth and normals."""
    rgb, gain, *others = targets
    gradient = torch.empty(image.shape)
    flat = _flat(image, alpha, rays), _flat(rgb, *others), gain.numpy(), numbers
    on_all_cores(_loss_gradient, *flat, *_flat(gradient))
    return gradient


def _flat(*images: Tensor) -> tuple[np.ndarray, ...]:
    """[H W C] as [HW C], sharing memory where it lies in order."""
    return tuple(image.contiguous().numpy().reshape(-1, *image.shape[2:]) for image in images)


@compiled(inline=True)
@no_type_check
def _depth(image, alpha, rays, i, min_cosine):
    """(cosine of the unnormalised normal and the ray, or -1; whether depth can be told; that depth, m)."""
    r0, r1, r2 = rays[i, 0], rays[i, 1], rays[i, 2]
    cosine = image[i, 3] * r0 + image[i, 4] * r1 + image[i, 5] * r2
    if cosine < -min_cosine * alpha[i] * np.sqrt(r0 * r0 + r1 * r1 + r2 * r2):
        return cosine, True, image[i, 6] / cosine
    return -1.0, False, 0.0


@compiled(inline=True)
@no_type_check
def _inverse_length(image, i):
    n0, n1, n2 = image[i, 3], image[i, 4], image[i, 5]
    return 1 / max(np.sqrt(n0 * n0 + n1 * n1 + n2 * n2), 1e-12)


@compiled()
@no_type_check
def _surface(lane, num_lanes, image, alpha, rays, rgb, depth_m, normal, min_cosine):
    for i in share_of(len(alpha), lane, num_lanes):
        _, _, depth_m[i] = _depth(image, alpha, rays, i, min_cosine)
        inverse = _inverse_length(image, i)
        for k in range(3):
            rgb[i, k], normal[i, k] = image[i, k], image[i, 3 + k] * inverse


@compiled()
@no_type_check
def _loss_gradient(lane, num_lanes, blended, targets, gain, numbers, gradient):
    (image, alpha, rays), (rgb, target_m, normals, tolerance_m, usable) = blended, targets
    min_cosine, min_alpha, depth_weight, normal_weight = numbers
    for i in share_of(len(alpha), lane, num_lanes):
        out = gradient[i]
        out[:] = 0
        if not (usable[i] and alpha[i] > min_alpha):
            continue
        for k in range(3):
            out[k] = np.sign(image[i, k] - rgb[i, k] * gain[k])
        cosine, seen, depth_m = _depth(image, alpha, rays, i, min_cosine)
        residual_m = depth_m - target_m[i]
        if abs(residual_m) >= 2 * tolerance_m[i]:
            continue
        out[6] = depth_weight * np.sign(residual_m) / cosine if seen else 0.0
        slope, inverse = -out[6] * image[i, 6] / cosine, _inverse_length(image, i)
        n0, n1, n2 = image[i, 3] * inverse, image[i, 4] * inverse, image[i, 5] * inverse
        along = n0 * normals[i, 0] + n1 * normals[i, 1] + n2 * normals[i, 2]
        pull = normal_weight * inverse
        out[3] = slope * rays[i, 0] - pull * (normals[i, 0] - n0 * along)
        out[4] = slope * rays[i, 1] - pull * (normals[i, 1] - n1 * along)
        out[5] = slope * rays[i, 2] - pull * (normals[i, 2] - n2 * along)
