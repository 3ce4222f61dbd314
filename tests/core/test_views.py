"""Ring cameras, the choice of views, and upright boxes."""

import numpy as np
import pytest

from instascene_ros.core.camera import Camera
from instascene_ros.core.geometry import inverse, project, transform
from instascene_ros.core.objects import MASK_OBJECT, MASK_OCCLUDED, ObjectView
from instascene_ros.core.upright_box import upright_box
from instascene_ros.core.views import (
    CLOSING,
    Rig,
    best_input,
    known_pixels,
    known_share,
    look_at,
    perpendicular,
    spread,
)

TILTED = np.array([0.6, 0.0, 0.8])


@pytest.mark.parametrize("up", [np.array([0, 0, 1.0]), TILTED])
def test_every_ring_camera_shows_the_whole_sphere_upright(up: np.ndarray) -> None:
    center, radius = np.array([0.1, 0.2, 0.3]), 0.08
    rng = np.random.default_rng(0)
    sphere = rng.normal(size=(200, 3))
    sphere = center + radius * sphere / np.linalg.norm(sphere, axis=1, keepdims=True)
    for camera, T in Rig.rings(((30.0, 16), *CLOSING), 64).cameras(center, radius, up):
        np.testing.assert_allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-12)
        assert np.linalg.det(T[:3, :3]) == pytest.approx(1)
        pixels, z = project(transform(inverse(T), sphere), camera)
        assert (z > 0).all() and (pixels > 0).all() and (pixels < 63).all()
        above, _ = project(transform(inverse(T), (center + 0.02 * up)[None]), camera)
        assert above[0, 1] < 31.5  # up is up in the image


def test_a_rig_starts_at_the_front_and_goes_round_anticlockwise() -> None:
    rig = Rig((0.0, 30.0), (0.0, 90.0), 64, distance_radii=5.0)
    (_, first), (_, second) = rig.cameras(np.zeros(3), 0.1, np.array([0, 0, 1.0]), np.array([0.0, -2.0, 7.0]))
    np.testing.assert_allclose(first[:3, 3], [0, -0.5, 0], atol=1e-12)
    np.testing.assert_allclose(second[:3, 3], [0.5 * np.cos(np.pi / 6), 0, 0.25], atol=1e-12)
    assert len(rig) == 2


def view_with(object_px: int, occluded_px: int) -> ObjectView:
    mask = np.zeros(100, np.uint8)
    mask[:object_px], mask[object_px : object_px + occluded_px] = MASK_OBJECT, MASK_OCCLUDED
    flat = np.zeros((10, 10), np.float32)
    camera = Camera(10.0, 10.0, 4.5, 4.5, 10, 10)
    return ObjectView(camera, np.zeros((10, 10, 3), np.uint8), flat, mask.reshape(10, 10), np.eye(4))


def test_pixels_that_nothing_hides_are_known() -> None:
    alone, scene = np.full((2, 2), 0.5, np.float32), np.array([[0.5, 0.45], [0.503, 0]], np.float32)
    alone[1, 0] = 0.51
    np.testing.assert_array_equal(known_pixels(alone, scene, 0.015), [[True, False], [True, False]])


def test_the_best_input_view_is_the_largest_of_those_that_show_all_or_the_least_occluded() -> None:
    views = [view_with(40, 20), view_with(20, 1), view_with(30, 5), view_with(0, 9)]
    assert [round(known_share(view), 3) for view in views] == [0.667, 0.952, 0.857, 0.0]
    assert best_input(views, 0.85) == 2
    assert best_input(views[:1] + views[3:], 0.85) == 0
    with pytest.raises(ValueError, match="no views"):
        best_input([], 0.85)


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
