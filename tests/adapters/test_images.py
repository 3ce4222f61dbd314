"""Both decoders must give what the bytes say, for every encoding, step and byte order."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import Image
from std_msgs.msg import Header

from instascene_ros.adapters import images
from instascene_ros.core.errors import InvalidFrameError

HEADER = Header(frame_id="optical")


@pytest.fixture(params=["numpy", "cv_bridge"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test with each decoder."""
    if request.param == "cv_bridge":
        pytest.importorskip("cv_bridge", reason="cv_bridge comes with a robot's apt install")
    chosen = {"numpy": images.numpy_pixels, "cv_bridge": images.cv_bridge_pixels}[request.param]
    monkeypatch.setattr(images, "decoder", lambda: chosen)
    return request.param


def stored_pixels(encoding: str, width: int = 5, height: int = 3) -> np.ndarray:
    dtype, channels = images.ENCODINGS[encoding]
    rng = np.random.default_rng(7)
    shape = (height, width, channels) if channels > 1 else (height, width)
    if dtype.kind == "f":
        return rng.uniform(0.2, 3.0, shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape).astype(dtype)


def padded(message: Image, padding: int) -> Image:
    """The same image with `padding` bytes of rubbish after each row."""
    rows = np.frombuffer(bytes(message.data), np.uint8).reshape(message.height, message.step)
    rubbish = np.full((message.height, padding), 0xAB, np.uint8)
    message.step += padding
    message.data = np.hstack([rows, rubbish]).tobytes()
    return message


def big_endian(message: Image) -> Image:
    dtype, _ = images.ENCODINGS[message.encoding]
    message.data = np.frombuffer(bytes(message.data), dtype).astype(dtype.newbyteorder(">")).tobytes()
    message.is_bigendian = 1
    return message


@pytest.mark.parametrize("encoding", images.ENCODINGS)
def test_every_encoding_survives_the_round_trip(encoding: str, decoder: str) -> None:
    pixels = stored_pixels(encoding)
    decoded = images.decode(images.encode(pixels, encoding, HEADER))
    assert decoded.dtype == pixels.dtype
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("encoding", images.ENCODINGS)
def test_bytes_after_each_row_are_skipped(encoding: str, decoder: str) -> None:
    pixels = stored_pixels(encoding)
    message = padded(images.encode(pixels, encoding, HEADER), padding=8)
    np.testing.assert_array_equal(images.decode(message), pixels)


@pytest.mark.parametrize("encoding", ["mono16", "16UC1", "32FC1"])
def test_big_endian_data_are_swapped(encoding: str, decoder: str) -> None:
    pixels = stored_pixels(encoding)
    decoded = images.decode(big_endian(images.encode(pixels, encoding, HEADER)))
    assert decoded.dtype.isnative
    np.testing.assert_array_equal(decoded, pixels)


def test_last_row_may_lack_its_padding(decoder: str) -> None:
    pixels = stored_pixels("mono8")
    message = padded(images.encode(pixels, "mono8", HEADER), padding=4)
    message.data = bytes(message.data)[:-4]
    if decoder == "cv_bridge":
        pytest.skip("cv_bridge wants every byte")
    np.testing.assert_array_equal(images.decode(message), pixels)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8"])
def test_colour_comes_out_as_rgb(encoding: str, decoder: str) -> None:
    colour = {"r": 10, "g": 20, "b": 30, "a": 40}
    pixels = np.tile(np.array([colour[c] for c in encoding[:-1]], np.uint8), (2, 3, 1))
    rgb = images.decode_rgb(images.encode(pixels, encoding, HEADER))
    assert rgb.shape == (2, 3, 3)
    assert (rgb == [10, 20, 30]).all()


def test_grey_becomes_equal_channels(decoder: str) -> None:
    assert (images.decode_rgb(images.encode(np.full((2, 2), 9, np.uint8), "mono8", HEADER)) == 9).all()
    assert (images.decode_rgb(images.encode(np.full((2, 2), 0x1234, np.uint16), "mono16", HEADER)) == 0x12).all()


