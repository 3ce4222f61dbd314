"""How the kernels of the CPU backend are compiled."""

from collections.abc import Callable
from typing import Any

import numba

# A mapping thread and a completion thread may render at once; numba's own thread pool would abort the process.
numba.config.THREADING_LAYER = "threadsafe"
# Off in numba by default; blending is four times slower without (see cpu_vectors).
numba.config.SLP_VECTORIZE = 1

# No `nnan` and `ninf`: discs seen edge-on divide by zero and are sorted out by comparisons.
FAST = {"nsz", "arcp", "contract", "afn", "reassoc"}


def compiled(parallel: bool = False, inline: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile with numba, once per machine: beside the source, or in the user's cache where that is read-only.

    Kernels must also be marked `@no_type_check`, so that run-time type checkers leave their source alone.
    """

    def compile_lazily(function: Callable[..., Any]) -> Callable[..., Any]:
        jit = numba.njit(parallel=parallel, forceinline=inline, fastmath=FAST, error_model="numpy", nogil=True)
        kernel = jit(function)
        try:
            kernel.enable_caching()
        except RuntimeError:  # no folder can be written: compile again in every process
            return kernel
        return kernel

    return compile_lazily
