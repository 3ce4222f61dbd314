"""Label votes: sums, slots, moves."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.votes import (
    FAINT,
    cast,
    fold_votes,
    move_votes,
    spread,
    winning_labels,
    winning_segments,
    withdraw,
)


def surfels(n: int) -> GaussianMap:
    quats = torch.tensor([[1.0, 0, 0, 0]]).repeat(n, 1)
    return GaussianMap.from_surfels(
        torch.zeros(n, 3), quats, torch.full((n, 2), 0.01), torch.full((n,), 0.9), torch.zeros(n, 3)
    )


def vote(gaussians: GaussianMap, *votes: tuple[int, int, float]) -> None:
    """Cast votes one after the other."""
    for row, segment, weight in votes:
        cast(gaussians, torch.tensor([row]), torch.tensor([[segment]]), torch.tensor([[weight]]))


def votes_for(gaussians: GaussianMap, segment: int) -> list[float]:
    return (gaussians.vote_weights * (gaussians.vote_ids == segment)).sum(dim=1).tolist()


def winners(gaussians: GaussianMap) -> list[int]:
    return winning_segments(gaussians)[0].tolist()


def test_votes_add_up_and_the_heaviest_wins() -> None:
    gaussians = surfels(3)
    vote(gaussians, (0, 7, 0.25), (0, 7, 0.5), (0, 9, 0.5), (2, 9, 0.25), (2, 0, 5.0))
    assert winners(gaussians) == [7, 0, 9]
    assert winning_segments(gaussians)[1].tolist() == [0.75, 0, 0.25]
    assert votes_for(gaussians, 7) == [0.75, 0.0, 0.0]


def test_segments_of_one_label_count_together() -> None:
    gaussians = surfels(2)
    vote(gaussians, (0, 7, 4.0), (0, 8, 3.0), (0, 9, 2.0), (1, 7, 1.0), (1, 5, 9.0))
    label_of = torch.tensor([0, 0, 0, 0, 0, 0, 0, 1, 2, 2])  # 7 -> 1; 8 and 9 -> 2; 5 -> none
    assert winning_labels(gaussians, label_of).tolist() == [2, 1]


def test_withdrawn_votes_leave_nothing() -> None:
    gaussians = surfels(2)
    vote(gaussians, (0, 7, 4.0), (0, 8, 3.0), (1, 7, 1.0))
    withdraw(gaussians, {7, 99})
    assert winners(gaussians) == [8, 0] and gaussians.vote_weights.sum() == 3.0


def test_an_empty_ballot_changes_nothing() -> None:
    gaussians = surfels(2)
    vote(gaussians, (0, 0, 1.0))
    assert winners(gaussians) == [0, 0]


def test_a_full_table_gives_up_its_lightest_vote_but_not_to_a_lighter_one() -> None:
    gaussians = surfels(1)
    vote(gaussians, (0, 1, 4.0), (0, 2, 3.0), (0, 3, 2.0), (0, 4, 1.0))
    vote(gaussians, (0, 5, 0.5))
    assert sorted(gaussians.vote_ids[0].tolist()) == [1, 2, 3, 4]
    vote(gaussians, (0, 6, 1.5))
    assert sorted(gaussians.vote_ids[0].tolist()) == [1, 2, 3, 6]


def test_labels_spread_around_the_edges_of_what_is_clear_of_supports_but_not_onto_a_support() -> None:
    """Three surfels of one cell: one that a mask showed, one that faces the same way, one that faces aside."""
    aside = torch.tensor([2**-0.5, 0.0, 2**-0.5, 0.0])
    for clear, expected in ((True, [7, 7, 7]), (False, [7, 7, 0])):
        gaussians = surfels(3)
        gaussians.quats_wxyz[2] = aside
        vote(gaussians, (0, 7, 1.0))
        spread(gaussians, torch.arange(3), torch.full((3,), clear), radius_m=0.015)
        assert winners(gaussians) == expected
        assert abs(votes_for(gaussians, 7)[1] - FAINT) < 1e-6


def test_moved_votes_keep_their_weight() -> None:
    gaussians = surfels(2)
    vote(gaussians, (0, 1, 2.0), (1, 1, 3.0), (1, 2, 1.0))
    move_votes(gaussians, torch.tensor([1]), old=torch.tensor([1]), new=torch.tensor([8]))
    assert winners(gaussians) == [1, 8]
    assert votes_for(gaussians, 8) == [0.0, 3.0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(1, 8)), max_size=40))
def test_with_no_more_segments_than_slots_the_table_is_an_exact_histogram(votes: list[tuple[int, int, int]]) -> None:
    gaussians = surfels(4)
    vote(gaussians, *((row, segment, float(weight)) for row, segment, weight in votes))
    for segment in range(1, 5):
        expected = [sum(w for r, s, w in votes if (r, s) == (row, segment)) for row in range(4)]
        assert votes_for(gaussians, segment) == expected


def test_folded_votes_count_for_the_whole() -> None:
    gaussians = surfels(3)
    vote(gaussians, (0, 7, 0.5), (0, 8, 0.75), (0, 9, 1.0), (0, 5, 2.0), (1, 8, 1.0), (2, 5, 1.0))
    fold_votes(gaussians, {7: 9, 8: 9})
    assert votes_for(gaussians, 9) == [2.25, 1.0, 0.0] and votes_for(gaussians, 5) == [2.0, 0.0, 1.0]
    assert winners(gaussians) == [9, 9, 5]
    assert sorted(gaussians.vote_ids[0].tolist()) == [0, 0, 5, 9]
    vote(gaussians, (0, 3, 0.25), (0, 4, 0.25))  # slots that came free can be used
    assert votes_for(gaussians, 3)[0] == votes_for(gaussians, 4)[0] == 0.25
