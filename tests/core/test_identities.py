"""Ids that stay: merges, splits, aliases."""

from hypothesis import given, settings
from hypothesis import strategies as st

from instascene_ros.core.identities import Identities


def same_size(segment: int) -> float:
    return 1.0


def test_a_merge_keeps_the_older_id_and_publishes_the_alias() -> None:
    ids = Identities()
    ids.regroup([[1], [2], [3]], same_size)
    changed = ids.regroup([[1, 3], [2]], same_size)
    assert ids.instance_of == {1: 1, 3: 1, 2: 2}
    assert ids.aliases()[1] == (3,)
    assert changed == {1, 3}


def test_a_split_leaves_the_id_with_the_larger_part_and_never_reuses_one() -> None:
    ids = Identities()
    ids.regroup([[1, 2, 3]], same_size)
    ids.regroup([[1], [2, 3]], same_size)
    assert ids.instance_of == {2: 1, 3: 1, 1: 2}
    ids.regroup([[1, 2, 3]], same_size)
    assert ids.aliases()[1] == (2,)
    ids.regroup([[1, 2], [3]], same_size)
    assert ids.instance_of[3] == 3


def test_aliases_follow_chains_of_merges() -> None:
    ids = Identities()
    ids.regroup([[1], [2], [3]], same_size)
    ids.regroup([[2, 3]], same_size)
    ids.regroup([[1], [2, 3]], same_size)
    ids.regroup([[1, 2, 3]], same_size)
    assert ids.aliases()[1] == (2, 3)


def test_forgetting_the_last_segment_removes_the_instance() -> None:
    ids = Identities()
    ids.regroup([[1, 2]], same_size)
    ids.forget(1)
    assert ids.segments_of == {1: [2]}
    ids.forget(2)
    assert ids.segments_of == {} and ids.instance_of == {}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=8))
def test_whatever_happens_every_segment_has_one_instance_and_unchanged_groups_keep_their_id(
    partitions: list[list[int]],
) -> None:
    ids = Identities()
    previous: dict[frozenset[int], int] = {}
    used: set[int] = set()
    for partition in partitions:
        groups = [[s + 1 for s in range(6) if partition[s] == g] for g in set(partition)]
        ids.regroup(groups, same_size)
        now = {frozenset(members): instance for instance, members in ids.segments_of.items()}
        assert sorted(s for group in now for s in group) == [1, 2, 3, 4, 5, 6]
        for group, instance in now.items():
            assert all(ids.instance_of[s] == instance for s in group)
            if group in previous:
                assert previous[group] == instance
        assert not (set(now.values()) & set(ids.merged_into))
        assert all(i in used or i > max(used, default=0) for i in now.values())
        used |= set(now.values())
        previous = now


def test_numbers_of_segments_that_are_given_out_again_bring_no_bond_with_them() -> None:
    ids = Identities()
    ids.regroup([[1], [2], [3]], lambda segment: 1.0)
    ids.join([1, 2])
    ids.forget(1)
    ids.regroup([[1], [4]], lambda segment: 1.0)  # another object, under the same number
    ids.join([ids.instance_of[1], ids.instance_of[4]])
    assert ids.bond_of[2] != ids.bond_of[1] == ids.bond_of[4]
