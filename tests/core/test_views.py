"""Ring cameras, the choice of views, and upright boxes."""

import numpy as np
import pytest

from instascene_ros.core.geometry import inverse, project, transform
from instascene_ros.core.upright_box import upright_box
from instascene_ros.core.views import look_at, perpendicular, ring_cameras, spread

TILTED = np.array([0.6, 0.0, 0.8])


@pytest.mark.parametrize("up", [np.array([0, 0, 1.0]), TILTED])
def test_every_ring_camera_shows_the_whole_sphere_upright(up: np.ndarray) -> None:
    center, radius = np.array([0.1, 0.2, 0.3]), 0.08
    rng = np.random.default_rng(0)
    sphere = rng.normal(size=(200, 3))
    sphere = center + radius * sphere / np.linalg.norm(sphere, axis=1, keepdims=True)
    for camera, T in ring_cameras(center, radius, up, 64):
        np.testing.assert_allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-12)
        assert np.linalg.det(T[:3, :3]) == pytest.approx(1)
        pixels, z = project(transform(inverse(T), sphere), camera)
        assert (z > 0).all() and (pixels > 0).all() and (pixels < 63).all()
        above, _ = project(transform(inverse(T), (center + 0.02 * up)[None]), camera)
        assert above[0, 1] < 31.5  # up is up in the image


def test_look_at_points_the_optical_axis() -> None:
    T = look_at(np.array([1.0, 0, 0]), np.zeros(3), np.array([0, 0, 1.0]))
    np.testing.assert_allclose(T[:3, 2], [-1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(T[:3, 1], [0, 0, -1], atol=1e-12)


def test_perpendicular_completes_a_right_handed_frame() -> None:
    x, y = perpendicular(TILTED)
    np.testing.assert_allclose(np.cross(x, y), TILTED, atol=1e-12)


def test_views_are_chosen_by_what_they_see_and_how_new_their_direction_is() -> None:
    angles = np.radians([0, 2, 4, 90, 180])
    directions = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    visible = np.array([0.8, 1.0, 0.8, 0.5, 0.01], np.float32)
    assert spread(directions, visible, 2) == [1, 3]
    assert sorted(spread(directions, visible, 9)) == [0, 1, 2, 3, 4]
    assert spread(directions[:0], visible[:0], 3) == []


def test_upright_box_finds_turn_size_and_centre() -> None:
    turn = np.radians(33)
    R = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (20_000, 3)) * (0.2, 0.1, 0.05) @ R.T + (1, 2, 3)
    T, size = upright_box(points, np.array([0, 0, 1.0]))
    np.testing.assert_allclose(size, (0.2, 0.1, 0.05), atol=0.006)
    np.testing.assert_allclose(T[:3, 3], (1, 2, 3), atol=0.003)
    assert abs(T[:3, 0] @ R[:, 0]) > np.cos(np.radians(2))
