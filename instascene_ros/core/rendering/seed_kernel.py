"""New surfels on pixels as one Triton launch. Imported only where tensors live on a GPU."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Int64
from torch import Tensor

from instascene_ros.core.rendering.splats import View
from instascene_ros.core.rendering.surfel_kernels import in_camera

BLOCK = 128


@triton.jit
@no_type_check
def _to_world(x, y, z, R0, R1, R2, R3, R4, R5, R6, R7, R8):
    """`R` takes the world to the camera; its transpose goes back."""
    return in_camera(x, y, z, R0, R3, R6, R1, R4, R7, R2, R5, R8)


@triton.jit
@no_type_check
def _quaternion(a0, a1, a2, b0, b1, b2, n0, n1, n2):
    """Of the rotation with these columns: the column of 4 q q^T with the largest diagonal (Shepperd, 1978)."""
    ww, xx, yy, zz = 1 + a0 + b1 + n2, 1 + a0 - b1 - n2, 1 - a0 + b1 - n2, 1 - a0 - b1 + n2
    wx, wy, wz = b2 - n1, n0 - a2, a1 - b0
    xy, xz, yz = b0 + a1, n0 + a2, n1 + b2
    most = tl.maximum(tl.maximum(ww, xx), tl.maximum(yy, zz))
    is_w, is_x, is_y = ww == most, (xx == most) & (ww != most), (yy == most) & (ww != most) & (xx != most)
    w = tl.where(is_w, ww, tl.where(is_x, wx, tl.where(is_y, wy, wz)))
    x = tl.where(is_w, wx, tl.where(is_x, xx, tl.where(is_y, xy, xz)))
    y = tl.where(is_w, wy, tl.where(is_x, xy, tl.where(is_y, yy, yz)))
    z = tl.where(is_w, wz, tl.where(is_x, xz, tl.where(is_y, yz, zz)))
    inverse = 1 / tl.sqrt(tl.maximum(w * w + x * x + y * y + z * z, 1e-24))
    return w * inverse, x * inverse, y * inverse, z * inverse


@triton.jit(do_not_specialize=["num_pixels"])
@no_type_check
def _place(
    pixels, depths, normals, reaches, rgb, gains, means, quats, scales, colors, confidence, num_pixels, width,
    coverage, min_cosine, noise, noise_quadratic,
    R0, R1, R2, R3, R4, R5, R6, R7, R8, t0, t1, t2, fx, fy, cx, cy, BLOCK: tl.constexpr,
):  # fmt: skip
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = k < num_pixels
    pixel = tl.load(pixels + k, ok, 0)
    depth = tl.load(depths + pixel, ok, 1.0)
    # Pixel centres sit at half integers in a `View`.
    r0, r1 = ((pixel % width).to(tl.float32) + 0.5 - cx) / fx, ((pixel // width).to(tl.float32) + 0.5 - cy) / fy
    n0, n1 = tl.load(normals + 3 * pixel, ok, 0.0), tl.load(normals + 3 * pixel + 1, ok, 0.0)
    n2 = tl.load(normals + 3 * pixel + 2, ok, -1.0)
    length = tl.sqrt(r0 * r0 + r1 * r1 + 1)
    v0, v1, v2 = r0 / length, r1 / length, 1 / length
    facing = v0 * n0 + v1 * n1 + v2 * n2
    a0, a1, a2 = v0 - facing * n0, v1 - facing * n1, v2 - facing * n2
    slant = tl.sqrt(a0 * a0 + a1 * a1 + a2 * a2)
    # Seen head-on, any direction within the surface will do.
    flat, along_x = slant <= 1e-3, tl.abs(n0) < 0.9
    a0 = tl.where(flat, tl.where(along_x, 0.0, -n1), a0)
    a1 = tl.where(flat, tl.where(along_x, n2, n0), a1)
    a2 = tl.where(flat, tl.where(along_x, -n1, 0.0), a2)
    inverse = 1 / tl.maximum(tl.sqrt(a0 * a0 + a1 * a1 + a2 * a2), 1e-12)
    a0, a1, a2 = a0 * inverse, a1 * inverse, a2 * inverse
    b0, b1, b2 = n1 * a2 - n2 * a1, n2 * a0 - n0 * a2, n0 * a1 - n1 * a0
    cosine = tl.minimum(tl.maximum(-facing, min_cosine), 1.0)
    m0, m1, m2 = _to_world(r0 * depth, r1 * depth, depth, R0, R1, R2, R3, R4, R5, R6, R7, R8)
    tl.store(means + 3 * k, m0 + t0, ok)
    tl.store(means + 3 * k + 1, m1 + t1, ok)
    tl.store(means + 3 * k + 2, m2 + t2, ok)
    a0, a1, a2 = _to_world(a0, a1, a2, R0, R1, R2, R3, R4, R5, R6, R7, R8)
    b0, b1, b2 = _to_world(b0, b1, b2, R0, R1, R2, R3, R4, R5, R6, R7, R8)
    n0, n1, n2 = _to_world(n0, n1, n2, R0, R1, R2, R3, R4, R5, R6, R7, R8)
    w, x, y, z = _quaternion(a0, a1, a2, b0, b1, b2, n0, n1, n2)
    tl.store(quats + 4 * k, w, ok)
    tl.store(quats + 4 * k + 1, x, ok)
    tl.store(quats + 4 * k + 2, y, ok)
    tl.store(quats + 4 * k + 3, z, ok)
    spacing = tl.load(reaches + pixel, ok, 1.0) * coverage * depth / fx
    tl.store(scales + 2 * k, spacing / cosine, ok)
    tl.store(scales + 2 * k + 1, spacing, ok)
    for c in tl.static_range(3):
        color = tl.load(rgb + 3 * pixel + c, ok, 0.0) * tl.load(gains + c)
        tl.store(colors + 3 * k + c, tl.minimum(color, 1.0), ok)
    quality = (noise + noise_quadratic) / tl.maximum(noise + noise_quadratic * depth * depth, 1e-6)  # 1 at a metre
    tl.store(confidence + k, quality * quality * cosine, ok)


def placed(
    pixels: Int64[Tensor, " P"], images: tuple[Tensor, ...], view: View, numbers: tuple[float, ...]
) -> tuple[Tensor, ...]:
    """See `seeding._placed`. Images are depth, normals (camera), reach in px and colours, then the colours' gains."""
    n, width = len(pixels), images[0].shape[1]
    out = tuple(torch.empty(n, *size, device=pixels.device) for size in ((3,), (4,), (2,), (3,), ()))
    if n:
        images = tuple(image.contiguous() for image in images)
        _place[(triton.cdiv(n, BLOCK),)](
            pixels, *images, *out, n, width, *numbers, *view.R, *view.t, *view.K, BLOCK=BLOCK
        )
    return out
