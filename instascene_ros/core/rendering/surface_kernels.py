"""Triton kernels over pixels: the surface that blended features show, and the gradient of its distance to a target.

One launch each. Imported only where tensors live on a GPU: Triton comes with torch for CUDA.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float32
from torch import Tensor

BLOCK = 256


@triton.jit
@no_type_check
def _blended(image, rays, alphas, i, ok, min_cosine):
    """Normal (unnormalised), offset, ray, their cosine, whether depth can be told, and that depth."""
    n0, n1 = tl.load(image + 7 * i + 3, ok, 0.0), tl.load(image + 7 * i + 4, ok, 0.0)
    n2, offset = tl.load(image + 7 * i + 5, ok, 0.0), tl.load(image + 7 * i + 6, ok, 0.0)
    r0, r1, r2 = tl.load(rays + 3 * i, ok, 0.0), tl.load(rays + 3 * i + 1, ok, 0.0), tl.load(rays + 3 * i + 2, ok, 1.0)
    cosine = n0 * r0 + n1 * r1 + n2 * r2
    seen = cosine < -min_cosine * tl.load(alphas + i, ok, 0.0) * tl.sqrt(r0 * r0 + r1 * r1 + r2 * r2)
    cosine = tl.where(seen, cosine, -1.0)
    return n0, n1, n2, offset, r0, r1, r2, cosine, seen, tl.where(seen, offset / cosine, 0.0)


@triton.jit(do_not_specialize=["num_pixels"])
@no_type_check
def _surface(image, alphas, rays, rgb, depth, normal, num_pixels, min_cosine, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = i < num_pixels
    n0, n1, n2, offset, r0, r1, r2, cosine, seen, depth_m = _blended(image, rays, alphas, i, ok, min_cosine)
    inverse = 1 / tl.maximum(tl.sqrt(n0 * n0 + n1 * n1 + n2 * n2), 1e-12)
    tl.store(depth + i, depth_m, ok)
    tl.store(normal + 3 * i, n0 * inverse, ok)
    tl.store(normal + 3 * i + 1, n1 * inverse, ok)
    tl.store(normal + 3 * i + 2, n2 * inverse, ok)
    tl.store(rgb + 3 * i, tl.load(image + 7 * i, ok, 0.0), ok)
    tl.store(rgb + 3 * i + 1, tl.load(image + 7 * i + 1, ok, 0.0), ok)
    tl.store(rgb + 3 * i + 2, tl.load(image + 7 * i + 2, ok, 0.0), ok)


@triton.jit
@no_type_check
def _sign(x):
    return tl.where(x > 0, 1.0, tl.where(x < 0, -1.0, 0.0))


@triton.jit(do_not_specialize=["num_pixels"])
@no_type_check
def _loss_gradient(
    image, alphas, rays, target_rgb, gains, target_m, target_normals, tolerances, usable, gradient, num_pixels,
    min_cosine, min_alpha, depth_weight, normal_weight, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = i < num_pixels
    n0, n1, n2, offset, r0, r1, r2, cosine, seen, depth_m = _blended(image, rays, alphas, i, ok, min_cosine)
    covered = ok & (tl.load(usable + i, ok, 0) != 0) & (tl.load(alphas + i, ok, 0.0) > min_alpha)
    out = gradient + 7 * i
    for c in tl.static_range(3):
        wanted = tl.load(target_rgb + 3 * i + c, ok, 0.0) * tl.load(gains + c)
        tl.store(out + c, tl.where(covered, _sign(tl.load(image + 7 * i + c, ok, 0.0) - wanted), 0.0), ok)
    residual = depth_m - tl.load(target_m + i, ok, 0.0)
    near = covered & (tl.abs(residual) < 2 * tl.load(tolerances + i, ok, 0.0))
    of_offset = tl.where(near & seen, depth_weight * _sign(residual) / cosine, 0.0)
    slope = -of_offset * offset / cosine
    w0, w1 = tl.load(target_normals + 3 * i, ok, 0.0), tl.load(target_normals + 3 * i + 1, ok, 0.0)
    w2 = tl.load(target_normals + 3 * i + 2, ok, 0.0)
    inverse = 1 / tl.maximum(tl.sqrt(n0 * n0 + n1 * n1 + n2 * n2), 1e-12)
    n0, n1, n2 = n0 * inverse, n1 * inverse, n2 * inverse
    along = n0 * w0 + n1 * w1 + n2 * w2
    pull = tl.where(near, normal_weight * inverse, 0.0)  # a missing target normal is zero, and so is `along`
    tl.store(out + 3, slope * r0 - pull * (w0 - n0 * along), ok)
    tl.store(out + 4, slope * r1 - pull * (w1 - n1 * along), ok)
    tl.store(out + 5, slope * r2 - pull * (w2 - n2 * along), ok)
    tl.store(out + 6, of_offset, ok)


def surface(
    image: Float32[Tensor, "H W 7"], alpha: Float32[Tensor, "H W"], rays: Float32[Tensor, "H W 3"], min_cosine: float
) -> tuple[Float32[Tensor, "H W 3"], Float32[Tensor, "H W"], Float32[Tensor, "H W 3"]]:
    """Colour, depth (m) and normal; see `render.surface_of`."""
    rgb, depth_m, normal = torch.empty_like(rays), torch.empty_like(alpha), torch.empty_like(rays)
    num_pixels = alpha.numel()
    _surface[(triton.cdiv(num_pixels, BLOCK),)](
        image.contiguous(), alpha.contiguous(), rays, rgb, depth_m, normal, num_pixels, min_cosine, BLOCK=BLOCK
    )
    return rgb, depth_m, normal


def loss_gradient(
    image: Float32[Tensor, "H W 7"],
    alpha: Float32[Tensor, "H W"],
    rays: Float32[Tensor, "H W 3"],
    targets: tuple[Tensor, ...],
    numbers: tuple[float, float, float, float],
) -> Float32[Tensor, "H W 7"]:
    """See `refinement.loss_gradient`: targets are rgb, gain, depth, normals, tolerance and usable pixels; numbers the
    smallest cosine and alpha and the weights of depth and normals."""
    gradient = torch.empty(image.shape, device=image.device)
    targets = tuple(target.contiguous() for target in targets)
    *first, usable = targets
    num_pixels = alpha.numel()
    _loss_gradient[(triton.cdiv(num_pixels, BLOCK),)](
        image.contiguous(), alpha.contiguous(), rays, *first, usable.view(torch.uint8), gradient, num_pixels, *numbers,
        BLOCK=BLOCK,
    )  # fmt: skip
    return gradient
