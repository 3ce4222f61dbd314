"""Label votes: sums, slots, moves."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.votes import Ballot, cast, move_votes, votes_for, winning_segments


def surfels(n: int) -> GaussianMap:
    quats = torch.tensor([[1.0, 0, 0, 0]]).repeat(n, 1)
    return GaussianMap.from_surfels(
        torch.zeros(n, 3), quats, torch.full((n, 2), 0.01), torch.full((n,), 0.9), torch.zeros(n, 3)
    )


def vote(gaussians: GaussianMap, *pairs: tuple[int, int, float]) -> None:
    rows, segments, weights = zip(*pairs, strict=True)
    cast(gaussians, Ballot.tally(torch.tensor(rows), torch.tensor(segments), torch.tensor(weights)))


def test_votes_of_one_frame_add_up_and_the_heaviest_wins() -> None:
    gaussians = surfels(3)
    vote(gaussians, (0, 7, 0.4), (0, 7, 0.4), (0, 9, 0.5), (2, 9, 0.2), (2, 0, 5.0))
    assert winning_segments(gaussians).tolist() == [7, 0, 9]
    assert votes_for(gaussians, torch.tensor([0, 1, 2]), 7).tolist() == [torch.tensor(0.8).item(), 0.0, 0.0]


def test_an_empty_ballot_changes_nothing() -> None:
    gaussians = surfels(2)
    vote(gaussians, (0, 0, 1.0))
    assert winning_segments(gaussians).tolist() == [0, 0]


def test_a_full_table_gives_up_its_lightest_vote_but_not_to_a_lighter_one() -> None:
    gaussians = surfels(1)
    vote(gaussians, (0, 1, 4.0), (0, 2, 3.0), (0, 3, 2.0), (0, 4, 1.0))
    vote(gaussians, (0, 5, 0.5))
    assert sorted(gaussians.vote_ids[0].tolist()) == [1, 2, 3, 4]
    vote(gaussians, (0, 6, 1.5))
    assert sorted(gaussians.vote_ids[0].tolist()) == [1, 2, 3, 6]


def test_moved_votes_keep_their_weight() -> None:
    gaussians = surfels(2)
    vote(gaussians, (0, 1, 2.0), (1, 1, 3.0), (1, 2, 1.0))
    move_votes(gaussians, torch.tensor([1]), old=1, new=8)
    assert winning_segments(gaussians).tolist() == [1, 8]
    assert votes_for(gaussians, torch.tensor([1]), 8).tolist() == [3.0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(1, 8)), max_size=40))
def test_with_no_more_segments_than_slots_the_table_is_an_exact_histogram(votes: list[tuple[int, int, int]]) -> None:
    gaussians = surfels(4)
    for start in range(0, len(votes), 7):
        vote(gaussians, *((row, segment, float(weight)) for row, segment, weight in votes[start : start + 7]))
    for row in range(4):
        for segment in range(1, 5):
            expected = sum(w for r, s, w in votes if (r, s) == (row, segment))
            assert votes_for(gaussians, torch.tensor([row]), segment).item() == expected
