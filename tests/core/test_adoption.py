"""What becomes of refined sets when the tracker takes them over."""

import numpy as np
import torch
from association_world import EACH, World, alone
from traced import traced

from instascene_ros.core.offline.adoption import adopt
from instascene_ros.core.offline.coarse_objects import CoarseObjects
from instascene_ros.core.offline.refiner import Refinement
from instascene_ros.core.offline.traced_views import TracedViews
from instascene_ros.core.support_plane import Plane

TABLE, OBJECT = list(range(EACH)), list(range(EACH, 2 * EACH))
NOTHING = CoarseObjects(np.zeros((2 * EACH, 0), bool), np.zeros(0, np.int32), np.zeros(0, bool))


def on_a_table() -> World:
    """Object 1 stands 5 cm above object 0, which is known to be a support."""
    world = World(2)
    world.gaussians.means_m[EACH:, 2] = 0.05
    for _ in range(3):
        world.see(alone(0, 1))
    world.tracker.planes = {1: Plane(np.array([0.0, 0.0, 1.0]), 0.0, 0.006)}
    return world


def refinement(world: World, sets: np.ndarray, views: TracedViews) -> Refinement:
    before = world.tracker.labels(world.gaussians).numpy()
    return Refinement(sets, before, torch.zeros(len(sets), 16), views, NOTHING)


def test_what_stands_off_a_support_stays_with_its_object_whatever_the_refined_set_says() -> None:
    world = on_a_table()
    sets = np.array([1] * (EACH + 40) + [2] * (EACH - 40))  # the table's has a third of the object
    adopt(refinement(world, sets, traced(2 * EACH, [[TABLE, OBJECT]] * 3)), world.tracker, world.gaussians)
    assert (world.labels(0), world.labels(1)) == ([1], [2])


def test_a_support_of_which_much_stands_off_the_plane_is_no_support_and_is_left_alone() -> None:
    world = on_a_table()
    sets = np.array([1] * (2 * EACH - 10) + [2] * 10)
    adopt(refinement(world, sets, traced(2 * EACH, [[TABLE, OBJECT]] * 3)), world.tracker, world.gaussians)
    assert world.labels(1)[0] == world.labels(0)[0]


def test_views_of_masks_that_come_rarely_are_counted_as_when_mapping() -> None:
    world = on_a_table()
    sets = np.array([1] * EACH + [2] * EACH)
    views = traced(2 * EACH, [[TABLE, OBJECT], [], [], [TABLE, OBJECT], [], [TABLE, OBJECT]])
    adopt(refinement(world, sets, views), world.tracker, world.gaussians)
    ((_, _, count),) = world.tracker.consensus.pairs()
    assert (count.observers, count.supporters) == (1 + 3 + 2, 0)
