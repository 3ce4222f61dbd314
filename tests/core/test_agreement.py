"""Of two decompositions each region takes the one that masks show as wholes."""

import numpy as np
from traced import traced

from instascene_ros.core.offline.agreement import best_of
from instascene_ros.core.offline.evidence import Evidence, voted

A, B, C = (list(range(k * 60, (k + 1) * 60)) for k in range(3))
TRUTH = np.repeat([1, 2, 3], 60)


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = np.unique(np.stack([a, b]), axis=1)
    return len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


def test_each_region_takes_the_better_decomposition() -> None:
    views = traced(180, [[A, B, C]] * 6)
    merged = np.repeat([4, 4, 9], 60)  # takes A and B for one
    split = TRUTH.copy()
    split[C[:30]] = 7  # takes C for two
    assert same_partition(best_of([merged, split], views, 20.0), TRUTH)
    assert same_partition(best_of([split, merged], views, 20.0), TRUTH)


def test_a_lump_of_everything_spoils_nothing() -> None:
    views = traced(180, [[A, B, C]] * 6)
    merged = np.repeat([4, 4, 9], 60)
    lump = np.ones(180, np.int64)
    assert same_partition(best_of([merged, TRUTH, lump], views, 20.0), TRUTH)
    nothing = np.zeros(180, np.int64)
    assert same_partition(best_of([nothing, TRUTH], views, 20.0), TRUTH)
    assert same_partition(best_of([TRUTH, nothing], views, 20.0), TRUTH)


def test_borders_follow_the_masks_but_not_those_that_hold_two_objects() -> None:
    views = traced(180, [[A, B, C]] * 5 + [[A + B, C]] * 4)
    labels = TRUTH.copy()
    labels[B[:10]] = 1
    assert same_partition(voted(views, labels), TRUTH)
    assert Evidence.of(views, TRUTH, 3).set_of_mask(views)[-2:].tolist() == [0, 3]


def test_views_without_masks_count_neither_for_nor_against() -> None:
    dense, sparse = traced(180, [[A, B, C]] * 3), traced(180, [[A, B, C], [], [], [A, B, C], [], [A, B, C]])
    expected = Evidence.of(dense, TRUTH, 3).wholeness(20.0)
    np.testing.assert_allclose(Evidence.of(sparse, TRUTH, 3).wholeness(20.0), expected)
