"""Which image a segmenter gets to see, and that its masks fit the frame that is mapped."""

import numpy as np
import pytest

from instascene_ros.core.camera import Camera
from instascene_ros.core.config import MappingConfig
from instascene_ros.core.frame import Frame
from instascene_ros.core.masks import Masks
from instascene_ros.core.preparation import prepared, with_masks


class Quadrants:
    """Four masks, and the widths of the images that it saw."""

    def __init__(self) -> None:
        self.widths: list[int] = []

    def __call__(self, frame: Frame) -> Masks:
        self.widths.append(frame.camera.width)
        rows, columns = np.indices(frame.depth_m.shape)
        labels = 1 + 2 * (rows >= frame.camera.height // 2) + (columns >= frame.camera.width // 2)
        return Masks(labels.astype(np.int32), np.ones(4, np.float32))


class FullSizeQuadrants(Quadrants):
    full_size = True


@pytest.fixture
def frame() -> Frame:
    camera = Camera(128, 128, 63.5, 47.5, 128, 96)
    return Frame(0, camera, np.zeros((96, 128, 3), np.uint8), np.ones((96, 128), np.float32), np.eye(4))


@pytest.mark.parametrize(("segmenter", "width"), [(Quadrants(), 64), (FullSizeQuadrants(), 128)])
def test_only_networks_see_the_image_as_it_came(frame: Frame, segmenter: Quadrants, width: int) -> None:
    small = prepared(frame, MappingConfig(width_px=64), "cpu")
    found = with_masks(small, frame, segmenter)
    assert segmenter.widths == [width]
    np.testing.assert_array_equal(found.masks.labels, Quadrants()(small).labels)


def test_masks_that_came_with_the_frame_are_kept(frame: Frame) -> None:
    given = Masks.empty(96, 128)
    segmenter = FullSizeQuadrants()
    framed = Frame(0, frame.camera, frame.rgb, frame.depth_m, frame.T_world_camera, given)
    assert with_masks(framed, framed, segmenter).masks is given
    assert segmenter.widths == []


def test_without_a_segmenter_there_are_no_masks(frame: Frame) -> None:
    assert len(with_masks(frame, frame, None).masks) == 0
