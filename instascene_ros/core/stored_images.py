"""Pixels of images as ROS stores them, whichever library read them: rclpy, rosbags, or a test's stand-in."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int32, Shaped, UInt8

from instascene_ros.core.errors import InvalidFrameError

ENCODINGS: dict[str, tuple[np.dtype, int]] = {  # element type and channels
    "rgb8": (np.dtype(np.uint8), 3),
    "bgr8": (np.dtype(np.uint8), 3),
    "rgba8": (np.dtype(np.uint8), 4),
    "bgra8": (np.dtype(np.uint8), 4),
    "mono8": (np.dtype(np.uint8), 1),
    "8UC1": (np.dtype(np.uint8), 1),
    "mono16": (np.dtype(np.uint16), 1),
    "16UC1": (np.dtype(np.uint16), 1),
    "32FC1": (np.dtype(np.float32), 1),
}
COLOUR = ("rgb8", "bgr8", "rgba8", "bgra8", "mono8", "mono16")
DEPTH = {"16UC1": 1000.0, "mono16": 1000.0, "32FC1": 1.0}  # stored units per metre (REP-118)
LABELS = ("16UC1", "mono16", "mono8", "8UC1")
MAX_PIXELS = 64_000_000  # 8K video has half of it: a larger size is a broken or hostile message

Pixels = Shaped[np.ndarray, "H W *channels"]


@runtime_checkable
class StoredImage(Protocol):
    """The fields of sensor_msgs/Image that matter here."""

    height: int
    width: int
    encoding: str
    is_bigendian: Any  # rosbags gives an int, rclpy too
    step: int
    data: Any  # anything with a buffer, or bytes


def check_size(width: int, height: int) -> None:
    """Refuse a size that nobody meant, before anything of that size is allocated.

    Raises:
        InvalidFrameError: empty or absurd.
    """
    if width <= 0 or height <= 0:
        raise InvalidFrameError(f"image is {width}x{height} px; expected a positive size")
    if width * height > MAX_PIXELS:
        raise InvalidFrameError(f"image is {width}x{height} px; expected at most {MAX_PIXELS} pixels")


def check_layout(message: StoredImage, allowed: tuple[str, ...]) -> None:
    """Refuse what no decoder could read, in words that name the field to look at.

    Raises:
        InvalidFrameError: unknown encoding, absurd size, wrong step, truncated data.
    """
    if message.encoding not in allowed:
        raise InvalidFrameError(
            f"encoding {message.encoding!r} is not supported here; expected one of {', '.join(allowed)}"
        )
    check_size(message.width, message.height)
    dtype, channels = ENCODINGS[message.encoding]
    size = f"{message.width}x{message.height} px {message.encoding}"
    row_bytes = message.width * channels * dtype.itemsize
    if message.step < row_bytes or message.step % dtype.itemsize:
        raise InvalidFrameError(
            f"image of {size} has step {message.step}; expected at least {row_bytes} (bytes of one row) "
            f"and a multiple of {dtype.itemsize}"
        )
    needed = message.step * (message.height - 1) + row_bytes
    if len(message.data) < needed:
        raise InvalidFrameError(f"image of {size} has {len(message.data)} bytes; expected {needed}: truncated")


def numpy_pixels(message: StoredImage) -> Pixels:
    """Stored elements in native byte order; honours `step` and `is_bigendian`. Call `check_layout` first."""
    dtype, channels = ENCODINGS[message.encoding]
    stored = dtype.newbyteorder(">" if message.is_bigendian else "<")
    strides = (message.step, channels * dtype.itemsize, dtype.itemsize)
    shape = (message.height, message.width, channels)
    elements = np.ndarray(shape, stored, buffer=bytes(message.data), strides=strides)
    return np.ascontiguousarray(elements if channels > 1 else elements[..., 0], dtype)


def decode(
    message: StoredImage, allowed: tuple[str, ...] = tuple(ENCODINGS),
    pixels_of: Callable[[StoredImage], Pixels] = numpy_pixels,
) -> Pixels:  # fmt: skip
    """Pixels as stored: [H W] or [H W channels]; `pixels_of` is the reader to use.

    Raises:
        InvalidFrameError: as `check_layout`.
    """
    check_layout(message, allowed)
    return pixels_of(message)


def rgb_of(pixels: Pixels, encoding: str) -> UInt8[np.ndarray, "H W 3"]:
    """Colour of any supported encoding; grey is repeated, alpha dropped, 16 bit grey cut to its upper 8."""
    if encoding == "mono16":
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=-1)
    reverse = encoding.startswith("bgr")
    return np.ascontiguousarray(pixels[..., 2::-1] if reverse else pixels[..., :3])


def depth_m_of(pixels: Pixels, encoding: str, depth_scale: float = 0.0) -> Float32[np.ndarray, "H W"]:
    """Depth in metres, 0 = none (also NaN, Inf, negative). `depth_scale` stored units are a metre; 0: by encoding."""
    depth_m = pixels.astype(np.float32) / np.float32(depth_scale or DEPTH[encoding])
    return np.where(np.isfinite(depth_m) & (depth_m > 0), depth_m, np.float32(0))


def labels_of(pixels: Pixels) -> Int32[np.ndarray, "H W"]:
    """Integer label of every pixel, 0 = none."""
    return pixels.astype(np.int32)
