"""CPU backend: rows of channels, eight at a time.

Written out so that the compiler makes one vector instruction of each step: unsigned indices, and every load before
the first store.
"""

from typing import no_type_check

import numpy as np

from instascene_ros.core.rendering.cpu_jit import compiled

LANES = 8  # rows are padded to a multiple of this

_U = np.uintp
_1, _2, _3, _4, _5, _6, _7 = _U(1), _U(2), _U(3), _U(4), _U(5), _U(6), _U(7)


@compiled(inline=True)
@no_type_check
def add_row(target: np.ndarray, i: int, weight: np.float32, source: np.ndarray, j: int) -> None:
    """target[i] += weight * source[j]."""
    i, j = _U(i), _U(j)
    for k in range(_U(0), _U(source.shape[1]), _U(LANES)):
        a = target[i, k] + weight * source[j, k]
        b = target[i, k + _1] + weight * source[j, k + _1]
        c = target[i, k + _2] + weight * source[j, k + _2]
        d = target[i, k + _3] + weight * source[j, k + _3]
        e = target[i, k + _4] + weight * source[j, k + _4]
        f = target[i, k + _5] + weight * source[j, k + _5]
        g = target[i, k + _6] + weight * source[j, k + _6]
        h = target[i, k + _7] + weight * source[j, k + _7]
        target[i, k], target[i, k + _1], target[i, k + _2], target[i, k + _3] = a, b, c, d
        target[i, k + _4], target[i, k + _5], target[i, k + _6], target[i, k + _7] = e, f, g, h


@compiled(inline=True)
@no_type_check
def dot_rows(left: np.ndarray, i: int, right: np.ndarray, j: int) -> np.float32:
    """left[i] . right[j]."""
    i, j = _U(i), _U(j)
    total = np.float32(0)
    for k in range(_U(0), _U(right.shape[1]), _U(LANES)):
        a = left[i, k] * right[j, k] + left[i, k + _4] * right[j, k + _4]
        b = left[i, k + _1] * right[j, k + _1] + left[i, k + _5] * right[j, k + _5]
        c = left[i, k + _2] * right[j, k + _2] + left[i, k + _6] * right[j, k + _6]
        d = left[i, k + _3] * right[j, k + _3] + left[i, k + _7] * right[j, k + _7]
        total += (a + c) + (b + d)
    return total
