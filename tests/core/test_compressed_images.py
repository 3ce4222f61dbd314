"""Compressed images give what was compressed, and broken ones a named error."""

import io
import struct
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as Picture
from rvl_encoder import encode_rvl

from instascene_ros.core.compressed_images import (
    decode_compressed_depth_m,
    decode_compressed_labels,
    decode_compressed_rgb,
)
from instascene_ros.core.errors import InvalidFrameError
from instascene_ros.core.rvl import decode_rvl

RNG = np.random.default_rng(3)
DEPTH_MM = np.where(RNG.random((12, 17)) < 0.3, 0, RNG.integers(1, 65536, (12, 17))).astype(np.uint16)
RGB = RNG.integers(0, 256, (6, 8, 3)).astype(np.uint8)
HEADER = struct.pack("<iff", 0, 0.0, 0.0)
DEPTH_PNG, DEPTH_RVL = "16UC1; compressedDepth png", "16UC1; compressedDepth rvl"


def file_of(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Picture.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def rvl_of(pixels: np.ndarray) -> bytes:
    return HEADER + struct.pack("<ii", pixels.shape[1], pixels.shape[0]) + encode_rvl(pixels)


def message(form: str, data: bytes) -> SimpleNamespace:
    return SimpleNamespace(format=form, data=data)


def test_rvl_of_a_known_stream() -> None:
    """Two zeros, then two pixels 5 and 3: numbers 2, 2, 10 (+5: two nibbles), 3 (-2); then one zero, no pixel."""
    stream = struct.pack("<I", 0x22A13100 | 0x0)
    assert decode_rvl(stream, 5).tolist() == [0, 0, 5, 3, 0]


@given(arrays(np.uint16, st.integers(0, 200), elements=st.sampled_from([0, 0, 1, 7, 8, 500, 501, 65535])))
def test_rvl_gives_back_what_was_encoded(pixels: np.ndarray) -> None:
    np.testing.assert_array_equal(decode_rvl(encode_rvl(pixels), len(pixels)), pixels)


@given(st.binary(max_size=64), st.integers(0, 10_000))
def test_rvl_of_any_bytes_is_an_image_or_a_named_error(stream: bytes, num_pixels: int) -> None:
    with suppress(InvalidFrameError):
        assert decode_rvl(stream, num_pixels).shape == (num_pixels,)


@pytest.mark.parametrize(
    ("form", "data"),
    [
        (DEPTH_PNG, HEADER + file_of(DEPTH_MM, "png")),
        ("16UC1; compressedDepth", HEADER + file_of(DEPTH_MM, "png")),  # as written before RVL came
        (DEPTH_RVL, rvl_of(DEPTH_MM)),
        ("16UC1; png compressed ", file_of(DEPTH_MM, "png")),
    ],
)
def test_depth_in_millimetres_is_exact(form: str, data: bytes) -> None:
    depth_m = decode_compressed_depth_m(message(form, data))
    assert depth_m.dtype == np.float32
    np.testing.assert_allclose(depth_m, DEPTH_MM / 1000, rtol=1e-6)
    np.testing.assert_allclose(decode_compressed_depth_m(message(form, data), 2000.0), DEPTH_MM / 2000, rtol=1e-6)


@pytest.mark.parametrize("codec", ["png", "rvl"])
def test_depth_in_float_is_undone_as_inverse_depth(codec: str) -> None:
    """The plugin stores a / depth + b in 16 bits."""
    a, b = 10_000.0, -900.0
    depth_m = np.array([[0.0, 0.5], [1.0, 3.0]])
    stored = np.where(depth_m > 0, a / np.maximum(depth_m, 1e-9) + b, 0).astype(np.uint16)
    config = struct.pack("<iff", 0, a, b)
    data = config + (file_of(stored, "png") if codec == "png" else rvl_of(stored)[len(HEADER) :])
    found_m = decode_compressed_depth_m(message(f"32FC1; compressedDepth {codec}", data))
    np.testing.assert_allclose(found_m, depth_m, atol=2e-3)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_colour_of_a_png_is_exact(mode: str) -> None:
    picture = np.asarray(Picture.fromarray(RGB).convert(mode))
    expected = np.asarray(Picture.fromarray(picture).convert("RGB"))
    np.testing.assert_array_equal(
        decode_compressed_rgb(message("bgr8; png compressed bgr8", file_of(picture, "png"))), expected
    )


def test_colour_of_a_jpeg_keeps_its_channels_in_order() -> None:
    flat = np.full((16, 16, 3), (200, 100, 30), np.uint8)
    decoded = decode_compressed_rgb(message("bgr8; jpeg compressed bgr8", file_of(flat, "jpeg", quality=95)))
    np.testing.assert_allclose(decoded.mean((0, 1)), (200, 100, 30), atol=3)


def test_grey_of_16_bits_keeps_its_upper_8() -> None:
    grey = np.array([[0x1234, 0xFF00]], np.uint16)
    decoded = decode_compressed_rgb(message("mono16; png compressed ", file_of(grey, "png")))
    np.testing.assert_array_equal(decoded[..., 0], [[0x12, 0xFF]])


@pytest.mark.parametrize(
    ("form", "data", "said"),
    [
        ("rgb8; jpeg compressed bgr8", b"", "cannot be read"),
        ("", HEADER, "holds no depth; expected one of 16UC1"),
        (DEPTH_PNG, b"1234", "expected 12"),
        (DEPTH_PNG, HEADER + file_of(DEPTH_MM, "png")[:-30], "cannot be read"),
        (DEPTH_PNG, HEADER + file_of(RGB, "png"), "expected 16 bit grey"),
        (DEPTH_PNG, HEADER + file_of(RGB, "jpeg"), "cannot be read"),
        (DEPTH_RVL, rvl_of(DEPTH_MM)[:-40], "truncated"),
        (DEPTH_RVL, HEADER + struct.pack("<ii", 2, -2), "expected a positive size"),
        (DEPTH_RVL, HEADER + struct.pack("<ii", 2**31 - 1, 2**31 - 1) + b"12345678", "expected at most"),
    ],
)
def test_broken_depth_is_refused_in_words(form: str, data: bytes, said: str) -> None:
    read = decode_compressed_rgb if "jpeg" in form else decode_compressed_depth_m
    with pytest.raises(InvalidFrameError, match=said):
        read(message(form, data))


@given(
    st.sampled_from([DEPTH_PNG, DEPTH_RVL, "32FC1; compressedDepth rvl", "32FC1; compressedDepth png", "16UC1; png"]),
    st.data(),
)
def test_damaged_depth_is_an_image_or_a_named_error(form: str, data: st.DataObject) -> None:
    whole = rvl_of(DEPTH_MM) if "rvl" in form else HEADER * ("compressedDepth" in form) + file_of(DEPTH_MM, "png")
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 4))):
        damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(InvalidFrameError):
        depth_m = decode_compressed_depth_m(message(form, bytes(damaged[: data.draw(st.integers(0, len(whole)))])))
        assert np.isfinite(depth_m).all() and (depth_m >= 0).all()


def test_channels_that_the_publisher_did_not_turn_are_turned_here() -> None:
    turned = {"rgb8; png compressed bgr8": RGB, "rgb8; png compressed rgb8": RGB[..., ::-1], "png": RGB}
    for form, expected in turned.items():
        np.testing.assert_array_equal(decode_compressed_rgb(message(form, file_of(RGB, "PNG"))), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_labels_of_a_png_are_exact_and_a_jpeg_is_refused(dtype: type) -> None:
    labels = np.array([[0, 1, np.iinfo(dtype).max], [7, 8, 9]], dtype)
    np.testing.assert_array_equal(decode_compressed_labels(message("png", file_of(labels, "PNG"))), labels)
    with pytest.raises(InvalidFrameError, match="cannot be read as PNG"):
        decode_compressed_labels(message("jpeg", file_of(labels.astype(np.uint8), "JPEG")))
    with pytest.raises(InvalidFrameError, match="pixels of kind 'RGB'"):
        decode_compressed_labels(message("png", file_of(RGB, "PNG")))
