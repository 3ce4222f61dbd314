"""Image messages <-> numpy arrays: cv_bridge where it is installed, numpy elsewhere, the same results."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float32, Int32, UInt8
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from instascene_ros.core.stored_images import (
    COLOUR,
    DEPTH,
    ENCODINGS,
    LABELS,
    Pixels,
    check_layout,
    metres,
    numpy_pixels,
    rgb_of,
)


def cv_bridge_pixels(message: Image) -> Pixels:
    """The same through cv_bridge, whose conversions run in C++."""
    pixels = np.asarray(_bridge().imgmsg_to_cv2(message, desired_encoding="passthrough"))
    return np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("="), copy=False))


@cache
def _bridge() -> object:
    return import_module("cv_bridge").CvBridge()


@cache
def decoder() -> Callable[[Image], Pixels]:
    """cv_bridge where this Python can import it (a robot's apt install), otherwise numpy."""
    if find_spec("cv_bridge") is None:
        return numpy_pixels
    try:
        _bridge()
    except (ImportError, AttributeError):  # built against another numpy: apt's cv_bridge inside a virtual environment
        return numpy_pixels
    return cv_bridge_pixels


def decode(message: Image, allowed: tuple[str, ...] = tuple(ENCODINGS)) -> Pixels:
    """Pixels as stored: [H W] or [H W channels].

    Raises:
        InvalidFrameError: unknown encoding, wrong step, truncated data.
    """
    check_layout(message, allowed)
    return decoder()(message)


def decode_rgb(message: Image) -> UInt8[np.ndarray, "H W 3"]:
    """Colour of any supported encoding; grey is repeated, alpha dropped, 16 bit grey cut to its upper 8."""
    return rgb_of(decode(message, COLOUR), message.encoding)


def decode_depth_m(message: Image, depth_scale: float = 0.0) -> Float32[np.ndarray, "H W"]:
    """Depth in metres, 0 = none (also NaN, Inf, negative). `depth_scale` stored units are a metre; 0: by encoding."""
    return metres(decode(message, tuple(DEPTH)), depth_scale or DEPTH[message.encoding])


def decode_labels(message: Image) -> Int32[np.ndarray, "H W"]:
    """Integer label of every pixel, 0 = none."""
    return decode(message, LABELS).astype(np.int32)


def encode(pixels: Pixels, encoding: str, header: Header) -> Image:
    """An Image message of an array whose type and channels are those of `encoding`."""
    dtype, channels = ENCODINGS[encoding]
    expected = pixels.shape[:2] if channels == 1 else (*pixels.shape[:2], channels)
    if pixels.dtype != dtype or pixels.shape != expected:
        raise ValueError(f"{encoding} needs {dtype} {expected}; got {pixels.dtype} {pixels.shape}")
    height, width = pixels.shape[:2]
    message = Image(header=header, height=height, width=width, encoding=encoding, is_bigendian=0)
    message.step = width * channels * dtype.itemsize
    message.data = np.ascontiguousarray(pixels).astype(dtype.newbyteorder("<"), copy=False).tobytes()
    return message


def encode_depth(depth_m: Float32[np.ndarray, "H W"], encoding: str, header: Header) -> Image:
    """Depth as 16UC1 (mm, 0 where it does not fit) or 32FC1 (m)."""
    if encoding == "32FC1":
        return encode(depth_m, encoding, header)
    stored = np.round(depth_m * DEPTH[encoding])
    return encode(np.where(stored <= 65535, stored, 0).astype(np.uint16), encoding, header)


def encode_labels(labels: Int32[np.ndarray, "H W"], header: Header) -> Image:
    """Labels as 16UC1."""
    return encode(labels.astype(np.uint16), "16UC1", header)
