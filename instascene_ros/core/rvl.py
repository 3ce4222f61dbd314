"""RVL, the lossless depth code of Wilson (Fast Lossless Depth Image Compression, ISS 2017), decoded with numpy."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64, UInt16

from instascene_ros.core.errors import InvalidFrameError

LAST = 8  # a nibble below it ends a number; the lower three bits are its digits, least significant first
MAX_NIBBLES = 10  # of one number: 30 bits, more than any run length or difference needs


def decode_rvl(stream: bytes, num_pixels: int) -> UInt16[np.ndarray, " P"]:
    """The pixels of a stream: runs of zeros, and runs of differences to the last pixel that was not zero.

    Raises:
        InvalidFrameError: the stream ends too soon, or says what no encoder writes.
    """
    numbers = _numbers(stream)
    runs = list(_runs(numbers, num_pixels))
    zigzag = np.concatenate([numbers[at : at + count] for _, count, at in runs] or [numbers[:0]])
    depths = np.cumsum(zigzag >> 1 ^ -(zigzag & 1))
    if len(depths) and not (depths.min() >= 0 and depths.max() <= np.iinfo(np.uint16).max):
        raise InvalidFrameError("RVL data lead to depths outside 16 bits: corrupt")
    pixels, used = np.zeros(num_pixels, np.uint16), 0
    for first, count, _ in runs:
        pixels[first : first + count] = depths[used : used + count]
        used += count
    return pixels


def _runs(numbers: Int64[np.ndarray, " n"], num_pixels: int) -> Iterator[tuple[int, int, int]]:
    """(first pixel, count, where its numbers start) of every run that is not of zeros."""
    pixel = at = 0
    while pixel < num_pixels:
        if at + 2 > len(numbers):
            raise InvalidFrameError(f"RVL data end after {pixel} of {num_pixels} px: truncated")
        zeros, count = int(numbers[at]), int(numbers[at + 1])
        pixel, at = pixel + zeros, at + 2
        if pixel + count > num_pixels:
            raise InvalidFrameError(f"RVL data hold more than the {num_pixels} px of the image: corrupt")
        if at + count > len(numbers):
            raise InvalidFrameError(f"RVL data end after {pixel} of {num_pixels} px: truncated")
        yield pixel, count, at
        pixel, at = pixel + count, at + count


def _numbers(stream: bytes) -> Int64[np.ndarray, " n"]:
    """Every number of the stream; nibbles lie in little-endian words of 32 bits, the highest first."""
    words = np.frombuffer(stream, "<u4", len(stream) // 4)
    nibbles = (words[:, None] >> np.arange(28, -1, -4, dtype=np.uint32) & 15).astype(np.int64).ravel()
    ends = np.flatnonzero(nibbles < LAST)
    if not len(ends):
        return np.zeros(0, np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts >= MAX_NIBBLES).any():
        raise InvalidFrameError("RVL data hold a number of more than 30 bits: corrupt")
    nibbles = nibbles[: ends[-1] + 1]
    place = np.arange(len(nibbles)) - np.repeat(starts, ends - starts + 1)
    return np.add.reduceat((nibbles & 7) << 3 * place, starts)
