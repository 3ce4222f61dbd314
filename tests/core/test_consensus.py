"""View consensus: who is one object, and how stubborn that verdict is."""

import itertools
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.consensus import ConsensusGraph


def graph() -> ConsensusGraph:
    return ConsensusGraph(TrackingConfig(min_consensus=0.6, consensus_prior_views=2.0, consensus_memory=60.0))


def test_segments_that_share_a_mask_in_most_views_become_one_object() -> None:
    consensus = graph()
    for _ in range(4):
        consensus.observe({1: 10, 2: 10, 3: 11})
    assert sorted(map(sorted, consensus.group([1, 2, 3], {}))) == [[1, 2], [3]]


def test_one_view_is_not_enough_to_merge_and_one_bad_view_not_enough_to_split() -> None:
    consensus = graph()
    consensus.observe({1: 10, 2: 10})
    assert consensus.group([1, 2], {}) == [[1], [2]]
    for _ in range(9):
        consensus.observe({1: 10, 2: 10})
    consensus.observe({1: 10, 2: 11})
    assert consensus.group([1, 2], {1: 5, 2: 5}) == [[1, 2]]


def test_a_bridging_part_does_not_chain_two_objects() -> None:
    consensus = graph()
    for _ in range(10):
        consensus.observe({1: 10, 2: 10, 3: 11})  # 2 goes with 1
        consensus.observe({1: 10, 2: 11, 3: 11})  # and as often with 3: but 1 and 3 never meet
    groups = consensus.group([1, 2, 3], {})
    assert not any({1, 3} <= set(group) for group in groups)


def test_a_verdict_is_revised_when_later_views_disagree() -> None:
    consensus = graph()
    for _ in range(3):
        consensus.observe({1: 10, 2: 10})  # merged by mistake in the first views
    for _ in range(10):
        consensus.observe({1: 10, 2: 11})
    assert consensus.group([1, 2], {1: 5, 2: 5}) == [[1], [2]]


def test_old_evidence_fades() -> None:
    consensus = graph()
    consensus.add(1, 2, observers=1000, supporters=1000)
    assert consensus.count(1, 2).observers == 60
    consensus.add(1, 2, observers=60, supporters=0)
    assert consensus.count(1, 2).supporters == 30


def test_a_forgotten_segment_leaves_nothing() -> None:
    consensus = graph()
    consensus.add(1, 2, observers=8, supporters=8)
    consensus.add(1, 3, observers=4, supporters=1)
    consensus.forget(2)
    assert [(a, b, pair.observers) for a, b, pair in consensus.pairs()] == [(1, 3, 4)]
    assert consensus.group([1, 3], {}) == [[1], [3]]


def slow_groups(
    pairs: dict[tuple[int, int], tuple[int, int]], together: set[tuple[int, int]], n: int
) -> set[frozenset]:
    """Average linkage by brute force: the oracle."""
    groups = [frozenset([s]) for s in range(1, n + 1)]
    while True:
        best, ratio = None, 0.6
        for a, b in itertools.combinations(groups, 2):
            crossing = [p for p in pairs if (p[0] in a) != (p[1] in a) and set(p) <= a | b]
            if not crossing:
                continue
            observers, supporters = (sum(pairs[p][k] for p in crossing) for k in (0, 1))
            kept = any(p in together for p in crossing)
            if (now := (supporters + 2 * kept) / (observers + 2)) > ratio:
                best, ratio = (a, b), now
        if best is None:
            return set(groups)
        groups = [g for g in groups if g not in best] + [best[0] | best[1]]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 8), st.randoms(use_true_random=False))
def test_grouping_agrees_with_brute_force(n: int, random: Random) -> None:
    consensus, pairs = graph(), {}
    group_of = {s: random.randint(1, 3) for s in range(1, n + 1) if random.random() < 0.7}
    for pair in itertools.combinations(range(1, n + 1), 2):
        if random.random() < 0.6:
            observers = random.randint(1, 20) + random.randint(1, 97) / 101  # no two ratios are equal
            pairs[pair] = (observers, random.random() * observers)
            consensus.add(*pair, *pairs[pair])
    together = {p for p in pairs if p[0] in group_of and group_of[p[0]] == group_of.get(p[1])}
    assert set(map(frozenset, consensus.group(range(1, n + 1), group_of))) == slow_groups(pairs, together, n)


def test_the_weld_that_risks_least_comes_first() -> None:
    consensus = graph()
    consensus.add(1, 2, observers=20, supporters=20)  # surely one, and 2 is large
    consensus.add(1, 3, observers=20, supporters=2)  # surely two
    assert consensus.cheapest_weld([1, 2, 3], [500, 400, 300]) == (2, 1)
    assert consensus.cheapest_weld([1, 2, 3, 4], [500, 400, 300, 3])[0] == 4  # a crumb that no view can judge
    consensus.fold(2, 1)
    assert [(a, b) for a, b, _ in consensus.pairs()] == [(1, 3)]


def test_what_more_views_say_of_a_part_holds_for_the_whole() -> None:
    consensus = graph()
    consensus.add(1, 2, observers=9, supporters=9)
    consensus.add(1, 3, observers=4, supporters=4)
    consensus.add(2, 3, observers=8, supporters=1)
    consensus.add(2, 4, observers=5, supporters=5)
    consensus.fold(2, 1)
    assert {(a, b): (p.observers, p.supporters) for a, b, p in consensus.pairs()} == {(1, 3): (8, 1), (1, 4): (5, 5)}


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(0, 1), st.booleans()), max_size=400))
@settings(max_examples=50, deadline=None)
def test_the_table_of_pairs_is_a_dictionary(steps: list[tuple[int, int, int, bool]]) -> None:
    """However it grows, and whatever is forgotten in between."""
    consensus, expected = graph(), {}
    for a, b, support, forget in steps:
        if forget:
            consensus.forget(a)
            expected = {pair: count for pair, count in expected.items() if a not in pair}
        elif a != b:
            pair = (min(a, b), max(a, b))
            consensus.add(a, b, 1, support)
            observers, supporters = expected.get(pair, (0, 0))
            expected[pair] = (observers + 1, supporters + support)
    found = {(a, b): (p.observers, p.supporters) for a, b, p in consensus.pairs()}
    assert found == expected and list(found) == sorted(found)
