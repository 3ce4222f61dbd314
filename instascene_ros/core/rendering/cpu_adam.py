"""CPU backend: one step of Adam on the rows that have a gradient. See `refinement.RowAdam`."""

from typing import no_type_check

import numpy as np
from torch import Tensor

from instascene_ros.core.rendering.cpu_jit import compiled, on_all_cores, share_of

_BETA_1, _BETA_2, _TINY = np.float32(0.9), np.float32(0.999), np.float32(1e-12)
_ONE = np.float32(1)


def step(
    columns: list[Tensor], gradients: list[Tensor], first: Tensor, second: Tensor, steps: Tensor, rates: list[float]
) -> None:
    """Change the columns (N rows each) and the moments ([N sum of their widths]) in place."""
    if any(not column.is_contiguous() for column in [*columns, first, second, steps]):
        raise ValueError("Adam changes its columns in place: they have to be contiguous")
    tables = tuple(_rows(column) for column in columns), tuple(_rows(gradient) for gradient in gradients)
    moments = first.numpy(), second.numpy(), steps.numpy()
    on_all_cores(_step, *tables, *moments, np.array(rates, np.float32))


def _rows(column: Tensor) -> np.ndarray:
    """[N width], sharing the column's memory."""
    table = column.detach().contiguous().numpy()
    return table[:, None] if table.ndim == 1 else table


@compiled()
@no_type_check
def _step(lane, num_lanes, columns, gradients, first, second, steps, rates):
    for i in share_of(len(steps), lane, num_lanes):
        touched = False
        for gradient in gradients:
            for k in range(gradient.shape[1]):
                touched = touched or gradient[i, k] != 0
        if not touched:
            continue
        steps[i] += _ONE
        scale_1, scale_2 = _ONE / (_ONE - _BETA_1 ** steps[i]), _ONE / (_ONE - _BETA_2 ** steps[i])
        at = 0
        for table in range(len(columns)):
            column, gradient, rate = columns[table], gradients[table], rates[table]
            for k in range(column.shape[1]):
                g = gradient[i, k]
                first[i, at] += (g - first[i, at]) * (_ONE - _BETA_1)
                second[i, at] += (g * g - second[i, at]) * (_ONE - _BETA_2)
                column[i, k] -= rate * (first[i, at] * scale_1) / (np.sqrt(second[i, at] * scale_2) + _TINY)
                at += 1
