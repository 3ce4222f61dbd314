"""From the messages of one instant to a Frame, or a refusal that names what is wrong; nothing in between."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import camera_messages as made

from instascene_ros.adapters.frames import FrameMessages, to_frame
from instascene_ros.adapters.images import encode, encode_labels
from instascene_ros.core.camera import Camera
from instascene_ros.core.errors import InvalidFrameError


def whole() -> FrameMessages:
    return FrameMessages("cam", made.color(100), made.depth(100), made.info(100), np.eye(4), made.labels(100, label=7))


def depth_of(values: np.ndarray) -> object:
    return encode(values.astype(np.float32), "32FC1", made.header(100))


def test_a_whole_set_becomes_a_frame() -> None:
    frame = to_frame(whole())
    assert frame.stamp_ns == 100 * made.MS
    assert frame.camera == made.CAMERA
    assert (frame.rgb == [10, 20, 30]).all() and (frame.depth_m == 2.0).all()
    assert len(frame.masks) == 1 and (frame.masks.labels[:, :8] == 1).all() and (frame.masks.labels[:, 8:] == 0).all()
    np.testing.assert_array_equal(frame.T_world_camera, np.eye(4))


def test_without_masks_the_segmenter_is_left_to_decide() -> None:
    assert to_frame(replace(whole(), masks=None)).masks is None


def test_an_empty_mask_image_is_an_answer_too() -> None:
    frame = to_frame(replace(whole(), masks=made.labels(100, label=0)))
    assert frame.masks is not None and len(frame.masks) == 0


def test_ignored_pixels_lose_their_depth() -> None:
    ignore = np.zeros((12, 16), np.int32)
    ignore[:, :4] = 255
    frame = to_frame(replace(whole(), ignore=encode_labels(ignore, made.header(100))))
    assert (frame.depth_m[:, :4] == 0).all() and (frame.depth_m[:, 4:] == 2.0).all()


def test_unusable_depth_is_none_and_the_rest_stays() -> None:
    values = np.full((12, 16), 1.5)
    values[0, :4] = [np.nan, np.inf, -1.0, 0.0]
    frame = to_frame(replace(whole(), depth=depth_of(values)))
    assert (frame.depth_m[0, :4] == 0).all() and frame.valid.sum() == 12 * 16 - 4


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_depth_without_any_value_is_refused(value: float) -> None:
    with pytest.raises(InvalidFrameError, match="cam/depth/image: no pixel has depth"):
        to_frame(replace(whole(), depth=depth_of(np.full((12, 16), value))))


def test_sizes_of_colour_and_depth_are_both_named() -> None:
    with pytest.raises(InvalidFrameError, match=r"cam/color/image is 16x12 px but cam/depth/image is 8x6 px"):
        to_frame(replace(whole(), depth=made.depth(100, width=8, height=6)))


def test_frames_of_colour_and_depth_are_both_named() -> None:
    depth = made.depth(100)
    depth.header.frame_id = "depth_optical"
    with pytest.raises(InvalidFrameError, match=r"in frame 'optical' but cam/depth/image in 'depth_optical'"):
        to_frame(replace(whole(), depth=depth))


def test_masks_of_another_size_are_refused() -> None:
    with pytest.raises(InvalidFrameError, match=r"cam/masks/image is 8x6 px but cam/color/image is 16x12 px"):
        to_frame(replace(whole(), masks=made.labels(100, width=8, height=6)))


def test_bad_images_are_named_by_their_topic() -> None:
    broken = made.color(100)
    broken.encoding = "yuv422"
    with pytest.raises(InvalidFrameError, match="cam/color/image: encoding 'yuv422'"):
        to_frame(replace(whole(), color=broken))
    broken = made.depth(100)
    broken.step = 3
    with pytest.raises(InvalidFrameError, match="cam/depth/image: image of 16x12 px 32FC1 has step 3"):
        to_frame(replace(whole(), depth=broken))


def test_uncalibrated_camera_is_refused() -> None:
    info = made.info(100)
    info.k = np.zeros(9)
    with pytest.raises(InvalidFrameError, match="cam/color/camera_info: camera has fx=0.0"):
        to_frame(replace(whole(), info=info))


def test_intrinsics_of_a_larger_image_are_rescaled() -> None:
    info = made.info(100, Camera(40.0, 40.0, 15.5, 11.5, 32, 24))
    camera = to_frame(replace(whole(), info=info)).camera
    assert (camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy) == (16, 12, 20, 20, 7.5, 5.5)


def test_intrinsics_of_another_shape_are_refused() -> None:
    info = made.info(100, Camera(40.0, 40.0, 15.5, 15.5, 32, 32))
    with pytest.raises(InvalidFrameError, match="camera_info is of 32x32 px but the colour image has 16x12 px"):
        to_frame(replace(whole(), info=info))
