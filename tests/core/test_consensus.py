"""View consensus: who is one object, and how stubborn that verdict is."""

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


def test_a_cut_part_inherits_what_is_known_of_the_whole_and_a_forgotten_one_leaves_nothing() -> None:
    consensus = graph()
    consensus.add(1, 2, observers=8, supporters=1)
    consensus.inherit(child=3, parent=1)
    assert consensus.count(3, 2).observers == 8
    consensus.forget(2)
    assert consensus.count(3, 2).observers == 0
    assert consensus.group([1, 3], {}) == [[1], [3]]
