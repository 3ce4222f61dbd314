"""Simple shapes and their fit to half a surface."""

import numpy as np
import pytest

from instascene_ros.core.config import CompletionConfig
from instascene_ros.models.closure import in_hull, look_at_object
from instascene_ros.models.shape_fit import explains, fit_shape
from instascene_ros.models.superquadric import Superquadric, from_parameters, lowest_m
from instascene_ros.tools.scene_generator import shapes
from instascene_ros.tools.scene_generator.trajectory import orbit
from tests.observations import UP, observation_of
from tests.scenes import place, tabletop

CONFIG = CompletionConfig()


def shape(half_sizes: tuple[float, float, float], exponents: tuple[float, float], taper: float = 0.0) -> Superquadric:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = [[0, 0, 1], [1, 0, 0], [0, 1, 0]], (0.1, 0.2, 0.3)  # its z axis is the world's x
    return Superquadric(T, np.array(half_sizes), np.array(exponents), taper)


def test_a_ball_has_exact_distances_and_volume() -> None:
    ball = shape((0.05, 0.05, 0.05), (1.0, 1.0))
    points = np.random.default_rng(0).normal(size=(50, 3)) * 0.1
    np.testing.assert_allclose(
        ball.distance_m(points), np.linalg.norm(points - (0.1, 0.2, 0.3), axis=1) - 0.05, atol=1e-6
    )
    assert ball.volume_m3 == pytest.approx(4 / 3 * np.pi * 0.05**3)
    assert lowest_m(ball.parameters, UP)[0] == pytest.approx(0.25)


@pytest.mark.parametrize(("exponents", "taper"), [((0.2, 1.0), 0.0), ((0.2, 0.2), 0.0), ((1.0, 1.0), 0.4)])
def test_volume_is_that_of_its_inside(exponents: tuple[float, float], taper: float) -> None:
    drum = shape((0.04, 0.03, 0.06), exponents, taper)
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (200_000, 3)) + (0.1, 0.2, 0.3)
    inside = (drum.distance_m(points) < 0).mean() * 0.2**3
    assert drum.volume_m3 == pytest.approx(inside, rel=0.04)


def test_parameters_and_back() -> None:
    drum = shape((0.04, 0.03, 0.06), (0.3, 0.9), 0.2)
    again = from_parameters(drum.parameters[0])
    np.testing.assert_allclose(again.T_world_shape, drum.T_world_shape, atol=1e-9)
    np.testing.assert_allclose(again.half_sizes_m, drum.half_sizes_m)
    assert again.taper == drum.taper


@pytest.mark.parametrize(
    ("true", "kind", "half_sizes_mm"),
    [
        (shapes.box((0.10, 0.06, 0.08)), "block", (30, 40, 50)),
        (shapes.can(0.033, 0.10), "drum", (33, 33, 50)),
        (shapes.ball(0.036), "ball", (36, 36, 36)),
    ],
)
def test_half_a_surface_tells_kind_and_size(true: shapes.Shape, kind: str, half_sizes_mm: tuple) -> None:
    scene = tabletop([place(true, 0, 0, 20)], width=240, poses=orbit(5, span_deg=40), noise_seed=0)
    observation = observation_of(scene, 1)
    seen = look_at_object(observation, CONFIG)
    fit = fit_shape(seen, UP, np.random.default_rng(0))
    assert seen.rests and abs(seen.floor_m) < 0.002
    assert fit.kind == kind and explains(fit) and fit.inliers > 0.9 and fit.violation < 0.1
    np.testing.assert_allclose(np.sort(fit.shape.half_sizes_m) * 1000, half_sizes_mm, atol=8)


def test_a_bowl_is_not_taken_for_a_solid() -> None:
    scene = tabletop([place(shapes.bowl(0.07, 0.06))], width=160, poses=orbit(5, span_deg=40))
    seen = look_at_object(observation_of(scene, 1), CONFIG)
    assert not explains(fit_shape(seen, UP, np.random.default_rng(0)))


def test_hull_holds_its_points_and_not_the_rest() -> None:
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
    queries = np.array([[0.5, 0.5, 0.5], [0.99, 0.01, 0.5], [1.1, 0.5, 0.5]], np.float32)
    assert in_hull(corners, queries).tolist() == [True, True, False]
    assert not in_hull(corners[:2], queries).any()  # two points span no volume
