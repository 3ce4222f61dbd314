"""What traced pairs say about their surfels, summed in one Triton launch. Imported only where tensors live on a GPU."""

from typing import no_type_check

import triton
import triton.language as tl
from jaxtyping import Float32
from torch import Tensor

from instascene_ros.core.rendering.contract import Trace
from instascene_ros.core.rendering.plane_kernels import plane
from instascene_ros.core.rendering.splats import View

BLOCK = 256
SUMS = 9


@triton.jit(do_not_specialize=["num_pairs"])
@no_type_check
def _evidence(
    gaussians, pixels, weights, num_pairs, means, quats, observed, tolerances, qualities, errors, sums, width,
    min_cosine, R0, R1, R2, R3, R4, R5, R6, R7, R8, t0, t1, t2, fx, fy, cx, cy, BLOCK: tl.constexpr, SUMS: tl.constexpr,
):  # fmt: skip
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = k < num_pairs
    row, pixel = tl.load(gaussians + k, ok, 0), tl.load(pixels + k, ok, 0)
    w, x, y, z, inverse, n0, n1, n2, c0, c1, c2, m0, m1, m2 = plane(
        means, quats, row, ok, R0, R1, R2, R3, R4, R5, R6, R7, R8, t0, t1, t2
    )
    # Pixel centres sit at half integers in a `View`.
    ray_x, ray_y = ((pixel % width).to(tl.float32) + 0.5 - cx) / fx, ((pixel // width).to(tl.float32) + 0.5 - cy) / fy
    facing = c0 * ray_x + c1 * ray_y + c2
    cosine = tl.abs(facing) / tl.sqrt(ray_x * ray_x + ray_y * ray_y + 1)
    told = cosine > min_cosine
    observed_m = tl.load(observed + pixel, ok, -1.0)  # negative: cannot be trusted
    residual = observed_m - (n0 * m0 + n1 * m1 + n2 * m2) / tl.where(told, facing, 1.0)
    looked = tl.where(ok & told & (observed_m > 0), tl.load(weights + k, ok, 0.0), 0.0)
    tolerance = tl.load(tolerances + pixel, ok, 0.0)
    agreed = tl.where(tl.abs(residual) < tolerance, looked, 0.0)
    out, some, agrees = sums + row * SUMS, looked > 0, agreed > 0
    e0, e1 = tl.load(errors + 3 * pixel, agrees, 0.0), tl.load(errors + 3 * pixel + 1, agrees, 0.0)
    e2 = tl.load(errors + 3 * pixel + 2, agrees, 0.0)
    tl.atomic_add(out, looked, some)
    tl.atomic_add(out + 1, agreed, agrees)
    tl.atomic_add(out + 2, looked, some & (residual > 2 * tolerance))
    tl.atomic_add(out + 3, agreed * cosine * tl.load(qualities + pixel, agrees, 0.0), agrees)
    tl.atomic_add(out + 4, agreed * residual * facing, agrees)
    tl.atomic_add(out + 5, agreed * (e0 * e0 + e1 * e1 + e2 * e2), agrees)
    tl.atomic_add(out + 6, agreed * e0, agrees)
    tl.atomic_add(out + 7, agreed * e1, agrees)
    tl.atomic_add(out + 8, agreed * e2, agrees)


def sums_of(
    trace: Trace,
    means_m: Float32[Tensor, "N 3"],
    quats_wxyz: Float32[Tensor, "N 4"],
    view: View,
    images: tuple[Tensor, ...],
    min_cosine: float,
) -> Float32[Tensor, "N 9"]:
    """See `evidence._sums`; images are the depth to trust (negative elsewhere), tolerance, quality and colour error."""
    sums = means_m.new_zeros(len(means_m), SUMS)
    images = tuple(image.contiguous() for image in images)
    width = images[0].shape[1]
    num_pairs = len(trace.weights)
    if num_pairs:
        _evidence[(triton.cdiv(num_pairs, BLOCK),)](
            trace.gaussians, trace.pixels, trace.weights, num_pairs, means_m.contiguous(), quats_wxyz.contiguous(),
            *images, sums, width, min_cosine, *view.R, *view.t, *view.K, BLOCK=BLOCK, SUMS=SUMS,
        )  # fmt: skip
    return sums
