"""Labels of id images."""

import numpy as np
import pytest

from instascene_ros.core.masks import Masks


def test_ids_become_one_to_m_in_their_order() -> None:
    masks = Masks.from_image(np.array([[0, 9, 9], [300, 0, 7]], np.int32))
    assert masks.labels.tolist() == [[0, 2, 2], [3, 0, 1]]
    assert masks.scores.tolist() == [1, 1, 1]


def test_an_image_without_a_zero_has_no_pixel_without_a_label() -> None:
    assert Masks.from_image(np.array([[5, 4], [5, 5]], np.uint16)).labels.tolist() == [[2, 1], [2, 2]]


def test_zero_and_below_are_none() -> None:
    assert Masks.from_image(np.array([[-7, 0], [3, 2]], np.int32)).labels.tolist() == [[0, 0], [2, 1]]
    assert len(Masks.from_image(np.zeros((2, 3), np.uint8))) == 0
    assert len(Masks.from_image(np.zeros((0, 3), np.int32))) == 0


@pytest.mark.parametrize("largest", [3, 255, 2**16 - 1, 2**16, 2**31 - 1])
def test_large_ids_are_numbered_as_small_ones_are(largest: int) -> None:
    rng = np.random.default_rng(largest)
    for shift in (0, 1):
        ids = rng.integers(0, largest, (20, 30)) // 7 * 7 + shift
        ids[3, 4] = largest
        labels = Masks.from_image(ids.astype(np.int64)).labels
        used = sorted(set(ids[ids > 0].tolist()))
        assert labels.tolist() == [[used.index(i) + 1 if i else 0 for i in row] for row in ids.tolist()]
