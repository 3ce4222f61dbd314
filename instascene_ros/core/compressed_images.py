"""Compressed images -> numpy arrays, as the plugins of image_transport publish them, without those plugins.

`<topic>/compressed` is a JPEG or PNG file. `<topic>/compressedDepth` has 12 bytes before its PNG file or RVL stream:
the format, and the two numbers by which depth in float was turned into 16 bits.
"""

import io
import struct
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int32, UInt8, UInt16
from PIL import Image as Picture

from instascene_ros.core.errors import InvalidFrameError
from instascene_ros.core.rvl import decode_rvl
from instascene_ros.core.stored_images import DEPTH, check_size, metres, rgb_of_grey

CONFIG = struct.Struct("<iff")  # format, then a and b of: depth = a / (stored - b)
RVL_SIZE = struct.Struct("<ii")  # width, height
UNREADABLE = (OSError, SyntaxError, ValueError, struct.error)  # what Pillow raises on broken files


@runtime_checkable
class CompressedStoredImage(Protocol):
    """The fields of sensor_msgs/CompressedImage that matter here."""

    format: str
    data: Any  # bytes, or anything with a buffer


def decode_compressed_rgb(message: CompressedStoredImage) -> UInt8[np.ndarray, "H W 3"]:
    """Colour of a JPEG or PNG; grey is repeated, alpha dropped.

    Raises:
        InvalidFrameError: not such a file, truncated, or absurdly large.
    """
    picture = _picture(bytes(message.data), ("JPEG", "PNG"), message.format)
    if picture.mode.startswith("I"):
        return rgb_of_grey(np.asarray(picture).astype(np.uint16))
    rgb = np.asarray(picture.convert("RGB"))
    # The files hold blue, green, red for OpenCV; what says "compressed rgb8" was not turned around before.
    return np.ascontiguousarray(rgb[..., ::-1]) if "compressed rgb" in message.format else rgb


def decode_compressed_depth_m(message: CompressedStoredImage, depth_scale: float = 0.0) -> Float32[np.ndarray, "H W"]:
    """Depth in metres, 0 = none, of `compressedDepth` (PNG or RVL) or of a 16 bit PNG.

    Raises:
        InvalidFrameError: another format, truncated, corrupt, or absurdly large.
    """
    encoding, _, codec = (part.strip() for part in message.format.partition(";"))
    if encoding not in DEPTH:
        raise InvalidFrameError(
            f"format {message.format!r} holds no depth; expected one of {', '.join(DEPTH)}, "
            "for example '16UC1; compressedDepth png'"
        )
    payload = bytes(message.data)
    if not codec.startswith("compressedDepth"):
        return metres(_grey16(payload, message.format), depth_scale or DEPTH[encoding])
    if len(payload) < CONFIG.size:
        raise InvalidFrameError(f"compressedDepth of {len(payload)} bytes; expected {CONFIG.size} and the image")
    _, a, b = CONFIG.unpack_from(payload)
    rest = payload[CONFIG.size :]
    stored = _rvl(rest) if codec.endswith("rvl") else _grey16(rest, message.format)
    if encoding != "32FC1":
        return metres(stored, depth_scale or DEPTH[encoding])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return metres(np.where(stored > 0, a / (stored - np.float32(b)), 0), depth_scale or DEPTH[encoding])


def decode_compressed_labels(message: CompressedStoredImage) -> Int32[np.ndarray, "H W"]:
    """Integer label of every pixel of a PNG, which alone keeps them exactly; 0 = none.

    Raises:
        InvalidFrameError: another kind of file or of pixels, truncated, or absurdly large.
    """
    picture = _picture(bytes(message.data), ("PNG",), message.format)
    if picture.mode != "L" and not picture.mode.startswith("I"):
        raise InvalidFrameError(f"PNG of labels has pixels of kind {picture.mode!r}; expected grey of 8 or 16 bit")
    return np.asarray(picture).astype(np.int32)


def _rvl(payload: bytes) -> UInt16[np.ndarray, "H W"]:
    if len(payload) < RVL_SIZE.size:
        raise InvalidFrameError(f"RVL data of {len(payload)} bytes; expected width, height and the image")
    width, height = RVL_SIZE.unpack_from(payload)
    check_size(width, height, f"{width}x{height} px RVL")
    return decode_rvl(payload[RVL_SIZE.size :], width * height).reshape(height, width)


def _grey16(file: bytes, format_name: str) -> UInt16[np.ndarray, "H W"]:
    picture = _picture(file, ("PNG",), format_name)
    if not picture.mode.startswith("I"):
        raise InvalidFrameError(f"PNG of depth has pixels of kind {picture.mode!r}; expected 16 bit grey")
    return np.asarray(picture).astype(np.uint16)


def _picture(file: bytes, kinds: tuple[str, ...], format_name: str) -> Picture.Image:
    """The decoded file; its size is checked before memory is taken for it."""
    try:
        picture = Picture.open(io.BytesIO(file), formats=kinds)
        check_size(picture.width, picture.height, f"{picture.width}x{picture.height} px {picture.format}")
        picture.load()
    except InvalidFrameError:
        raise
    except (*UNREADABLE, Picture.DecompressionBombError) as error:
        raise InvalidFrameError(
            f"{len(file)} bytes of format {format_name!r} cannot be read as {' or '.join(kinds)} ({error}): "
            "truncated, or of another transport?"
        ) from error
    return picture
