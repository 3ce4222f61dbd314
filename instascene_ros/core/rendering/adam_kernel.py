"""One step of row-wise Adam as one Triton launch. Imported only where tensors live on a GPU."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float32
from torch import Tensor

BLOCK = 128
_LOG_BETA_1, _LOG_BETA_2 = tl.constexpr(-0.10536051565782628), tl.constexpr(-0.0010005003335835335)  # of 0.9 and 0.999


@triton.jit
@no_type_check
def _any(gradient, i, ok, WIDTH: tl.constexpr):
    found = i < 0
    for c in tl.static_range(WIDTH):
        found = found | (tl.load(gradient + WIDTH * i + c, ok, 0.0) != 0)
    return found


@triton.jit
@no_type_check
def _descend(
    column, gradient, first, second, i, touched, scale_1, scale_2, rate, START: tl.constexpr, WIDTH: tl.constexpr,
    TOTAL: tl.constexpr,
):  # fmt: skip
    for c in tl.static_range(WIDTH):
        at = TOTAL * i + START + c
        g = tl.load(gradient + WIDTH * i + c, touched, 0.0)
        m = 0.9 * tl.load(first + at, touched, 0.0) + 0.1 * g
        v = 0.999 * tl.load(second + at, touched, 0.0) + 0.001 * g * g
        tl.store(first + at, m, touched)
        tl.store(second + at, v, touched)
        x = tl.load(column + WIDTH * i + c, touched, 0.0)
        tl.store(column + WIDTH * i + c, x - rate * m * scale_1 / (tl.sqrt(v * scale_2) + 1e-12), touched)


@triton.jit(do_not_specialize=["n"])
@no_type_check
def _step(
    means, quats, log_scales, logits, colors, of_means, of_quats, of_log_scales, of_logits, of_colors,
    first, second, steps, n, rate_means, rate_quats, rate_scales, rate_logits, rate_colors, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = i < n
    touched = _any(of_means, i, ok, 3) | _any(of_quats, i, ok, 4) | _any(of_log_scales, i, ok, 2)
    touched = ok & (touched | _any(of_logits, i, ok, 1) | _any(of_colors, i, ok, 3))
    count = tl.load(steps + i, touched, 0.0) + 1
    tl.store(steps + i, count, touched)
    scale_1, scale_2 = 1 / (1 - tl.exp(count * _LOG_BETA_1)), 1 / (1 - tl.exp(count * _LOG_BETA_2))
    _descend(means, of_means, first, second, i, touched, scale_1, scale_2, rate_means, 0, 3, 13)
    _descend(quats, of_quats, first, second, i, touched, scale_1, scale_2, rate_quats, 3, 4, 13)
    _descend(log_scales, of_log_scales, first, second, i, touched, scale_1, scale_2, rate_scales, 7, 2, 13)
    _descend(logits, of_logits, first, second, i, touched, scale_1, scale_2, rate_logits, 9, 1, 13)
    _descend(colors, of_colors, first, second, i, touched, scale_1, scale_2, rate_colors, 10, 3, 13)


def step(
    columns: list[Tensor],
    gradients: list[Tensor],
    first: Float32[Tensor, "N 13"],
    second: Float32[Tensor, "N 13"],
    steps: Float32[Tensor, " N"],
    rates: list[float],
) -> None:
    """Change the columns (means, quats, log_scales, opacity_logits, colors) and the moments in place."""
    if any(not column.is_contiguous() for column in [*columns, first, second, steps]):
        raise ValueError("Adam changes its columns in place: they have to be contiguous")
    gradients = [gradient.contiguous() for gradient in gradients]
    n = len(steps)
    with torch.no_grad():
        _step[(triton.cdiv(n, BLOCK),)](*columns, *gradients, first, second, steps, n, *rates, BLOCK=BLOCK)
