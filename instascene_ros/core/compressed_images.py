"""Pixels of sensor_msgs/CompressedImage as image_transport writes them: `<topic>/compressed` and `/compressedDepth`."""

import io
import struct
from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image, UnidentifiedImageError

from instascene_ros.core.errors import InvalidFrameError
from instascene_ros.core.stored_images import Pixels, check_size

DEPTH_HEADER = struct.Struct("<iff")  # compressed_depth_image_transport: format, then two numbers of inverse depth
MODES = {"L": "mono8", "I;16": "16UC1", "I;16B": "16UC1", "I": "16UC1", "RGB": "rgb8", "RGBA": "rgba8"}


@runtime_checkable
class CompressedStoredImage(Protocol):
    """The fields of sensor_msgs/CompressedImage that matter here."""

    format: str
    data: Any


def decompress(message: CompressedStoredImage) -> tuple[Pixels, str]:
    """Pixels and their encoding: rgb8, rgba8, mono8, 16UC1, or 32FC1 (m) for depth of that encoding.

    Raises:
        InvalidFrameError: a codec other than JPEG and PNG, damaged data, or an absurd size.
    """
    stored, _, transport = (part.strip() for part in message.format.partition(";"))
    if transport.startswith("compressedDepth"):
        return _depth(message, stored, transport)
    pixels, encoding = _picture(bytes(message.data), message.format)
    # OpenCV writes channels in the order blue, green, red; what says "compressed rgb8" was not turned before.
    if encoding == "rgb8" and "compressed rgb" in transport:
        return np.ascontiguousarray(pixels[..., ::-1]), encoding
    return pixels, encoding


def _depth(message: CompressedStoredImage, stored: str, transport: str) -> tuple[Pixels, str]:
    """16UC1 is a PNG as it is; 32FC1 is a PNG of inverse depth, quantised by two numbers in the header."""
    if "rvl" in transport:
        raise InvalidFrameError(f"depth is compressed as {message.format!r}; expected png: set its publisher to that")
    data = bytes(message.data)
    if len(data) <= DEPTH_HEADER.size:
        raise InvalidFrameError(
            f"compressed depth has {len(data)} bytes; expected a header of {DEPTH_HEADER.size}, then a PNG"
        )
    _, quant_a, quant_b = DEPTH_HEADER.unpack_from(data)
    codes, encoding = _picture(data[DEPTH_HEADER.size :], message.format)
    if encoding not in ("16UC1", "mono8"):
        raise InvalidFrameError(f"compressed depth {message.format!r} holds {encoding} pixels; expected 16 bit")
    if stored != "32FC1":
        return codes.astype(np.uint16), "16UC1"
    known = codes > 0
    depth_m = np.zeros(codes.shape, np.float32)
    depth_m[known] = quant_a / (codes[known].astype(np.float32) - np.float32(quant_b))
    return depth_m, "32FC1"


def _picture(data: bytes, format_: str) -> tuple[Pixels, str]:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            check_size(*image.size)  # of the file's header: nothing has been unpacked yet
            if image.mode not in MODES:
                image = image.convert("RGB")
            encoding = MODES[image.mode]
            pixels = np.asarray(image)
    except (OSError, UnidentifiedImageError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidFrameError(f"image of format {format_!r} cannot be read as JPEG or PNG: {error}") from error
    return (pixels.astype(np.uint16) if encoding == "16UC1" else pixels), encoding
