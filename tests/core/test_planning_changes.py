"""The planner's world follows ours, whatever happened to it meanwhile, and nobody else's objects are touched."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from instascene_ros.core.collision_bodies import CollisionBody, box_body, hull_body, max_parts, mesh_body, parts_body
from instascene_ros.core.planning_changes import Change, Names, Operation, Told, changes_between, told_after

NAMES = Names("instascene")
MAP = "19149fa7-b6f5-4971-aaf9-0340a48b3fd0"
CUP, BOX = NAMES.of(MAP, 3), NAMES.of(MAP, 12)


def at(x: float = 0.0, turn_deg: float = 0.0) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler("z", turn_deg, degrees=True).as_matrix()
    T[0, 3] = x
    return T


def body(x: float = 0.0, size: float = 0.1, turn_deg: float = 0.0) -> CollisionBody:
    return box_body(at(x, turn_deg), np.array([size, 0.1, 0.1]), 0.0)


def told(one: CollisionBody) -> Told:
    return Told(one.shape_key, one.T_world_body)


def operations(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.operation.name, change.id) for change in changes]


def test_names_hold_the_map_and_the_id() -> None:
    assert CUP == "instascene_19149fa7_3"
    assert NAMES.is_ours(CUP)
    for other in ("instascene_table", "table", "", "instascene_19149fa7_0", "xinstascene_19149fa7_3", f"{CUP}/lid"):
        assert not NAMES.is_ours(other)
    assert not Names("left").is_ours(CUP), "two robots may share one planning scene"
    with pytest.raises(ValueError, match="prefix"):
        Names("")


def test_new_objects_are_added_and_nothing_is_said_twice() -> None:
    wanted = {CUP: body(), BOX: body(0.5)}
    changes = changes_between(wanted, {}, ["table"], [], NAMES)
    assert operations(changes) == [("ADD", BOX), ("ADD", CUP)]
    after = told_after(changes, {}, [], wanted)
    assert changes_between(wanted, after, ["table", CUP, BOX], [], NAMES) == []


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (body(0.001), []),
        (body(0.01), ["MOVE"]),
        (body(turn_deg=2), ["MOVE"]),
        (body(size=0.1004), []),
        (body(size=0.12), ["ADD"]),
        (body(0.01, size=0.12), ["ADD"]),
    ],
)
def test_a_pose_is_moved_and_a_shape_replaced_when_a_planner_would_notice(now: CollisionBody, expected: list) -> None:
    changes = changes_between({CUP: now}, {CUP: told(body())}, [CUP], [], NAMES)
    assert [change.operation.name for change in changes] == expected


def test_only_our_own_objects_are_removed() -> None:
    old_map = NAMES.of("0badcafe-map", 1)
    world = [CUP, old_map, "table", "instascene_table", "left_19149fa7_3"]
    changes = changes_between({}, {CUP: told(body())}, world, [], NAMES)
    assert operations(changes) == [("REMOVE", old_map), ("REMOVE", CUP)]
    assert told_after(changes, {CUP: told(body())}, [], []) == {}


def test_what_the_planner_lost_is_added_again() -> None:
    assert operations(changes_between({CUP: body()}, {CUP: told(body())}, [], [], NAMES)) == [("ADD", CUP)]


def test_after_our_own_restart_what_stands_in_the_world_is_replaced() -> None:
    assert operations(changes_between({CUP: body()}, {}, [CUP], [], NAMES)) == [("ADD", CUP)]


def test_what_is_in_the_hand_is_left_alone_and_told_anew_when_it_is_let_go() -> None:
    knows = {CUP: told(body())}
    for wanted in ({CUP: body(0.7)}, {}):
        changes = changes_between(wanted, knows, [CUP], [CUP], NAMES)
        assert changes == []
        after = told_after(changes, knows, [CUP], wanted)
        assert after == {}
    assert operations(changes_between({CUP: body(0.7)}, {}, [CUP], [], NAMES)) == [("ADD", CUP)]


def test_no_change_goes_without_an_id() -> None:
    with pytest.raises(ValueError, match="empty id"):
        Change(Operation.REMOVE, "")
    with pytest.raises(ValueError, match="only REMOVE"):
        Change(Operation.ADD, CUP)


IDS = st.sets(st.integers(1, 6))


@given(
    wanted_ids=IDS,
    world_ids=IDS,
    attached_ids=IDS,
    told_ids=IDS,
    foreign=st.sets(st.sampled_from(["table", "arm", ""])),
)
def test_one_round_is_enough(wanted_ids: set, world_ids: set, attached_ids: set, told_ids: set, foreign: set) -> None:
    """From any state of the two worlds: afterwards the planner has what is wanted, and every other object as before."""
    wanted = {NAMES.of(MAP, i): body(0.1 * i) for i in wanted_ids}
    attached = {NAMES.of(MAP, i) for i in attached_ids}
    knows = {NAMES.of(MAP, i): told(body()) for i in told_ids}
    world = {NAMES.of(MAP, i): body() for i in world_ids} | dict.fromkeys(foreign, body())
    changes = changes_between(wanted, knows, world, attached, NAMES)
    for change in changes:
        assert NAMES.is_ours(change.id) and change.id not in attached
        if change.operation == Operation.REMOVE:
            del world[change.id]
        elif change.operation == Operation.ADD:
            world[change.id] = change.body
        else:
            assert change.id in world
            world[change.id] = change.body
    assert {name for name in world if NAMES.is_ours(name)} - attached == set(wanted) - attached
    assert foreign <= set(world)
    assert all(
        np.allclose(world[name].T_world_body, one.T_world_body) for name, one in wanted.items() if name not in attached
    )
    assert changes_between(wanted, told_after(changes, knows, attached, wanted), world, attached, NAMES) == []


CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32) * [0.05, 0.1, 0.2]


def test_a_hull_holds_all_points_with_the_padding_around_them() -> None:
    rng = np.random.default_rng(3)
    points = np.concatenate([CORNERS, rng.uniform(-1, 1, (5000, 3)) * [0.05, 0.1, 0.2]])
    [hull] = hull_body(body(), points, 0.01, 500).meshes
    normals, offsets = np.hsplit(ConvexHull(hull.vertices_m.astype(np.float64)).equations, [3])
    assert (points @ normals.T + offsets.T).max() < -0.0099, "every point is at least the padding inside"
    assert np.abs(hull.vertices_m).max(axis=0) == pytest.approx([0.06, 0.11, 0.21], abs=1e-6)
    volume = (
        np.einsum(
            "fi,fi->f",
            hull.vertices_m[hull.faces[:, 0]],
            np.cross(hull.vertices_m[hull.faces[:, 1]], hull.vertices_m[hull.faces[:, 2]]),
        ).sum()
        / 6
    )
    assert volume == pytest.approx(8 * 0.06 * 0.11 * 0.21, rel=1e-5), "faces look outward"


@pytest.mark.parametrize(("max_faces", "lacks"), [(500, 0.02), (60, 0.16)])
def test_a_round_hull_keeps_to_its_faces_and_lacks_little(max_faces: int, lacks: float) -> None:
    ball = Rotation.random(3000, random_state=1).apply([0, 0, 1.0]) * 0.1
    [hull] = hull_body(body(), ball, 0.0, max_faces).meshes
    assert max_faces / 2 < len(hull.faces) <= max_faces
    offsets = -ConvexHull(hull.vertices_m.astype(np.float64)).equations[:, 3]
    assert 0.1 * (1 - lacks) < offsets.min(), "distance of the nearest face from the middle"


def test_points_without_volume_leave_the_box() -> None:
    flat = np.random.default_rng(1).uniform(-1, 1, (50, 3)) * [1, 1, 0]
    assert not hull_body(body(), flat, 0.01, 500).meshes
    assert not hull_body(body(), CORNERS[:4], 0.01, 500).meshes
    assert not parts_body(body(), [flat, CORNERS[:3]], 0.01, 500).meshes


def test_padding_of_boxes_and_meshes() -> None:
    np.testing.assert_allclose(box_body(at(), np.array([0.1, 0.2, 0.3]), 0.02).size_m, [0.14, 0.24, 0.34])
    ball = Rotation.random(400, random_state=1).apply([0, 0, 1.0]).astype(np.float32) * 0.1
    [hull] = hull_body(body(), ball, 0.0, 5000).meshes
    padded = mesh_body(body(), hull.vertices_m, hull.faces, 0.02)
    np.testing.assert_allclose(np.linalg.norm(padded.meshes[0].vertices_m, axis=1), 0.12, atol=1e-3)
    assert padded.shape_key != mesh_body(body(), hull.vertices_m, hull.faces, 0.0).shape_key


def test_parts_are_padded_hulls_that_share_the_faces() -> None:
    ball = Rotation.random(400, random_state=1).apply([0, 0, 1.0]) * 0.1
    parts = parts_body(body(), [CORNERS, CORNERS[:4] * 2, ball], 0.01, 300)  # four corners of the box: a flat side
    box, round_part = parts.meshes
    assert np.abs(box.vertices_m).max(axis=0) == pytest.approx([0.06, 0.11, 0.21], abs=1e-6)
    assert 50 < len(round_part.faces) <= 100
    assert parts.shape_key not in (parts_body(body(), [CORNERS], 0.01, 300).shape_key, body().shape_key)
    assert max_parts(300) == 15 and max_parts(20) == 1
