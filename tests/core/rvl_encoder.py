"""The encoder of Wilson's RVL, pixel by pixel as the paper describes it: the oracle of the decoder."""

import struct
from collections.abc import Iterator

import numpy as np


def encode_rvl(pixels: np.ndarray) -> bytes:
    nibbles = [nibble for number in numbers_of(pixels.astype(int).ravel().tolist()) for nibble in nibbles_of(number)]
    nibbles += [0] * (-len(nibbles) % 8)
    words = [int("".join(f"{nibble:x}" for nibble in nibbles[i : i + 8]), 16) for i in range(0, len(nibbles), 8)]
    return struct.pack(f"<{len(words)}I", *words)


def numbers_of(pixels: list[int]) -> Iterator[int]:
    at = previous = 0
    while at < len(pixels):
        start = at
        while at < len(pixels) and pixels[at] == 0:
            at += 1
        yield at - start
        start = at
        while at < len(pixels) and pixels[at] != 0:
            at += 1
        yield at - start
        for pixel in pixels[start:at]:
            difference, previous = pixel - previous, pixel
            yield 2 * difference if difference >= 0 else -2 * difference - 1


def nibbles_of(number: int) -> Iterator[int]:
    while number > 7:
        yield number & 7 | 8
        number >>= 3
    yield number
