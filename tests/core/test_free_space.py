"""Free, taken and hidden space around a plate in front of a wall, where every answer is known."""

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from instascene_ros.core.camera import Camera
from instascene_ros.core.free_space import Evidence, gather_evidence
from instascene_ros.core.geometry import inverse, transform
from instascene_ros.core.objects import ObjectView
from instascene_ros.core.views import CLOSING, Rig
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


def test_a_solid_is_cut_where_it_is_free_or_another_things_for_sure() -> None:
    row = VoxelGrid(np.eye(4), 0.005, (1, 1, 6))
    # free; far past in one view and in two where others saw the object; another's in two, in three, less than its own
    free, clear, taken = [2, 1, 2, 0, 0, 0], [0, 1, 2, 0, 0, 0], [0, 0, 0, 2, 3, 3]
    signed_m, weight = [0.004, -0.001, -0.001, 0, 0, 0], [0, 9, 9, 0, 2, 5]
    known = (np.array(column, np.float32).reshape(row.shape) for column in (signed_m, weight))
    counts = (np.array(column, np.uint8).reshape(row.shape) for column in (free, clear, taken))
    deep = np.zeros(row.shape, np.int16), np.full(row.shape, np.inf, np.float32)
    assert Evidence(row, *known, *counts, *deep).cut.ravel().tolist() == [True, False, False, False, True, False]


def test_the_seen_surface_of_a_ball_lies_where_the_ball_ends() -> None:
    radius_m, views = 0.03, []
    for camera, T in Rig.rings(((30.0, 16), *CLOSING), 48).cameras(np.zeros(3), 0.07, np.array([0, 0, 1.0])):
        rays, eye = camera.rays() @ T[:3, :3].T, T[:3, 3]
        a, b = (rays**2).sum(-1), rays @ eye
        root = b**2 - a * (eye @ eye - radius_m**2)
        depth_m = np.where(root > 0, (-b - np.sqrt(root.clip(0))) / a, 0.5).astype(np.float32)
        mask = np.where(root > 0, 255, 0).astype(np.uint8)
        views.append(ObjectView(camera, np.zeros((48, 48, 3), np.uint8), depth_m, mask, T))
    T_world_grid = np.eye(4)
    T_world_grid[:3, 3] = -0.05
    grid = VoxelGrid(T_world_grid, 0.0025, (41, 41, 41))
    evidence = gather_evidence(grid, views, 0.0015)
    true_m = (np.linalg.norm(grid.centers_m(), axis=-1) - radius_m).reshape(grid.shape)
    off_m = (evidence.signed_m - true_m)[(np.abs(true_m) < 0.001) & (evidence.weight > 0)]
    assert abs(off_m.mean()) < 0.0001 and off_m.std() < 0.0005  # pixels are 3 mm wide there


def test_no_views_know_nothing() -> None:
    evidence = gather_evidence(GRID, [], 0.001)
    assert not evidence.free.any() and not evidence.cut.any() and not evidence.filled.any()
    assert np.isnan(evidence.signed_m).all()


def sights(view: ObjectView, points_m: np.ndarray, front_m: float) -> list[tuple]:
    """What one view says of each point, plainly: distance, weight, own, free, clear, taken, within, depth within."""
    said, camera = [], view.camera
    for p in transform(inverse(view.T_world_camera), points_m.astype(np.float64)):
        nothing = (0.0, 0.0, 0.0, 0, 0, 0, 0, np.inf)
        row, column = (round(f * x / p[2] + c) if p[2] > 0 else -1 for f, x, c in
                       ((camera.fy, p[1], camera.cy), (camera.fx, p[0], camera.cx)))  # fmt: skip
        inside = 0 <= row < camera.height and 0 <= column < camera.width
        if not inside or view.depth_m[row, column] == 0:
            said.append(nothing)
            continue
        distance_m, cosine = view.depth_m[row, column] - p[2], view.cosines[row, column]
        mine, others = view.mask[row, column] == 255, view.mask[row, column] == 0
        u, v = (int(f * x / p[2] + c) for f, x, c in ((camera.fx, p[0], camera.cx), (camera.fy, p[1], camera.cy)))
        around = view.depth_m[v : v + 2, u : u + 2]
        free, behind_m = distance_m > front_m, -distance_m * (cosine if cosine > 0 else 1)
        through = free and around[around > 0].min() - p[2] > front_m
        own = mine and -0.004 < distance_m <= front_m
        weight, within = 0.5 if through else max(cosine, 0.1) if own else 0.0, 0 < behind_m < 0.02
        said.append((
            weight * min(distance_m, front_m), weight, weight * own, free, distance_m > 0.02,
            others and abs(distance_m) <= front_m, within * (-1 if mine else 1),
            behind_m if within and not mine else np.inf,
        ))  # fmt: skip
    return said


def test_the_loops_over_voxels_agree_with_one_look_after_the_other() -> None:
    rng = np.random.default_rng(4)
    steps, views = ndimage.gaussian_filter(rng.normal(size=(40, 40)), 3), []
    for turn in (-0.4, 0.0, 0.5, 3.0):  # the last one looks away
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = Rotation.from_rotvec([0, turn, 0.1]).as_matrix(), (-turn, 0.02, 0.0)
        depth_m = np.where(rng.uniform(size=(40, 40)) < 0.9, 1.05 + steps, 0).astype(np.float32)
        mask = rng.choice(np.array([0, 128, 255], np.uint8), (40, 40))
        camera = Camera(90, 95, 19.2, 20.1, 40, 40)
        views.append(ObjectView(camera, np.zeros((40, 40, 3), np.uint8), depth_m, mask, T))
    grid = VoxelGrid(GRID.T_world_grid, 0.017, (12, 12, 20))
    said = np.array([sights(view, grid.centers_m(), 1.5 * grid.voxel_m) for view in views], float)
    total, weight, own, free, clear, taken, within = said[..., :7].sum(0).T
    evidence = gather_evidence(grid, views, 0.001)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(evidence.signed_m.reshape(-1), total / weight, atol=1e-5)
    np.testing.assert_allclose(evidence.weight.reshape(-1), own, atol=1e-5)
    for name, expected in (("free", free), ("clear", clear), ("taken", taken), ("within", within)):
        np.testing.assert_array_equal(getattr(evidence, f"{name}_views").reshape(-1), expected, err_msg=name)
    np.testing.assert_allclose(evidence.within_m.reshape(-1), said[..., 7].min(0), atol=1e-5)
    assert min((free > 0).sum(), (own > 0).sum(), (taken > 0).sum(), (within > 0).sum()) > 50
