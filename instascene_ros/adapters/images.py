"""Image messages <-> numpy arrays: cv_bridge where it is installed, numpy elsewhere, the same results."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float32, Int32, Shaped, UInt8
from sensor_msgs.msg import Image
from std_msgs.msg import Header

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


def _check_layout(message: Image, allowed: tuple[str, ...]) -> None:
    """Refuse what no decoder could read, in words that name the field to look at."""
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


def numpy_pixels(message: Image) -> Pixels:
    """Stored elements in native byte order; honours `step` and `is_bigendian`."""
    dtype, channels = ENCODINGS[message.encoding]
    stored = dtype.newbyteorder(">" if message.is_bigendian else "<")
    strides = (message.step, channels * dtype.itemsize, dtype.itemsize)
    shape = (message.height, message.width, channels)
    elements = np.ndarray(shape, stored, buffer=bytes(message.data), strides=strides)
    return np.ascontiguousarray(elements if channels > 1 else elements[..., 0], dtype)


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
    _check_layout(message, allowed)
    return decoder()(message)


def decode_rgb(message: Image) -> UInt8[np.ndarray, "H W 3"]:
    """Colour of any supported encoding; grey is repeated, alpha dropped, 16 bit grey cut to its upper 8."""
    pixels = decode(message, COLOUR)
    if pixels.ndim == 2:
        return rgb_of_grey(pixels)
    reverse = message.encoding.startswith("bgr")
    return np.ascontiguousarray(pixels[..., 2::-1] if reverse else pixels[..., :3])


def rgb_of_grey(grey: Shaped[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """Grey of 8 or 16 bits as colour."""
    upper = grey if grey.dtype == np.uint8 else (grey >> 8).astype(np.uint8)
    return np.repeat(upper[..., None], 3, axis=-1)


def decode_depth_m(message: Image, depth_scale: float = 0.0) -> Float32[np.ndarray, "H W"]:
    """Depth in metres, 0 = none (also NaN, Inf, negative). `depth_scale` stored units are a metre; 0: by encoding."""
    return metres(decode(message, tuple(DEPTH)), depth_scale or DEPTH[message.encoding])


def metres(stored: Shaped[np.ndarray, "H W"], units_per_m: float) -> Float32[np.ndarray, "H W"]:
    """Depth in metres; 0 where there is none."""
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and so none
        depth_m = stored.astype(np.float32) / np.float32(units_per_m)
    return np.where(np.isfinite(depth_m) & (depth_m > 0), depth_m, np.float32(0))


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
