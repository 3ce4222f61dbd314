"""How the C library hands memory back."""

import ctypes

M_MMAP_THRESHOLD = -3  # of <malloc.h>
LARGE_BYTES = 1_000_000


def give_back_large_blocks() -> None:
    """Let the C library return every large block as soon as it is freed, from now on in this process.

    By default it learns to keep them, up to 32 MB each. What a keyframe needs in between is of another size each time
    as the map grows, so that what was kept hardly fits the next: with 200,000 Gaussians the process then holds three
    times the memory of the map. Costs a twelfth of a keyframe there, nothing in small maps. Only glibc knows this.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
