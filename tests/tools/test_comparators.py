"""The other systems find objects where masks are easy, and fail where their papers say they do."""

import numpy as np
import pytest
from traced import traced

from instascene_ros.core.offline.traced_views import TracedViews
from instascene_ros.tools.comparators import COMPARATORS
from instascene_ros.tools.comparators.mask_clustering import without_boundary

EACH, NUM_OBJECTS, NUM_VIEWS = 120, 3, 20
OBJECTS = [list(range(k * EACH, (k + 1) * EACH)) for k in range(NUM_OBJECTS)]


def points() -> np.ndarray:
    """Three flat squares of 8 cm, 30 cm apart."""
    spots = np.random.default_rng(0).uniform(0, 0.08, (NUM_OBJECTS * EACH, 3)) * [1, 1, 0]
    spots[:, 0] += np.repeat(np.arange(NUM_OBJECTS) * 0.3, EACH)
    return spots.astype(np.float32)


def colors(*of_objects: tuple[float, float, float]) -> np.ndarray:
    """One colour for each object, with a little noise."""
    noise = np.random.default_rng(1).normal(0, 0.02, (NUM_OBJECTS * EACH, 3))
    return np.clip(np.repeat(np.array(of_objects), EACH, axis=0) + noise, 0, 1).astype(np.float32)


RED, GREEN, BLUE = (0.8, 0.2, 0.2), (0.2, 0.7, 0.2), (0.2, 0.2, 0.8)
THREE_COLORS = colors(RED, GREEN, BLUE)


def partition_of(labels: np.ndarray) -> list[list[int]]:
    return sorted(np.nonzero(labels == i)[0].tolist() for i in np.unique(labels[labels > 0]))


@pytest.mark.parametrize("name", COMPARATORS)
def test_clean_masks_give_the_objects(name: str) -> None:
    views = traced(NUM_OBJECTS * EACH, [OBJECTS[k % 3 :] + OBJECTS[: k % 3] for k in range(NUM_VIEWS)])
    assert partition_of(COMPARATORS[name](views, points(), THREE_COLORS)) == OBJECTS


def test_tracking_in_2d_loses_an_object_that_was_long_out_of_view() -> None:
    """Without a map nothing says that it is the same one."""
    gone = [OBJECTS[1:]] * 15
    views = traced(NUM_OBJECTS * EACH, [OBJECTS] * 8 + gone + [OBJECTS] * 8)
    labels = COMPARATORS["2D mask tracking"](views, points(), THREE_COLORS)
    tracked = views_of_first(views, labels)
    assert tracked and len(partition_of(labels)) == 3
    late = traced(NUM_OBJECTS * EACH, [OBJECTS] * 6 + gone + [[OBJECTS[0][:60], *OBJECTS[1:]]] * 9)
    assert len(partition_of(COMPARATORS["2D mask tracking"](late, points(), THREE_COLORS))) == 4


def views_of_first(views: TracedViews, labels: np.ndarray) -> bool:
    return bool((labels[OBJECTS[0]] > 0).all()) and views.num_views == 31


def test_gaussians_in_two_masks_of_a_view_are_left_out() -> None:
    views = without_boundary(traced(6, [[[0, 1, 2], [2, 3]], [[2, 3, 4]]]))
    assert views.tracker.toarray()[2].tolist() == [0, 0, 1]
    assert views.tracker.toarray()[0].tolist() == [1, 0, 0]


@pytest.mark.parametrize("name", COMPARATORS)
def test_no_masks_no_instances(name: str) -> None:
    assert (
        COMPARATORS[name](traced(5, [[], []]), np.zeros((5, 3), np.float32), np.zeros((5, 3), np.float32)) == 0
    ).all()


def test_appearance_takes_copies_for_one_object_when_they_are_seen_in_turn() -> None:
    """Geometry tells them apart: they are 30 cm from each other."""
    first, second, third = OBJECTS
    views = traced(NUM_OBJECTS * EACH, [[first, third]] * 8 + [[second, third]] * 8)
    copies = colors(RED, RED, BLUE)
    assert partition_of(COMPARATORS["appearance (re-implemented)"](views, points(), copies)) == [first + second, third]
    assert partition_of(COMPARATORS["MaskClustering (re-implemented)"](views, points(), copies)) == OBJECTS
