"""State as named numpy columns: how every part of a scene is saved and restored.

Columns of one table share the name before the last dot and have the same number of rows; a number alone has none.
"""

import numpy as np
from jaxtyping import Shaped

Columns = dict[str, Shaped[np.ndarray, "..."]]


def prefixed(prefix: str, columns: Columns) -> Columns:
    """The columns of one part, named as part of a whole."""
    return {f"{prefix}.{name}": column for name, column in columns.items()}


def under(prefix: str, columns: Columns) -> Columns:
    """The columns of one part by their own names: undoes `prefixed`."""
    start = f"{prefix}."
    return {name.removeprefix(start): column for name, column in columns.items() if name.startswith(start)}


def checked(expected: Columns, found: Columns) -> Columns:
    """The columns that `expected` names, as found: those of an empty part are the schema of all such parts.

    Raises:
        ValueError: one is missing, of another type or row shape, or shorter than the others of its table.
    """
    rows_of: dict[str, dict[str, int]] = {}
    for name, like in expected.items():
        if name not in found:
            raise ValueError(f"column {name} is missing")
        column = found[name]
        if (column.dtype, column.ndim, column.shape[1:]) != (like.dtype, like.ndim, like.shape[1:]):
            raise ValueError(f"column {name} is {column.dtype}{list(column.shape)}; expected {like.dtype}{like.shape}")
        if column.ndim:
            rows_of.setdefault(name.rpartition(".")[0], {})[name] = len(column)
    for rows in rows_of.values():
        if len(set(rows.values())) > 1:
            raise ValueError(f"columns of different lengths: {rows}")
    return {name: found[name] for name in expected}
