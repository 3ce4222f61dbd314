"""Fusing generated views with evidence, on shapes whose answers are known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from instascene_ros.core import solid
from instascene_ros.core.free_space import Evidence, gather_evidence
from instascene_ros.core.geometry import inverse, normals_of_depth, points_of_depth, transform
from instascene_ros.core.meshing import RayCaster, mesh_of_field
from instascene_ros.core.objects import GeneratedView
from instascene_ros.core.views import CLOSING, Rig
from instascene_ros.core.volume import VoxelGrid

UP = np.array([0.0, 0.0, 1.0])
GRID = VoxelGrid(np.array([[1, 0, 0, -0.08], [0, 1, 0, -0.08], [0, 0, 1, -0.08], [0, 0, 0, 1.0]]), 0.004, (41, 41, 41))


def ball_field(radius_m: float, center_m: tuple = (0, 0, 0)) -> np.ndarray:
    distance = np.linalg.norm(GRID.centers_m() - np.array(center_m), axis=-1) - radius_m
    return distance.reshape(GRID.shape).astype(np.float32)


def views_of(field: np.ndarray) -> list[GeneratedView]:
    caster = RayCaster(mesh_of_field(GRID, field))
    views = []
    for camera, T in Rig.rings(((30.0, 12), *CLOSING), 80).cameras(np.zeros(3), 0.07, UP):
        depth_m, vertex = caster.look(camera, T)
        rgb = np.zeros((*depth_m.shape, 3), np.uint8)
        views.append(GeneratedView(camera, T, rgb, depth_m, (vertex >= 0).astype(np.float32)))
    return views


def nothing_seen() -> Evidence:
    return gather_evidence(GRID, [], 0.001)


@pytest.mark.parametrize("radius_m", [0.03, 0.05])
def test_views_of_a_ball_give_back_the_ball_to_a_tenth_of_a_voxel(radius_m: float) -> None:
    fused = solid.fuse(nothing_seen(), solid.solid_of_views(GRID, views_of(ball_field(radius_m))))
    radii = np.linalg.norm(mesh_of_field(GRID, fused).vertices_m, axis=1)
    assert radii.mean() == pytest.approx(radius_m, abs=0.1 * GRID.voxel_m) and radii.std() < 0.0003


def test_one_wrong_view_carves_nothing() -> None:
    views = views_of(ball_field(0.05))
    empty = GeneratedView(*[getattr(views[0], f) for f in ("camera", "T_world_camera", "rgb")],
                          np.zeros_like(views[0].depth_m), np.zeros_like(views[0].alpha))  # fmt: skip
    with_it, without = (solid.solid_of_views(GRID, v) < 0 for v in ([*views, empty], views))
    assert (with_it != without).sum() < 0.02 * without.sum()  # the skin alone: its second witness is gone


def test_what_one_view_looked_past_loses_a_voxel_and_what_two_did_all() -> None:
    ball, seen = ball_field(0.05), np.ones(GRID.shape, np.float32)
    x, y, _ = GRID.centers_m().T.reshape(3, *GRID.shape)
    past = np.where(x > 0.02, 2, np.where(x < -0.02, 1, 0)).astype(np.uint8)
    evidence = replace(nothing_seen(), signed_m=ball, weight=np.where(y > 0.02, 0, seen), clear_views=past)
    kept = solid.fuse(evidence, ball) < 0
    assert not kept[past == 2].any() and not kept[(past == 1) & (y > 0.02)].any()
    shaved = (past == 1) & (y < 0.02)
    np.testing.assert_array_equal(kept[shaved & (ball < -1.6 * GRID.voxel_m)], True)
    np.testing.assert_array_equal(kept[shaved & (ball > -0.8 * GRID.voxel_m)], False)
    rest = (past == 0) & (np.abs(ball) > 0.001)
    np.testing.assert_array_equal(kept[rest], ball[rest] < 0)


def test_crumbs_go_and_parts_that_were_seen_stay() -> None:
    one, two = (ball_field(0.02, (x, 0, 0)) for x in (-0.04, 0.02))
    crumb = ball_field(0.008, (0, 0.06, 0))
    evidence = nothing_seen()
    weight, signed_m = np.zeros(GRID.shape, np.float32), np.full(GRID.shape, np.nan, np.float32)
    for part in (one, two):
        weight[np.abs(part) < 0.003], signed_m[np.abs(part) < 0.003] = 1.0, 0.0
    evidence = replace(evidence, signed_m=signed_m, weight=weight)
    kept = solid.seen_parts(np.minimum(np.minimum(one, two), crumb), evidence)
    np.testing.assert_array_equal(kept < 0, np.minimum(one, two) < 0)
    handle = ball_field(0.014, (0, 0.06, 0))  # a broken-off piece of a wall: little surface, but seen
    signed_m[np.abs(handle) < 0.003], weight[np.abs(handle) < 0.003] = 0.0, 1.0
    evidence = replace(evidence, signed_m=signed_m, weight=weight)
    large = ball_field(0.05, (0, -0.02, 0))
    weight[np.abs(large) < 0.003], signed_m[np.abs(large) < 0.003] = 1.0, 0.0
    assert (solid.seen_parts(np.minimum(large, handle), evidence) < 0)[handle < 0].all()
    largest = solid.seen_parts(np.minimum(one, crumb), nothing_seen())
    assert (largest < 0)[one < 0].all()


def outside_m(view: GeneratedView, points_m: np.ndarray, truncation_m: float) -> np.ndarray:
    """What one view says of each point, plainly."""
    camera, found = view.camera, np.full(len(points_m), -truncation_m)
    points_camera = transform(inverse(view.T_world_camera), points_m.astype(np.float64))
    normals, surface_m = normals_of_depth(view.depth_m, camera, radius_px=1), points_of_depth(view.depth_m, camera)
    shown, pixels = view.alpha.ravel() >= 0.5, np.indices(view.alpha.shape).reshape(2, -1).T
    to_line_px = np.where(shown, *(cKDTree(pixels[part]).query(pixels)[0] for part in (~shown, shown))) - 0.5
    beside_px = np.where(shown, -to_line_px, to_line_px).reshape(view.alpha.shape)
    beside_px = np.where((view.alpha > 0) & (view.alpha < 1), 0.5 - view.alpha, beside_px)
    for i, p in enumerate(points_camera):
        if p[2] <= 0:
            continue
        u, v = camera.fx * p[0] / p[2] + camera.cx, camera.fy * p[1] / p[2] + camera.cy
        if not (-0.5 < u < camera.width - 0.5 and -0.5 < v < camera.height - 0.5):
            continue
        at = round(v), round(u)
        plane_m = normals[at] @ (p - surface_m[at]) if normals[at].any() else -truncation_m
        beside_m = ndimage.map_coordinates(beside_px, [[v], [u]], order=1, mode="nearest")[0] * p[2] / camera.fx
        found[i] = np.clip(max(plane_m, beside_m), -truncation_m, truncation_m)
    return found


def test_a_voxel_is_as_far_outside_as_the_second_view_that_sees_past_it_says() -> None:
    coarse = VoxelGrid(GRID.T_world_grid, 0.012, (14, 14, 14))
    views = views_of(ball_field(0.05, (0.01, 0, -0.01)))[::3]
    soft = [
        GeneratedView(v.camera, v.T_world_camera, v.rgb, v.depth_m, ndimage.uniform_filter(v.alpha, 5)) for v in views
    ]
    soft.append(replace(soft[0], T_world_camera=np.eye(4)))  # stands in the grid: many voxels lie behind it
    expected = [outside_m(view, coarse.centers_m(), 0.024) for view in soft]
    found = solid.solid_of_views(coarse, soft).reshape(-1)
    np.testing.assert_allclose(found, np.sort(expected, axis=0)[-2], atol=1e-5)
    assert (np.abs(found) < 0.02).mean() > 0.05
