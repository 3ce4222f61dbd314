"""Values of an image continued into its holes from what lies around them."""

import numpy as np
from jaxtyping import Bool, Float64
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve


def continued(
    values: Float64[np.ndarray, "H W"], known: Bool[np.ndarray, "H W"], hole: Bool[np.ndarray, "H W"]
) -> Float64[np.ndarray, "H W"]:
    """`values` with `hole` filled by the smoothest continuation (Laplace's equation) of the `known` pixels beside it.

    Pixels that are neither known nor hole have no say. A hole without a known pixel beside it becomes NaN. The inverse
    depth of a plane is linear in the pixel, and linear values are continued exactly.
    """
    region, count = ndimage.label(hole)
    touched = np.unique(region[hole & ndimage.binary_dilation(known)])
    solved = hole & np.isin(region, touched)
    filled = np.where(hole, np.nan, values)
    if count == 0 or not solved.any():
        return filled
    rows = np.full(hole.shape, -1)
    rows[solved] = np.arange(solved.sum())
    diagonal, right = np.zeros(solved.sum()), np.zeros(solved.sum())
    links = []
    for axis in (0, 1):
        for step in (-1, 1):
            other = _shifted(rows, step, axis, -1)
            value = _shifted(np.where(known, values, np.nan), step, axis, np.nan)
            inner = solved & (other >= 0)
            border = solved & ~inner & ~np.isnan(value)
            links.append(np.stack([rows[inner], other[inner]]))
            np.add.at(diagonal, rows[inner | border], 1.0)
            np.add.at(right, rows[border], value[border])
    pairs = np.concatenate(links, axis=1)
    matrix = sparse.coo_matrix((-np.ones(pairs.shape[1]), pairs), (len(right), len(right))) + sparse.diags(diagonal)
    filled[solved] = spsolve(matrix.tocsc(), right)
    return filled


def _shifted(image: np.ndarray, step: int, axis: int, outside: float) -> np.ndarray:
    """The neighbour of every pixel, `step` away along an axis."""
    moved = np.roll(image, -step, axis)
    edge = [slice(None), slice(None)]
    edge[axis] = slice(-1, None) if step > 0 else slice(0, 1)
    moved[tuple(edge)] = outside
    return moved
