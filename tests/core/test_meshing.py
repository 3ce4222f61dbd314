"""Meshes from fields, decimation, ray casting and files."""

from pathlib import Path

import numpy as np
import open3d as o3d
import pytest
import trimesh

from instascene_ros.core.camera import Camera
from instascene_ros.core.meshing import Mesh, RayCaster, decimated, is_watertight, mesh_of_field, smoothed, write_ply
from instascene_ros.core.views import look_at
from instascene_ros.core.volume import VoxelGrid

CENTER = np.array([0.3, -0.2, 0.5])
GRID = VoxelGrid(np.array([[0, -1, 0, 0.4], [1, 0, 0, -0.3], [0, 0, 1, 0.42], [0, 0, 0, 1.0]]), 0.005, (40, 38, 36))


def ball(radius_m: float) -> Mesh:
    distance = np.linalg.norm(GRID.centers_m() - CENTER, axis=-1) - radius_m
    return mesh_of_field(GRID, distance.reshape(GRID.shape).astype(np.float32))


def test_ball_has_its_place_size_and_faces_outward() -> None:
    mesh = ball(0.06)
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices_m - CENTER, axis=1), 0.06, atol=5e-4)
    assert mesh.volume_m3 == pytest.approx(4 / 3 * np.pi * 0.06**3, rel=0.02)
    assert mesh.face_areas_m2().sum() == pytest.approx(4 * np.pi * 0.06**2, rel=0.02)
    assert is_watertight(mesh)
    outward = (mesh.vertices_m - CENTER) / 0.06
    assert ((mesh.vertex_normals() * outward).sum(1) > 0.97).all()


def test_a_solid_cut_by_the_edge_of_the_grid_is_closed_there() -> None:
    full = mesh_of_field(GRID, np.full(GRID.shape, -1.0, np.float32))
    assert is_watertight(full)
    size = GRID.voxel_m * np.array(GRID.shape)
    assert full.volume_m3 == pytest.approx(np.prod(size), rel=0.05)
    assert is_watertight(ball(0.12))


def test_random_fields_are_closed_too() -> None:
    field = np.random.default_rng(0).normal(size=(12, 11, 10))
    field[np.random.default_rng(1).random(field.shape) < 0.05] = 0.0
    grid = VoxelGrid(np.eye(4), 0.01, field.shape)
    assert is_watertight(mesh_of_field(grid, field.astype(np.float32)))


def test_nothing_inside_gives_no_faces_and_is_not_watertight() -> None:
    empty = mesh_of_field(GRID, np.ones(GRID.shape, np.float32))
    assert len(empty.faces) == 0 and not is_watertight(empty)


def test_a_hole_or_a_third_face_on_an_edge_is_noticed() -> None:
    mesh = ball(0.06)
    assert not is_watertight(Mesh(mesh.vertices_m, mesh.faces[1:]))
    assert not is_watertight(Mesh(mesh.vertices_m, np.concatenate([mesh.faces, mesh.faces[:1]])))


def test_decimation_and_smoothing_keep_it_closed_and_in_shape() -> None:
    mesh = ball(0.06)
    small = decimated(smoothed(mesh, 3), 500)
    assert len(small.faces) <= 500 and is_watertight(small)
    assert small.volume_m3 == pytest.approx(mesh.volume_m3, rel=0.03)
    assert decimated(mesh, 10**6) is mesh


def test_ray_caster_sees_true_depth_and_inside() -> None:
    caster, position = RayCaster(ball(0.06)), CENTER + np.array([0.5, 0, 0])
    camera = Camera(200, 200, 20, 20, 41, 41)
    depth_m, vertex = caster.look(camera, look_at(position, CENTER, np.array([0, 0, 1.0])))
    assert depth_m[20, 20] == pytest.approx(0.44, abs=1e-3)
    assert depth_m[0, 0] == 0 and vertex[0, 0] == -1 and vertex[20, 20] >= 0
    points = np.stack([CENTER, CENTER + 0.1]).astype(np.float32)
    assert caster.inside(points).tolist() == [True, False]
    np.testing.assert_allclose(caster.distance_m(points), [0.06, 0.1 * 3**0.5 - 0.06], atol=1e-3)


def test_ply_is_read_by_other_programs(tmp_path: Path) -> None:
    mesh = decimated(ball(0.06), 300)
    colors = np.random.default_rng(0).integers(0, 256, mesh.vertices_m.shape).astype(np.uint8)
    observed = np.arange(len(colors)) % 3 == 0
    write_ply(tmp_path / "new" / "1.ply", mesh, colors, observed)
    by_open3d = o3d.io.read_triangle_mesh(str(tmp_path / "new" / "1.ply"))
    np.testing.assert_allclose(np.asarray(by_open3d.vertices), mesh.vertices_m, atol=1e-7)
    np.testing.assert_array_equal(np.asarray(by_open3d.triangles), mesh.faces)
    np.testing.assert_array_equal(np.rint(255 * np.asarray(by_open3d.vertex_colors)), colors)
    by_trimesh = trimesh.load(tmp_path / "new" / "1.ply", process=False)
    assert by_trimesh.is_watertight
    fields = by_trimesh.metadata["_ply_raw"]["vertex"]["data"]
    np.testing.assert_array_equal(fields["observed"], observed)