@pytest.mark.parametrize("encoding", ["16UC1", "mono16"])
def test_integer_depth_is_millimetres(encoding: str, decoder: str) -> None:
    message = images.encode(np.array([[0, 1, 1500, 65535]], np.uint16), encoding, HEADER)
    np.testing.assert_allclose(images.decode_depth_m(message), [[0, 0.001, 1.5, 65.535]], rtol=1e-6)


def test_float_depth_is_metres_and_unusable_values_are_none(decoder: str) -> None:
    stored = np.array([[0.5, 0.0, np.nan, np.inf, -np.inf, -1.0]], np.float32)
    depth_m = images.decode_depth_m(images.encode(stored, "32FC1", HEADER))
    np.testing.assert_array_equal(depth_m, np.array([[0.5, 0, 0, 0, 0, 0]], np.float32))


def test_depth_scale_overrules_the_encoding() -> None:
    message = images.encode(np.array([[5000]], np.uint16), "16UC1", HEADER)
    assert images.decode_depth_m(message, depth_scale=5000.0)[0, 0] == 1.0


def test_labels_keep_their_numbers() -> None:
    np.testing.assert_array_equal(
        images.decode_labels(images.encode(np.array([[0, 65535]], np.uint16), "16UC1", HEADER)), [[0, 65535]]
    )
    np.testing.assert_array_equal(
        images.decode_labels(images.encode(np.array([[0, 255]], np.uint8), "mono8", HEADER)), [[0, 255]]
    )


def test_unknown_encoding_names_the_supported_ones() -> None:
    message = images.encode(stored_pixels("rgb8"), "rgb8", HEADER)
    message.encoding = "bayer_rggb8"
    with pytest.raises(InvalidFrameError, match=r"'bayer_rggb8'.*rgb8, bgr8, rgba8, bgra8, mono8, mono16"):
        images.decode_rgb(message)
    with pytest.raises(InvalidFrameError, match=r"16UC1, mono16, 32FC1"):
        images.decode_depth_m(message)


def test_wrong_step_is_named() -> None:
    message = images.encode(stored_pixels("rgb8"), "rgb8", HEADER)
    message.step = 14
    with pytest.raises(InvalidFrameError, match=r"5x3 px rgb8 has step 14; expected at least 15"):
        images.decode(message)


def test_step_between_elements_is_refused() -> None:
    message = padded(images.encode(stored_pixels("16UC1"), "16UC1", HEADER), padding=1)
    with pytest.raises(InvalidFrameError, match="multiple of 2"):
        images.decode(message)


def test_truncated_data_are_named() -> None:
    message = images.encode(stored_pixels("32FC1"), "32FC1", HEADER)
    message.data = bytes(message.data)[:-1]
    with pytest.raises(InvalidFrameError, match=r"has 59 bytes; expected 60"):
        images.decode(message)


def test_empty_image_is_refused() -> None:
    with pytest.raises(InvalidFrameError, match="0x0 px"):
        images.decode(Image(encoding="rgb8"))


def test_depth_round_trip_in_both_encodings() -> None:
    depth_m = np.array([[0, 0.25, 1.234, 70.0]], np.float32)
    np.testing.assert_array_equal(images.decode_depth_m(images.encode_depth(depth_m, "32FC1", HEADER)), depth_m)
    in_mm = images.decode_depth_m(images.encode_depth(depth_m, "16UC1", HEADER))
    np.testing.assert_allclose(in_mm, [[0, 0.25, 1.234, 0]], atol=1e-6)  # 70 m do not fit into 16 bits of mm


def test_encode_refuses_pixels_of_another_type() -> None:
    with pytest.raises(ValueError, match="rgb8 needs uint8"):
        images.encode(np.zeros((2, 2), np.float32), "rgb8", HEADER)
