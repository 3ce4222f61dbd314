"""Parts of Triton kernels that read a Gaussian's table of votes. Imported only where tensors live on a GPU."""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def slots(table, i, ok):
    """The four entries of a row."""
    return (
        tl.load(table + 4 * i, ok, 0),
        tl.load(table + 4 * i + 1, ok, 0),
        tl.load(table + 4 * i + 2, ok, 0),
        tl.load(table + 4 * i + 3, ok, 0),
    )


@triton.jit
@no_type_check
def heaviest(w0, w1, w2, w3):
    """Slot of the heaviest vote, the first of equals, and its weight."""
    most = tl.maximum(tl.maximum(w0, w1), tl.maximum(w2, w3))
    return tl.where(w0 == most, 0, tl.where(w1 == most, 1, tl.where(w2 == most, 2, 3))), most
