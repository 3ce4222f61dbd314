"""Masks repaired by what the map is sure of: known answers, and what a repair must never do."""

import numpy as np
import pytest
from association_world import World, alone, whole

from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.mask_feedback import repaired, sure_ids
from instascene_ros.core.masks import Masks
from instascene_ros.core.record import InstanceRecord

HEIGHT, WIDTH = 120, 160
CONFIG = TrackingConfig()


def image(*boxes: tuple[int, int, int, int, int]) -> np.ndarray:
    """(value, top, left, bottom, right), later ones on top."""
    pixels = np.zeros((HEIGHT, WIDTH), np.int32)
    for value, top, left, bottom, right in boxes:
        pixels[top:bottom, left:right] = value
    return pixels


def masks(*boxes: tuple[int, int, int, int, int]) -> Masks:
    pixels = image(*boxes)
    return Masks(pixels, np.linspace(0.5, 1, int(pixels.max())).astype(np.float32))


CUP, BOWL = (7, 20, 20, 60, 60), (12, 20, 60, 60, 120)  # ids in the map, side by side


def test_a_mask_that_holds_two_sure_instances_is_split_between_them() -> None:
    found = repaired(masks((1, 80, 0, 100, 40), (2, 18, 18, 62, 122)), image(CUP, BOWL), CONFIG)
    assert len({found.labels[40, 40], found.labels[40, 90], found.labels[90, 20], 0}) == 4
    assert (found.labels[20:60, 20:60] == found.labels[40, 40]).all()
    assert found.labels[18, 18] == found.labels[40, 40], "what is left along the border goes to the nearest"
    assert found.scores[found.labels[40, 40] - 1] == found.scores[found.labels[40, 90] - 1] == 1


def test_what_the_map_does_not_know_of_such_a_mask_stays_a_mask() -> None:
    """A new thing beside two known ones must not be taken for a part of one."""
    found = repaired(masks((1, 20, 20, 60, 160)), image(CUP, BOWL), CONFIG)
    new = found.labels[40, 140]
    assert len({found.labels[40, 40], found.labels[40, 90], new, 0}) == 4
    assert (found.labels[20:60, 120:160] == new).all()


def test_masks_that_share_out_one_sure_instance_become_the_largest_of_them() -> None:
    found = repaired(masks((1, 20, 60, 60, 80), (2, 20, 80, 60, 120), (3, 20, 20, 60, 60)), image(CUP, BOWL), CONFIG)
    assert (found.labels[20:60, 60:120] == 2).all()
    assert (found.labels[20:60, 20:60] == 3).all()


@pytest.mark.parametrize(
    "seen",
    [
        masks((1, 20, 20, 60, 60), (2, 20, 60, 60, 120)),  # agrees
        masks((1, 20, 20, 60, 80), (2, 20, 80, 60, 120)),  # holds one instance and a part of the other
        masks((1, 20, 60, 60, 80), (2, 20, 20, 60, 60)),  # a part of an instance, the rest without a mask
        masks((1, 80, 0, 120, 160)),  # of what the map does not know
        Masks.empty(HEIGHT, WIDTH),
    ],
)
def test_masks_that_do_not_contradict_stay_as_they_are(seen: Masks) -> None:
    assert repaired(seen, image(CUP, BOWL), CONFIG) is seen


def test_a_map_that_is_sure_of_nothing_changes_nothing() -> None:
    seen = masks((1, 20, 20, 60, 120))
    assert repaired(seen, image(), CONFIG) is seen


def test_an_instance_of_which_next_to_nothing_shows_changes_nothing() -> None:
    seen = masks((1, 20, 20, 60, 60))
    assert repaired(seen, image(CUP, (9, 59, 59, 60, 60)), CONFIG) is seen


def test_a_repair_moves_borders_between_masks_and_makes_or_unmakes_none_of_their_pixels() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        boxes = [np.sort(rng.integers(0, 120, (2, 2)), axis=0).ravel() for _ in range(12)]
        seen = masks(*[(k, *box) for k, box in enumerate(boxes[:6], start=1)])
        shown = image(*[(10 + k, *box) for k, box in enumerate(boxes[3:])])
        found = repaired(seen, shown, CONFIG)
        np.testing.assert_array_equal(found.labels > 0, seen.labels > 0)
        again = repaired(found, shown, CONFIG)
        assert len(np.unique(again.labels)) <= len(np.unique(found.labels)) + 1


def test_sure_is_what_most_of_enough_views_saw_as_a_whole() -> None:
    records = {
        1: InstanceRecord(0, 0, num_views=8, num_whole_views=7, wholeness=6.5),
        2: InstanceRecord(0, 0, num_views=2, num_whole_views=2, wholeness=1.9),  # too few views
        3: InstanceRecord(0, 0, num_views=20, num_whole_views=8, wholeness=14.0),  # mostly seen in parts
        4: InstanceRecord(0, 0, num_views=8, num_whole_views=6, wholeness=3.9),  # masks fit badly
    }
    assert sure_ids(records, CONFIG) == [1]


def test_repaired_votes_are_no_evidence() -> None:
    """Masks hold both objects from now on: however their votes are repaired, the map learns that it is one."""
    world = World(2)
    for _ in range(4):
        world.see(alone(0, 1))
    assert len({world.labels(0)[0], world.labels(1)[0]}) == 2
    for _ in range(20):
        world.see({1: whole(0, 1)}, votes=alone(0, 1))
    assert world.labels(0) == world.labels(1) == [1]


def test_a_repaired_vote_labels_what_a_merged_mask_could_not() -> None:
    """New surface inside a mask over two objects: it belongs to neither until the mask is split."""
    half = {1: [(0, 0.0, 0.5)], 2: [(1, 0.5, 1.0)]}
    plain, repairing = World(2), World(2)
    for world in (plain, repairing):
        for _ in range(4):
            world.see(half)
    plain.see({1: whole(0, 1)})
    repairing.see({1: whole(0, 1)}, votes=alone(0, 1))
    assert repairing.purity(0) == repairing.purity(1) == 1
    assert plain.purity(0) < 1
