"""Pixels of images as ROS stores them, whichever library read the message: rclpy, rosbags, or a test's stand-in."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Shaped, UInt8

from instascene_ros.core.errors import InvalidFrameError

ENCODINGS: dict[str, tuple[np.dtype, int]] = {  # element type and channels
    "rgb8": (np.dtype(np.uint8), 3),
    "bgr8": (np.dtype(np.uint8), 3),
    "rgba8": (np.dtype(np.uint8), 4),
    "bgra8": (np.dtype(np.uint8), 4),
    "mono8": (np.dtype(np.uint8), 1),
    "mono16": (np.dtype(np.uint16), 1),
    "16UC1": (np.dtype(np.uint16), 1),
    "32FC1": (np.dtype(np.float32), 1),
}
COLOUR = ("rgb8", "bgr8", "rgba8", "bgra8", "mono8", "mono16")
DEPTH = {"16UC1": 1000.0, "mono16": 1000.0, "32FC1": 1.0}  # stored units per metre (REP-118)
LABELS = ("16UC1", "mono16", "mono8")
MAX_SIDE_PX, MAX_PIXELS = 16_384, 2**26  # larger images are nonsense, and are refused before memory is taken for them

Pixels = Shaped[np.ndarray, "H W *channels"]


@runtime_checkable
class StoredImage(Protocol):
    """The fields of sensor_msgs/Image that matter here."""

    height: int
    width: int
    encoding: str
    is_bigendian: Any
    step: int
    data: Any  # bytes, or anything with a buffer


def check_size(width: int, height: int, what: str) -> None:
    """Refuse an image that no camera makes.

    Raises:
        InvalidFrameError: no pixel, or absurdly many.
    """
    if width <= 0 or height <= 0:
        raise InvalidFrameError(f"image is {what}; expected a positive size")
    if max(width, height) > MAX_SIDE_PX or width * height > MAX_PIXELS:
        raise InvalidFrameError(
            f"image is {what}; expected at most {MAX_SIDE_PX} px a side and {MAX_PIXELS} px in all: "
            "is the message corrupt?"
        )


def check_layout(message: StoredImage, allowed: tuple[str, ...]) -> None:
    """Refuse what no decoder could read, in words that name the field to look at.

    Raises:
        InvalidFrameError: unknown encoding, absurd size, wrong step, truncated data.
    """
    if message.encoding not in allowed:
        raise InvalidFrameError(
            f"encoding {message.encoding!r} is not supported here; expected one of {', '.join(allowed)}"
        )
    dtype, channels = ENCODINGS[message.encoding]
    size = f"{message.width}x{message.height} px {message.encoding}"
    check_size(message.width, message.height, size)
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


def decode(message: StoredImage, allowed: tuple[str, ...]) -> Pixels:
    """Pixels as stored: [H W] or [H W channels]; raises InvalidFrameError as `check_layout`."""
    check_layout(message, allowed)
    return numpy_pixels(message)


def rgb_of(pixels: Pixels, encoding: str) -> UInt8[np.ndarray, "H W 3"]:
    """Colour of any supported encoding; grey is repeated, alpha dropped, 16 bit grey cut to its upper 8."""
    if pixels.ndim == 2:
        return rgb_of_grey(pixels)
    reverse = encoding.startswith("bgr")
    return np.ascontiguousarray(pixels[..., 2::-1] if reverse else pixels[..., :3])


def rgb_of_grey(grey: Shaped[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """Grey of 8 or 16 bits as colour."""
    upper = grey if grey.dtype == np.uint8 else (grey >> 8).astype(np.uint8)
    return np.repeat(upper[..., None], 3, axis=-1)


def metres(stored: Shaped[np.ndarray, "H W"], units_per_m: float) -> Float32[np.ndarray, "H W"]:
    """Depth in metres; 0 where there is none."""
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and so none
        depth_m = stored.astype(np.float32) / np.float32(units_per_m)
    return np.where(np.isfinite(depth_m) & (depth_m > 0), depth_m, np.float32(0))
