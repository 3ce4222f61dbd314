"""Compressed images as image_transport writes them, made by hand from its description of the bytes."""

import io
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from instascene_ros.core.compressed_images import decompress
from instascene_ros.core.errors import InvalidFrameError


def message(format_: str, data: bytes) -> SimpleNamespace:
    return SimpleNamespace(format=format_, data=np.frombuffer(data, np.uint8))


def packed(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **({"quality": 100, "subsampling": 0} if kind == "JPEG" else {}))
    return stream.getvalue()


RED = np.tile(np.array([200, 30, 60], np.uint8), (16, 16, 1))


@pytest.mark.parametrize("format_", ["jpeg", "rgb8; jpeg compressed bgr8", "bgr8; jpeg compressed bgr8"])
def test_jpeg_gives_the_colour_that_any_viewer_shows(format_: str) -> None:
    pixels, encoding = decompress(message(format_, packed(RED, "JPEG")))
    assert encoding == "rgb8"
    assert np.abs(pixels.astype(int) - RED).max() <= 3


def test_channels_that_the_publisher_did_not_turn_are_turned_here() -> None:
    pixels, _ = decompress(message("rgb8; png compressed rgb8", packed(RED)))
    np.testing.assert_array_equal(pixels, RED[..., ::-1])


@pytest.mark.parametrize(("dtype", "encoding"), [(np.uint8, "mono8"), (np.uint16, "16UC1")])
def test_png_keeps_labels_exactly(dtype: type, encoding: str) -> None:
    labels = np.array([[0, 1, np.iinfo(dtype).max], [7, 8, 9]], dtype)
    pixels, found = decompress(message(f"{encoding}; png compressed ", packed(labels)))
    assert (found, pixels.dtype) == (encoding, np.dtype(dtype))
    np.testing.assert_array_equal(pixels, labels)


def test_depth_in_mm_is_stored_as_it_is() -> None:
    depth = np.array([[0, 1, 1500, 65535]], np.uint16)
    data = struct.pack("<iff", 0, 0.0, 0.0) + packed(depth)
    pixels, encoding = decompress(message("16UC1; compressedDepth png", data))
    assert encoding == "16UC1"
    np.testing.assert_array_equal(pixels, depth)


def test_float_depth_comes_back_from_its_inverse() -> None:
    depth_m = np.array([[0.5, 1.25, 3.0, 0.0]], np.float32)
    quant_a = 100.0 * 101.0  # depth_quantization * (depth_quantization + 1)
    quant_b = 1.0 - quant_a / 10.0  # 10 m: the farthest that is kept
    with np.errstate(divide="ignore"):
        codes = np.where(depth_m > 0, quant_a / depth_m + quant_b, 0).astype(np.uint16)
    data = struct.pack("<iff", 0, quant_a, quant_b) + packed(codes)
    pixels, encoding = decompress(message("32FC1; compressedDepth png", data))
    assert encoding == "32FC1"
    np.testing.assert_allclose(pixels, depth_m, rtol=2e-3)
    assert pixels[0, 3] == 0


@pytest.mark.parametrize(
    ("format_", "data", "told"),
    [
        ("jpeg", b"", "cannot be read as JPEG or PNG"),
        ("jpeg", packed(RED, "JPEG")[:200], "cannot be read as JPEG or PNG"),
        ("16UC1; compressedDepth png", b"123", "has 3 bytes"),
        ("16UC1; compressedDepth rvl", bytes(100), "expected png"),
        ("16UC1; compressedDepth png", bytes(12) + packed(RED), "expected 16 bit"),
    ],
)
def test_damaged_data_are_refused(format_: str, data: bytes, told: str) -> None:
    with pytest.raises(InvalidFrameError, match=told):
        decompress(message(format_, data))


def test_an_absurd_size_is_refused_before_anything_is_unpacked() -> None:
    bomb = bytearray(packed(np.zeros((1, 1), np.uint8)))
    bomb[16:24] = struct.pack(">II", 12_000, 12_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    with pytest.raises(InvalidFrameError, match="12000x12000 px; expected at most"):
        decompress(message("png", bytes(bomb)))
