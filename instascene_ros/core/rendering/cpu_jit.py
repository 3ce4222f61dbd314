"""How the kernels of the CPU backend are compiled, and run on all cores."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, no_type_check

import numba
import numpy as np
from torch import Tensor

# Off in numba by default; blending is four times slower without (see cpu_vectors).
numba.config.SLP_VECTORIZE = 1

# No `nnan` and `ninf`: discs seen edge-on divide by zero and are sorted out by comparisons.
FAST = {"nsz", "arcp", "contract", "afn", "reassoc"}

LANES_A_CORE = 4

# Kernels inline one another across files, but numba asks only about the file of the outermost one before it reuses
# what it compiled earlier. Constants of `depth` and `objects` are compiled in, too.
HERE = Path(__file__)
CONSTANTS = [HERE.with_name("contract.py"), HERE.parents[1] / "depth.py", HERE.parents[1] / "objects.py"]
SOURCES = sorted([*HERE.parent.glob("cpu_*.py"), *CONSTANTS])
SOURCES_STAMP = tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in SOURCES)


def compiled(inline: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile with numba, once per machine and version: beside the source, or in the user's cache if that is read-only.

    Kernels must also be marked `@no_type_check`, so that run-time type checkers leave their source alone.
    """

    def compile_lazily(function: Callable[..., Any]) -> Callable[..., Any]:
        jit = numba.njit(forceinline=inline, fastmath=FAST, error_model="numpy", nogil=True)
        kernel = jit(function)
        try:
            kernel.enable_caching()
        except RuntimeError:  # no folder can be written: compile again in every process
            return kernel
        kernel._cache._cache_file._source_stamp = SOURCES_STAMP
        return kernel

    return compile_lazily


def arrays(*tensors: Tensor) -> list[np.ndarray]:
    """For a kernel: sharing the memory of tensors that are contiguous."""
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


@compiled(inline=True)
@no_type_check
def share_of(count: int, lane: int, num_lanes: int) -> range:
    """The part of 0..count - 1 that a lane takes: neighbours, so that lanes hardly share memory."""
    return range(count * lane // num_lanes, count * (lane + 1) // num_lanes)


def on_all_cores(kernel: Callable[..., None], *arguments: Any, most: int | None = None) -> None:
    """Run `kernel(lane, num_lanes, *arguments)` for every lane at once, on `most` lanes at most.

    There are more lanes than cores, and a core that is done with one takes the next: none waits long for another that
    something else keeps busy. Compiled kernels leave the interpreter's lock alone. Compared with numba's own parallel
    loops they compile in two thirds of the time, and several threads may render at once whatever thread libraries
    there are.
    """
    num_cores = numba.config.NUMBA_NUM_THREADS
    num_lanes = LANES_A_CORE * num_cores if num_cores > 1 else 1
    num_lanes = num_lanes if most is None else max(1, min(num_lanes, most))
    lanes = iter(range(num_lanes))

    def work() -> None:
        for lane in lanes:
            kernel(lane, num_lanes, *arguments)

    others = [_pool().submit(work) for _ in range(min(num_cores, num_lanes) - 1)]
    work()
    for other in others:
        other.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(numba.config.NUMBA_NUM_THREADS, thread_name_prefix="rasterizer")
