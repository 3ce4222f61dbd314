"""Fusing generated views with evidence, on shapes whose answers are known."""

import numpy as np
import pytest

from instascene_ros.core import solid
from instascene_ros.core.free_space import Evidence, gather_evidence
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


def test_views_of_a_ball_give_back_the_ball_to_a_third_of_a_voxel() -> None:
    fused = solid.fuse(nothing_seen(), solid.solid_of_views(GRID, views_of(ball_field(0.05))))
    mesh = mesh_of_field(GRID, fused)
    radii = np.linalg.norm(mesh.vertices_m, axis=1)
    assert radii.mean() == pytest.approx(0.05, abs=GRID.voxel_m / 3) and radii.std() < 0.0015


def test_one_wrong_view_carves_nothing() -> None:
    views = views_of(ball_field(0.05))
    empty = GeneratedView(*[getattr(views[0], f) for f in ("camera", "T_world_camera", "rgb")],
                          np.zeros_like(views[0].depth_m), np.zeros_like(views[0].alpha))  # fmt: skip
    with_it, without = (solid.solid_of_views(GRID, v) < 0 for v in ([*views, empty], views))
    assert (with_it != without).sum() < 0.02 * without.sum()  # the skin alone: its second witness is gone


def test_crumbs_go_and_parts_that_were_seen_stay() -> None:
    one, two = (ball_field(0.02, (x, 0, 0)) for x in (-0.04, 0.02))
    crumb = ball_field(0.008, (0, 0.06, 0))
    evidence = nothing_seen()
    weight, signed_m = np.zeros(GRID.shape, np.float32), np.full(GRID.shape, np.nan, np.float32)
    for part in (one, two):
        weight[np.abs(part) < 0.003], signed_m[np.abs(part) < 0.003] = 1.0, 0.0
    evidence = Evidence(GRID, signed_m, weight, evidence.free_views, evidence.clear_views, evidence.taken_views)
    kept = solid.seen_parts(np.minimum(np.minimum(one, two), crumb), evidence)
    np.testing.assert_array_equal(kept < 0, np.minimum(one, two) < 0)
    handle = ball_field(0.014, (0, 0.06, 0))  # a broken-off piece of a wall: little surface, but seen
    signed_m[np.abs(handle) < 0.003], weight[np.abs(handle) < 0.003] = 0.0, 1.0
    evidence = Evidence(GRID, signed_m, weight, evidence.free_views, evidence.clear_views, evidence.taken_views)
    large = ball_field(0.05, (0, -0.02, 0))
    weight[np.abs(large) < 0.003], signed_m[np.abs(large) < 0.003] = 1.0, 0.0
    assert (solid.seen_parts(np.minimum(large, handle), evidence) < 0)[handle < 0].all()
    largest = solid.seen_parts(np.minimum(one, crumb), nothing_seen())
    assert (largest < 0)[one < 0].all()
