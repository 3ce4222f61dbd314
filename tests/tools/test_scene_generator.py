"""The scene generator's shapes are closed, its pictures agree with its geometry, its files with its seed."""

import numpy as np
import pytest

from instascene_ros.core.geometry import points_of_depth, transform
from instascene_ros.tools.scene_generator import shapes
from instascene_ros.tools.scene_generator.raycast import RayCaster
from instascene_ros.tools.scene_generator.shapes import Shape
from tests.scenes import place, tabletop, three_objects

SHAPES = [
    shapes.box((0.10, 0.06, 0.12)),
    shapes.can(0.033, 0.11),
    shapes.bottle(0.035, 0.22, 0.012),
    shapes.ball(0.035),
    shapes.bowl(0.08, 0.06),
    shapes.mug(0.04, 0.09),
    shapes.mug(0.045, 0.11),
    shapes.pan(0.09, 0.04, 0.15),
    shapes.hammer(0.24, 0.09),
    shapes.banana(0.18, 0.017),
    shapes.tape(0.05, 0.03, 0.025),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: s.name)
def test_shape_is_closed_and_looks_outward(shape: Shape) -> None:
    assert shape.mesh.is_watertight()
    assert shape.mesh.volume_m3 > 2e-5
    assert len(shape.mesh.faces) <= 5000
    assert shape.mesh.vertices_m[:, 2].min() == pytest.approx(0.0, abs=1e-3)


def test_volumes_of_known_shapes() -> None:
    assert shapes.box((0.1, 0.06, 0.12), bevel_m=0.001).mesh.volume_m3 == pytest.approx(0.1 * 0.06 * 0.12, rel=0.01)
    assert shapes.ball(0.035).mesh.volume_m3 == pytest.approx(4 / 3 * np.pi * 0.035**3, rel=0.02)
    tape = np.pi * (0.05**2 - 0.03**2) * 0.025
    assert shapes.tape(0.05, 0.03, 0.025).mesh.volume_m3 == pytest.approx(tape, rel=0.02)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: s.name)
def test_collision_hulls_cover_the_surface(shape: Shape) -> None:
    from scipy.spatial import ConvexHull

    points, _ = shape.mesh.sample(400, np.random.default_rng(0))
    outside = np.full(len(points), np.inf)
    for hull in shape.hulls:
        planes = ConvexHull(hull).equations
        outside = np.minimum(outside, (points @ planes[:, :3].T + planes[:, 3]).max(axis=1))
    assert np.quantile(outside, 0.98) < 0.004


def test_frames_agree_with_the_meshes() -> None:
    scene = tabletop(three_objects(), num_frames=3)
    for frame, instances in zip(scene.frames, scene.instances, strict=True):
        points = transform(frame.T_world_camera, points_of_depth(frame.depth_m, frame.camera).astype(np.float64))
        assert set(np.unique(instances)) == {0, 1, 2, 3}
        for object_id, mesh in scene.objects.items():
            seen = points[instances == object_id]
            low, high = mesh.vertices_m.min(axis=0), mesh.vertices_m.max(axis=0)
            assert (seen > low - 1e-4).all() and (seen < high + 1e-4).all()
        table = (instances == 0) & (frame.depth_m > 0) & (np.abs(points[..., 2]) < 1e-4)
        assert table.sum() > 5000


def test_masks_of_a_frame_are_its_entities() -> None:
    scene = tabletop(three_objects(), num_frames=2)
    for frame, instances in zip(scene.frames, scene.instances, strict=True):
        assert frame.masks is not None and len(frame.masks) == 4
        for object_id in (1, 2, 3):
            labels = np.unique(frame.masks.labels[instances == object_id])
            assert len(labels) == 1 and (instances[frame.masks.labels == labels[0]] == object_id).all()


def test_noisy_depth_has_holes_and_the_stated_spread() -> None:
    exact = tabletop(three_objects(), num_frames=2, width=320)
    noisy = tabletop(three_objects(), num_frames=2, width=320, noise_seed=1)
    for clean, frame in zip(exact.true_depth_m, noisy.frames, strict=True):
        both = (clean > 0.5) & (clean < 0.9) & frame.valid
        error = (frame.depth_m - clean)[both]
        assert 0.0009 < np.median(np.abs(error)) / 0.6745 < 0.0022  # 1.2-1.6 mm and 2 mm steps
        assert 0.004 < ((clean > 0.3) & (clean < 2.3) & ~frame.valid).sum() / (clean > 0).sum() < 0.15


def test_ray_hits_a_placed_box_where_it_stands() -> None:
    mesh = place(shapes.box((0.1, 0.1, 0.1)), x_m=0.2).mesh
    caster = RayCaster([mesh])
    hits = caster.cast(np.array([0.2, 0.0, 1.0]), np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]]))
    assert hits.mesh.tolist() == [0, -1]
    assert hits.distance[0] == pytest.approx(0.9, abs=1e-6)
    assert caster.occluded(np.array([0.0, 0.0, 0.05]), np.array([[1.0, 0.0, 0.0]]), far=0.1).tolist() == [False]
    assert caster.occluded(np.array([0.0, 0.0, 0.05]), np.array([[1.0, 0.0, 0.0]]), far=0.2).tolist() == [True]
