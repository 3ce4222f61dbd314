"""Triton kernels of the gsplat backend: blend any features in one pass over the tiles, and trace while blending.

One program a tile, its surfels near to far, all pixels of the tile at once. gsplat's own kernels stay for the gradient.
Every pixel has slots for its heavy pairs, at most nine at the usual threshold of 0.1; a second, small kernel closes
their ranks. Imported only with the backend: Triton comes with torch for CUDA.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float32, Int32, Int64
from torch import Tensor

from instascene_ros.core.rendering.contract import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE, Trace
from instascene_ros.core.rendering.splats import Splats

BLOCK = 256
FIRST_ROOM = 16  # pairs a pixel at first; blended again with more room where that is too little
LOOK_EVERY = 16  # surfels between two looks at whether all rays of the tile have stopped
_MAX_ALPHA, _MIN_ALPHA = tl.constexpr(MAX_ALPHA), tl.constexpr(MIN_ALPHA)
_MIN_TRANSMITTANCE, _LOOK_EVERY = tl.constexpr(MIN_TRANSMITTANCE), tl.constexpr(LOOK_EVERY)


@triton.jit
@no_type_check
def _surfel(rays, centers, opacities, row):
    """Ray transform row by row, centre and opacity."""
    ray, center = rays + 9 * row, centers + 2 * row
    return (
        tl.load(ray), tl.load(ray + 1), tl.load(ray + 2), tl.load(ray + 3), tl.load(ray + 4), tl.load(ray + 5),
        tl.load(ray + 6), tl.load(ray + 7), tl.load(ray + 8), tl.load(center), tl.load(center + 1),
        tl.load(opacities + row),
    )  # fmt: skip


@triton.jit
@no_type_check
def _alpha_of(x, y, a0, a1, a2, b0, b1, b2, w0, w1, w2, center_x, center_y, opacity):
    """Alpha of one surfel at pixels (x, y): 2DGS ray-disc intersection (Huang et al. 2024, Eq. 8-11)."""
    dx, dy = x - center_x, y - center_y
    h0, h1, h2 = x * w0 - a0, x * w1 - a1, x * w2 - a2
    k0, k1, k2 = y * w0 - b0, y * w1 - b1, y * w2 - b2
    hit_x, hit_y, hit_z = h1 * k2 - h2 * k1, h2 * k0 - h0 * k2, h0 * k1 - h1 * k0
    parallel = hit_z == 0
    hit_z = tl.where(parallel, 1.0, hit_z)
    disc = tl.where(parallel, float("inf"), (hit_x * hit_x + hit_y * hit_y) / (hit_z * hit_z))
    rho = tl.minimum(disc, 2 * (dx * dx + dy * dy))
    alpha = tl.minimum(opacity * tl.exp(-0.5 * rho), _MAX_ALPHA)
    return tl.where(alpha < _MIN_ALPHA, 0.0, alpha)


@triton.jit
@no_type_check
def _blend(
    rays, centers, opacities, features, flat_ids, offsets, image, alphas, counts, slot_ids, slot_weights,
    width, height, across, num_channels, room, min_weight, TILE: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    tile, p, c = tl.program_id(0), tl.arange(0, TILE * TILE), tl.arange(0, CHANNELS)
    u, v = (tile % across) * TILE + p % TILE, (tile // across) * TILE + p // TILE
    inside, pixel, num_pixels = (u < width) & (v < height), v * width + u, width * height
    x, y = u + 0.5, v + 0.5
    T, going = tl.full([TILE * TILE], 1.0, tl.float32), inside
    blended = tl.zeros([TILE * TILE, CHANNELS], tl.float32)
    found = tl.zeros([TILE * TILE], tl.int32)
    entry, end = tl.load(offsets + tile), tl.load(offsets + tile + 1)
    # The next surfel is fetched while this one is blended: its address has to be fetched first.
    row = tl.load(flat_ids + entry, entry < end, 0).to(tl.int64)
    a0, a1, a2, b0, b1, b2, w0, w1, w2, cx, cy, opacity = _surfel(rays, centers, opacities, row)
    while entry < end:
        alpha = _alpha_of(x, y, a0, a1, a2, b0, b1, b2, w0, w1, w2, cx, cy, opacity)
        color, this = tl.load(features + row * num_channels + c, mask=c < num_channels, other=0.0), row
        row = tl.load(flat_ids + entry + 1, entry + 1 < end, 0).to(tl.int64)
        a0, a1, a2, b0, b1, b2, w0, w1, w2, cx, cy, opacity = _surfel(rays, centers, opacities, row)
        going = going & (T * (1 - alpha) > _MIN_TRANSMITTANCE)
        weight = tl.where(going, alpha * T, 0.0)
        T = T - weight
        blended += weight[:, None] * color[None]
        heavy = weight > min_weight
        slot = found.to(tl.int64) * num_pixels + pixel
        tl.store(slot_ids + slot, tl.zeros_like(pixel) + this.to(tl.int32), mask=heavy & (found < room))
        tl.store(slot_weights + slot, weight, mask=heavy & (found < room))
        found += heavy.to(tl.int32)
        entry += 1
        if entry % _LOOK_EVERY == 0:  # noqa: SIM102  (Triton's `and` would evaluate both)
            if tl.max(going.to(tl.int32)) == 0:
                entry = end
    tl.store(image + pixel[:, None] * num_channels + c, blended, mask=inside[:, None] & (c < num_channels)[None])
    tl.store(alphas + pixel, 1 - T, mask=inside)
    tl.store(counts + pixel, found, mask=inside)


@triton.jit(do_not_specialize=["num_pixels"])
@no_type_check
def _close_ranks(
    slot_ids, slot_weights, counts, ends, gaussians, pixels, weights, num_pixels, BLOCK: tl.constexpr
):  # fmt: skip
    """Pairs from their slots into one list, pixel by pixel, near to far."""
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = pixel < num_pixels
    count = tl.load(counts + pixel, ok, 0)
    first = tl.load(ends + pixel, ok, 0) - count
    k = 0
    while k < tl.max(count):
        used = k < count
        slot = pixel.to(tl.int64) + k * num_pixels
        tl.store(gaussians + first + k, tl.load(slot_ids + slot, used, 0).to(tl.int64), used)
        tl.store(pixels + first + k, pixel.to(tl.int64), used)
        tl.store(weights + first + k, tl.load(slot_weights + slot, used, 0.0), used)
        k += 1


def blend(
    splats: Splats,
    features: Float32[Tensor, "N C"],
    flat_ids: Int32[Tensor, " E"],
    offsets: Int32[Tensor, " T"],
    size: tuple[int, int],
    tile_px: int,
    min_trace_weight: float | None,
) -> tuple[Float32[Tensor, "H W C"], Float32[Tensor, "H W"], Trace | None]:
    """Blended features, alpha and trace. `offsets` has one entry more than there are tiles; `size` is (H, W), px."""
    height, width = size
    num_channels, device = features.shape[1], features.device
    image, alpha = features.new_empty(height, width, num_channels), features.new_empty(height, width)
    counts = torch.empty(height * width, dtype=torch.int32, device=device)
    room = 0 if min_trace_weight is None else min(FIRST_ROOM, int(1 / min_trace_weight))
    while True:
        slot_ids = torch.empty(room, height * width, dtype=torch.int32, device=device)
        slot_weights = features.new_empty(room, height * width)
        _blend[(len(offsets) - 1,)](
            splats.ray_transforms, splats.centers_px, splats.opacities, features, flat_ids, offsets,
            image, alpha, counts, slot_ids, slot_weights, width, height, -(-width // tile_px), num_channels, room,
            2.0 if min_trace_weight is None else min_trace_weight,
            TILE=tile_px, CHANNELS=triton.next_power_of_2(num_channels),
        )  # fmt: skip
        if min_trace_weight is None:
            return image, alpha, None
        ends = counts.cumsum(0)
        num_pairs, most = torch.stack([ends[-1], counts.max()]).tolist()  # the one wait for the device
        if most <= room:
            return image, alpha, _trace(slot_ids, slot_weights, counts, ends, num_pairs)
        room = most


def _trace(
    slot_ids: Int32[Tensor, "K P"],
    slot_weights: Float32[Tensor, "K P"],
    counts: Int32[Tensor, " P"],
    ends: Int64[Tensor, " P"],
    num_pairs: int,
) -> Trace:
    gaussians, pixels = (torch.empty(num_pairs, dtype=torch.int64, device=counts.device) for _ in range(2))
    weights = slot_weights.new_empty(num_pairs)
    _close_ranks[(triton.cdiv(len(counts), BLOCK),)](
        slot_ids, slot_weights, counts, ends, gaussians, pixels, weights, len(counts), BLOCK=BLOCK
    )
    return Trace(gaussians, pixels, weights)
