"""Frames at another size: every pixel lies where the camera says."""

import numpy as np
import pytest

from instascene_ros.core.camera import Camera
from instascene_ros.core.frame import Frame
from instascene_ros.core.masks import Masks

CAMERA = Camera(525.0, 520.0, 310.0, 245.0, 640, 480)
RED, BLUE = 255 / 639, 255 / 479  # a pixel


def frame_that_shows_its_columns(camera: Camera) -> Frame:
    """Depth, labels and red say the column, blue says the row."""
    v, u = np.indices((camera.height, camera.width))
    rgb = np.rint(np.stack([u * RED, u * 0, v * BLUE], -1)).astype(np.uint8)
    masks = Masks((1 + u).astype(np.int32), np.ones(camera.width, np.float32))
    return Frame(0, camera, rgb, (1 + u).astype(np.float32), np.eye(4), masks)


def shown_px(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows of the first image that each pixel of another should show."""
    rays = camera.rays()
    return rays[0, :, 0] * CAMERA.fx + CAMERA.cx, rays[:, 0, 1] * CAMERA.fy + CAMERA.cy


@pytest.mark.parametrize("width", [320, 160, 128])
def test_a_shrunk_frame_has_depth_and_labels_where_its_camera_looks(width: int) -> None:
    small = frame_that_shows_its_columns(CAMERA).resized(width)
    columns, _ = shown_px(small.camera)
    np.testing.assert_allclose(small.depth_m[0] - 1, columns, atol=1e-3)
    np.testing.assert_array_equal(small.masks.labels, small.depth_m)


@pytest.mark.parametrize("width", [480, 500, 600])
def test_where_no_whole_number_of_pixels_fits_it_is_right_on_average(width: int) -> None:
    small = frame_that_shows_its_columns(CAMERA).resized(width)
    columns, _ = shown_px(small.camera)
    error_px = small.depth_m[0] - 1 - columns
    assert abs(error_px.mean()) < 0.01
    assert np.abs(error_px).max() <= 0.76


@pytest.mark.parametrize("width", [320, 160, 213])
def test_a_shrunk_frame_has_colour_where_its_camera_looks(width: int) -> None:
    small = frame_that_shows_its_columns(CAMERA).resized(width)
    columns, rows = shown_px(small.camera)
    inner = slice(1, -1)  # beyond the outermost pixels there is nothing to average
    assert (small.rgb[0, inner, 0] / RED - columns[inner]).mean() == pytest.approx(0, abs=0.05)
    assert (small.rgb[inner, 0, 2] / BLUE - rows[inner]).mean() == pytest.approx(0, abs=0.05)


def test_at_its_own_size_a_frame_is_as_it_was() -> None:
    frame = frame_that_shows_its_columns(CAMERA)
    assert frame.resized(640) is frame
