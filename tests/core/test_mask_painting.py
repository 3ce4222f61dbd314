"""Scored masks -> one label image: known answers."""

import numpy as np
import pytest
from jaxtyping import Bool, Float32

from instascene_ros.core.config import NetworkConfig
from instascene_ros.core.mask_painting import painted
from instascene_ros.core.masks import Masks

CONFIG = NetworkConfig(min_area_px=400)  # at 640 px, so 100 px on these images
HEIGHT, WIDTH = 240, 320


def box(top: int, left: int, bottom: int, right: int) -> Bool[np.ndarray, "H W"]:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


def scores(*values: float) -> Float32[np.ndarray, " M"]:
    return np.array(values, np.float32)


def at(masks: Masks, row: int, column: int) -> float:
    """Score of the mask that has the pixel; 0 = none."""
    label = masks.labels[row, column]
    return round(float(masks.scores[label - 1]), 3) if label else 0.0


def test_no_masks_are_no_labels() -> None:
    masks = painted(np.zeros((0, HEIGHT, WIDTH), bool), scores(), CONFIG)
    assert len(masks) == 0 and not masks.labels.any()


def test_unsure_and_small_masks_are_left_out() -> None:
    stack = np.stack([box(0, 0, 50, 50), box(100, 0, 109, 10), box(100, 100, 110, 110), box(150, 0, 170, 20)])
    masks = painted(stack, scores(0.49, 0.9, 0.5, 0.8), CONFIG)  # 90 px are too few, 100 px and 0.5 are enough
    assert sorted(masks.scores.tolist()) == pytest.approx([0.5, 0.8])
    assert at(masks, 10, 10) == at(masks, 105, 5) == 0


def test_the_least_area_grows_with_the_image() -> None:
    stack = np.repeat(np.repeat(box(100, 100, 110, 119)[None], 4, axis=1), 4, axis=2)  # 40 x 76 px at 1280 px
    assert len(painted(stack, scores(0.9), NetworkConfig(min_area_px=770))) == 0  # 3080 px there
    assert len(painted(stack, scores(0.9), NetworkConfig(min_area_px=750))) == 1


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_better_of_two_overlapping_masks_has_the_common_part(order: tuple[int, int]) -> None:
    stack = np.stack([box(0, 0, 100, 100), box(0, 60, 100, 160)])
    values = scores(0.6, 0.9)
    masks = painted(stack[list(order)], values[list(order)], CONFIG)
    assert (at(masks, 50, 80), at(masks, 50, 20), at(masks, 50, 120)) == (0.9, 0.6, 0.9)


@pytest.mark.parametrize("part", [0.55, 0.95])
def test_the_finest_level_wins_whatever_the_scores(part: float) -> None:
    whole, lid, label = box(0, 0, 200, 200), box(0, 0, 60, 200), box(20, 20, 50, 60)
    masks = painted(np.stack([label, whole, lid]), scores(part - 0.05, 0.8, part), CONFIG)
    assert at(masks, 35, 40) == pytest.approx(part - 0.05)
    assert at(masks, 5, 5) == pytest.approx(part)
    assert at(masks, 150, 150) == 0.8


def test_a_part_does_not_beat_a_better_neighbour_of_its_whole() -> None:
    whole, part, neighbour = box(0, 0, 100, 100), box(0, 50, 100, 100), box(0, 80, 100, 200)
    masks = painted(np.stack([whole, part, neighbour]), scores(0.7, 0.6, 0.9), CONFIG)
    assert (at(masks, 50, 60), at(masks, 50, 90)) == (0.6, 0.9)


def test_two_outlines_of_one_thing_are_one_mask() -> None:
    masks = painted(np.stack([box(0, 0, 100, 100), box(0, 0, 100, 96)]), scores(0.8, 0.7), CONFIG)
    assert masks.scores.tolist() == pytest.approx([0.8])
    assert (masks.labels == 1).sum() == 100 * 100


def test_what_parts_cover_whole_is_gone() -> None:
    halves = box(0, 0, 100, 50), box(0, 50, 100, 100)
    masks = painted(np.stack([box(0, 0, 100, 100), *halves]), scores(0.9, 0.6, 0.7), CONFIG)
    assert sorted(masks.scores.tolist()) == pytest.approx([0.6, 0.7])
    assert set(np.unique(masks.labels)) == {0, 1, 2}


def test_each_pixel_belongs_to_a_mask_that_has_it() -> None:
    rng = np.random.default_rng(0)
    stack = np.stack([box(*np.sort(rng.integers(0, 240, (2, 2)), axis=0).ravel()) for _ in range(40)])
    values = rng.uniform(0.3, 1, 40).astype(np.float32)
    masks = painted(stack, values, CONFIG)
    assert (np.diff(np.unique(masks.labels)) == 1).all() and masks.labels.max() == len(masks)
    for label, score in enumerate(masks.scores.tolist(), start=1):
        source = int(np.flatnonzero(values == np.float32(score))[0])
        assert stack[source][masks.labels == label].all()
        assert (masks.labels == label).sum() >= 100
