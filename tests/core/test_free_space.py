"""Free, taken and hidden space around a plate in front of a wall, where every answer is known."""

import numpy as np

from instascene_ros.core.camera import Camera
from instascene_ros.core.free_space import Evidence, gather_evidence
from instascene_ros.core.objects import ObjectView
from instascene_ros.core.volume import VoxelGrid

CAMERA = Camera(100, 100, 49.5, 49.5, 100, 100)
GRID = VoxelGrid(np.array([[1, 0, 0, -0.1], [0, 1, 0, -0.1], [0, 0, 1, 0.9], [0, 0, 0, 1.0]]), 0.01, (21, 21, 31))
PLATE, WALL = 1.0, 1.15


def looks(count: int, depth_of_hole_m: float = WALL, hidden_by_m: float = 0.0) -> list[ObjectView]:
    """The same look `count` times: a plate 0.1 m wide at 1 m, the wall behind it at 1.15 m."""
    depth_m = np.full((100, 100), depth_of_hole_m, np.float32)
    mask = np.zeros((100, 100), np.uint8)
    depth_m[45:55, 45:55], mask[45:55, 45:55] = PLATE, 255
    if hidden_by_m:
        depth_m[45:55, 45:50], mask[45:55, 45:50] = hidden_by_m, 128
    view = ObjectView(CAMERA, np.zeros((100, 100, 3), np.uint8), depth_m, mask, np.eye(4))
    return [view] * count


def at(volume: np.ndarray, *point_m: float) -> float:
    return GRID.lookup(volume, np.array([point_m]), 0)[0]


def test_space_in_front_is_free_and_space_behind_is_unknown() -> None:
    evidence = gather_evidence(GRID, looks(3), 0.001)
    assert at(evidence.free, 0, 0, 0.95) and at(evidence.free, 0.09, 0, 1.1)
    assert not at(evidence.free, 0, 0, 1.05) and np.isnan(at(evidence.signed_m, 0, 0, 1.05))
    assert at(evidence.near_surface, 0, 0, PLATE) and abs(at(evidence.signed_m, 0, 0, PLATE)) < 1e-6
    assert at(evidence.taken, 0.09, 0, WALL) and not at(evidence.taken, 0, 0, PLATE)


def test_one_view_frees_only_what_is_far_in_front() -> None:
    evidence = gather_evidence(GRID, looks(1), 0.001)
    assert at(evidence.free, 0, 0, 0.95) and not at(evidence.free, 0, 0, 0.98)
    assert at(gather_evidence(GRID, looks(2), 0.001).free, 0, 0, 0.98)


def test_pixels_without_depth_and_hidden_pixels_say_nothing() -> None:
    assert not gather_evidence(GRID, looks(3, depth_of_hole_m=0.0), 0.001).free_views[0, 10].any()
    evidence = gather_evidence(GRID, looks(3, hidden_by_m=0.92), 0.001)
    assert not at(evidence.free, -0.03, 0, 0.97) and np.isnan(at(evidence.signed_m, -0.03, 0, PLATE))
    assert at(evidence.free, 0.02, 0, 0.97)


def test_close_behind_what_hides_the_object_is_no_object() -> None:
    evidence = gather_evidence(GRID, looks(3, hidden_by_m=0.925), 0.001)
    assert at(evidence.filled, -0.03, 0, 0.93) and not at(evidence.taken, -0.03, 0, 0.93)
    assert not at(evidence.filled, -0.03, 0, 0.95), "hidden, but too deep to be that thing for sure"
    assert not at(evidence.filled, 0.02, 0, 1.01), "behind the object's own surface"
    once = [*looks(1, hidden_by_m=0.925), *looks(3, depth_of_hole_m=0.0)]
    assert not at(gather_evidence(GRID, once, 0.001).filled, -0.03, 0, 0.93), "one view may be wrong"


def test_what_is_nearer_to_the_object_than_to_what_hides_it_stays_its_own() -> None:
    row = VoxelGrid(np.eye(4), 0.005, (1, 1, 4))
    nowhere, weight = np.zeros(row.shape, np.uint8), np.zeros(row.shape, np.float32)
    weight[0, 0, 0] = 1  # the object's surface was seen in the first voxel, the rest lies 8 mm behind something else
    known = np.where(weight > 0, 0, np.nan).astype(np.float32), weight, nowhere, nowhere, nowhere
    deep = np.full(row.shape, 5, np.int16), np.full(row.shape, 0.008, np.float32)
    assert Evidence(row, *known, *deep).filled.ravel().tolist() == [False, False, True, True]


def test_no_views_know_nothing() -> None:
    evidence = gather_evidence(GRID, [], 0.001)
    assert not evidence.free.any() and not evidence.filled.any() and np.isnan(evidence.signed_m).all()
