"""Association on cases whose answer is known: who is one object, under which id, whatever the masks do."""

import numpy as np
import torch
from association_world import EACH, World, alone, whole

from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.instances import InstanceState


def ids_of(world: World) -> list[int]:
    found = [world.labels(target) for target in range(len(world.truth) // EACH)]
    assert all(len(labels) == 1 for labels in found), found
    return [labels[0] for labels in found]


def test_masks_that_are_right_give_one_id_each_from_the_first_view_on() -> None:
    world = World(3)
    world.see(alone(0, 1, 2))
    first = ids_of(world)
    assert sorted(first) == [1, 2, 3]
    for order in [(2, 0, 1), (1,), (0, 2), (1, 2, 0)]:  # labels of masks mean nothing from view to view
        world.see(alone(*order))
    assert ids_of(world) == first


def test_an_object_that_an_occluder_divides_in_the_image_stays_one() -> None:
    world = World(2)
    for _ in range(3):
        world.see(alone(0, 1))
    before = ids_of(world)
    for _ in range(2):  # two masks on either side of what stands in front
        world.see({1: [(0, 0.0, 0.4)], 2: [(0, 0.6, 1.0)], 3: whole(1)})
    for _ in range(3):
        world.see(alone(0, 1))
    assert ids_of(world) == before


def test_parts_that_were_seen_apart_become_one_under_the_older_id_once_a_mask_joins_them() -> None:
    world = World(1)
    world.see({1: [(0, 0.0, 0.4)]})
    world.see({1: [(0, 0.6, 1.0)]})
    assert len(set(world.labels(0)) - {0}) == 2
    for _ in range(4):
        world.see(alone(0))
    assert ids_of(world) == [1]
    assert world.tracker.identities.aliases() == {1: (2,)}


def test_an_object_out_of_view_for_long_has_its_id_when_it_returns() -> None:
    world = World(12)
    for _ in range(4):
        world.see(alone(0, 1))
    before = ids_of(world)[:2] if len(world.labels(0)) == 1 else []
    for k in range(200):
        world.see(alone(2 + k % 10, 2 + (k + 1) % 10))
    world.see(alone(1, 0))
    assert [world.labels(0)[0], world.labels(1)[0]] == before


def test_over_segmented_views_do_not_break_an_object() -> None:
    world, rng = World(2), np.random.default_rng(1)
    for k in range(40):
        cut = float(rng.uniform(0.3, 0.7))
        parts = {1: [(0, 0.0, cut)], 2: [(0, cut, 1.0)], 3: whole(1)}
        world.see(parts if k % 8 == 5 else alone(0, 1))
    assert ids_of(world) == [1, 2]


def test_touching_objects_in_one_mask_now_and_then_stay_two() -> None:
    world = World(2)
    for k in range(40):
        world.see({1: whole(0, 1)} if k % 8 == 5 else alone(0, 1))
    assert ids_of(world) == [1, 2]


def test_a_late_verdict_undoes_the_votes_of_masks_that_held_two_objects() -> None:
    """As if the merged masks had never voted: the parts they covered are regrouped, no vote is lost."""
    world = World(2)
    for _ in range(6):
        world.see({1: whole(0, 1)})
    assert world.labels(0) == world.labels(1)
    for _ in range(8):
        world.see(alone(0, 1))
    assert [world.purity(0), world.purity(1)] == [1.0, 1.0]
    assert 1 in ids_of(world), "the larger part keeps the id"


def test_an_object_first_seen_in_the_mask_of_a_known_neighbour_goes_free() -> None:
    world = World(2)
    for _ in range(5):
        world.see(alone(0))
    world.see({1: whole(0, 1)})
    assert world.labels(1) == [1]  # it fills half of a mask that shows object 0
    for _ in range(4):
        world.see(alone(0, 1))
    assert ids_of(world)[0] == 1 and ids_of(world)[1] != 1


def test_errors_of_every_kind_at_the_rates_of_the_recorded_masks_leave_every_object_whole() -> None:
    world, rng = World(10), np.random.default_rng(3)
    for _ in range(60):
        world.see(noisy_view(range(10), rng))
    found = [world.labels(target)[0] for target in range(10)]
    assert len(set(found)) == 10
    assert min(world.purity(target) for target in range(10)) > 0.95


def test_state_does_not_grow_with_the_number_of_masks_seen() -> None:
    world, rng = World(8, TrackingConfig()), np.random.default_rng(5)
    sizes = []
    for _ in range(6):
        for _ in range(60):
            world.see(noisy_view(range(8), rng))
        ids = world.tracker.identities
        sizes.append(
            (world.tracker.next_segment, sum(1 for _ in world.tracker.consensus.pairs()), len(ids.merged_into))
        )
    assert sizes[-1][0] <= 1.3 * sizes[2][0] and sizes[-1][1] <= 1.5 * sizes[2][1], sizes


def test_masks_that_err_for_ever_cut_an_object_into_so_many_parts_and_no_more() -> None:
    config, rng = TrackingConfig(max_segments=4), np.random.default_rng(3)
    world = World(2, config)
    world.see(alone(0, 1))
    before = ids_of(world)
    for _ in range(120):
        cut, end = np.sort(rng.uniform(0, 1, 2))
        divided = {1: [(0, 0.0, cut), (0, end, 1.0)], 2: [(0, cut, end)], 3: whole(1)}
        world.see(divided if rng.random() < 0.3 else alone(0, 1))
        assert max(map(len, world.tracker.identities.segments_of.values())) <= 4
    assert ids_of(world) == before
    assert world.purity(0) == world.purity(1) == 1.0


def test_one_mask_joins_parts_where_masks_come_rarely_and_three_are_needed_where_every_view_has_some() -> None:
    for idle, needed in ((0, 3), (9, 1)):
        world, joined = World(1), 0
        world.see({1: [(0, 0.0, 0.5)], 2: [(0, 0.5, 1.0)]})
        while len(world.labels(0)) > 1:
            see_without_masks(world, idle)
            world.see(alone(0))
            joined += 1
        assert joined == needed


def test_two_masks_part_what_one_joined_where_masks_come_rarely() -> None:
    world = World(2)
    for view, expected in (({1: whole(0, 1)}, 1), (alone(0, 1), 1), (alone(0, 1), 2)):
        see_without_masks(world, 9)
        world.see(view)
        assert len({*world.labels(0), *world.labels(1)}) == expected


def test_what_no_view_shows_takes_on_the_label_around_it_once_a_view_has_no_masks() -> None:
    """Such as what lies just below a surface."""
    world = World(1)
    world.see({1: [(0, 0.0, 0.98)]})
    assert 0 in world.labels(0)
    world.see({})
    assert world.labels(0) == [1]


def test_what_a_large_thing_swallowed_of_a_small_one_goes_free_also_where_later_views_no_longer_show_it() -> None:
    world, large = World(8), whole(0, 1, 2, 3, 4, 5, 6)
    for _ in range(2):
        world.see({1: [*large, (7, 0.0, 0.4)]})
    world.see({1: large, 2: whole(7)})
    for _ in range(6):
        world.see({1: large, 2: [(7, 0.2, 1.0)]})
    assert world.purity(7) == 1.0 and world.labels(7) != world.labels(0)


def lose(world: World, target: int, share: float) -> None:
    """Views look through the first part of an object: the mapper takes it out of the map."""
    gone = np.zeros(len(world.truth), bool)
    gone[np.nonzero(world.truth == target)[0][: round(share * (world.truth == target).sum())]] = True
    world.gaussians.keep(torch.from_numpy(~gone))
    world.truth = world.truth[~gone]


def test_an_object_is_tentative_then_confirmed_then_missing_and_confirmed_again_when_it_is_back() -> None:
    world, config = World(2), TrackingConfig(confirm_views=3)

    def state() -> InstanceState:
        return world.tracker.records[1].state(int((world.truth == 0).sum()), config)

    for expected in (InstanceState.TENTATIVE, InstanceState.TENTATIVE, InstanceState.CONFIRMED):
        world.see(alone(0, 1))
        assert world.labels(0) == [1] and state() == expected
    lose(world, 0, 0.3)
    world.see({0: whole(0)})
    assert state() == InstanceState.CONFIRMED  # a little may be noise
    lose(world, 0, 0.5)
    world.see({0: whole(0)})
    assert state() == InstanceState.MISSING
    assert world.tracker.records[2].lost == 0  # nobody looked through the other
    world.see({1: [(0, 0.0, 1.0)]})
    assert state() == InstanceState.CONFIRMED


def test_what_leaves_the_map_out_of_view_is_not_missing() -> None:
    world = World(2)
    for _ in range(3):
        world.see(alone(0, 1))
    lose(world, 0, 0.9)  # cropped, or given up for lack of room
    world.see(alone(1))
    assert world.tracker.records[1].lost == 0


def test_losing_gaussians_to_another_object_is_not_being_missing() -> None:
    world = World(2)
    for _ in range(3):
        world.see({1: whole(0, 1)})
    for _ in range(8):
        world.see(alone(0, 1))
    assert all(record.lost == 0 for record in world.tracker.records.values())


def test_confidence_ranks_an_object_that_masks_agree_on_above_one_that_they_keep_dividing() -> None:
    world = World(2)
    for k in range(30):
        world.see(alone(0, 1) if k % 3 else {1: whole(0), 2: [(1, 0.0, 0.5)], 3: [(1, 0.5, 1.0)]})
    scores = {world.labels(t)[0]: world.tracker.records[world.labels(t)[0]].score for t in (0, 1)}
    assert scores[1] > scores[2] + 0.1


def see_without_masks(world: World, views: int) -> None:
    for _ in range(views):
        world.see({0: whole(*range(len(world.truth) // EACH))})


def noisy_view(targets: range, rng: np.random.Generator) -> dict[int, list[tuple[int, float, float]]]:
    """10 % missing, 12 % in a mask with their neighbour, 12 % in two parts."""
    view: dict[int, list[tuple[int, float, float]]] = {}
    held = set()
    for target in targets:
        error = rng.random()
        if target in held or error < 0.10:
            continue
        if error < 0.16 and target + 1 in targets:
            view[len(view) + 1] = whole(target, target + 1)
            held.add(target + 1)
        elif error < 0.28:
            cut = float(rng.uniform(0.3, 0.7))
            view[len(view) + 1] = [(target, 0.0, cut)]
            view[len(view) + 1] = [(target, cut, 1.0)]
        else:
            view[len(view) + 1] = whole(target)
    return view


def test_a_verdict_also_reaches_the_sides_that_later_views_no_longer_show() -> None:
    world = World(2)
    for _ in range(3):
        world.see({1: whole(0, 1)})
    for low in (0.0, 0.25, 0.5):  # the camera moves on: half of each object in view
        for _ in range(4):
            world.see({1: [(0, low, low + 0.5)], 2: [(1, low, low + 0.5)]})
    assert min(world.purity(0), world.purity(1)) == 1.0
