"""What is hidden under a thing that hangs over: known shapes, seen from one side."""

from functools import cache

import numpy as np
import pytest

from instascene_ros.core.completion import complete_object
from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.meshing import Mesh, RayCaster
from instascene_ros.models.closure import closed_shape, look_at_object
from instascene_ros.models.geometric_prior import GeometricPrior
from instascene_ros.models.underside import above_underside
from instascene_ros.tools.scene_generator import meshes, shapes
from instascene_ros.tools.scene_generator.shapes import Shape
from instascene_ros.tools.scene_generator.trajectory import orbit
from tests.observations import observation_of
from tests.scenes import place, tabletop

CONFIG = CompletionConfig()
ARC = orbit(6, start_deg=-120, span_deg=65, elevation_deg=55)  # from the side of the handle
POST_M, BAR_M, BAR_LOW_M = (0.05, 0.06, 0.08), (0.12, 0.024, 0.024), 0.03


def post_with_handle() -> Shape:
    """A post on the table, and a bar that hangs from its side, over nothing."""
    post, bar = meshes.box(POST_M, 0.003, 0.006), meshes.box(BAR_M, 0.003, 0.006)
    bar_m = bar.vertices_m + [(POST_M[0] + BAR_M[0]) / 2 - 0.002, 0, BAR_LOW_M + BAR_M[2] / 2]
    vertices_m = np.concatenate([post.vertices_m + [0, 0, POST_M[2] / 2], bar_m])
    return Shape("post", meshes.Mesh(vertices_m, np.concatenate([post.faces, bar.faces + len(post.vertices_m)])), ())


@cache
def completed() -> RayCaster:
    observation = observation_of(tabletop([place(post_with_handle())], width=320, poses=ARC), 1)
    model = complete_object(observation, GeometricPrior(CONFIG), CONFIG)
    return RayCaster(Mesh(model.vertices_m, model.faces))


def filled(low_m: float, high_m: float) -> float:
    """Share of what lies straight under or in the bar between two heights that is inside the completed object."""
    axes = np.linspace(0.035, 0.13, 20), np.linspace(-0.011, 0.011, 12), np.linspace(low_m, high_m, 8)
    points_m = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 3).astype(np.float32)
    return float(completed().inside(points_m).mean())


def test_nothing_is_made_up_far_below_a_handle_that_cameras_looked_under() -> None:
    assert filled(0.0, 0.014) < 0.06  # half a width below the edge is 18 mm; straight down to the table it was 0.18
    assert filled(BAR_LOW_M + 0.004, BAR_LOW_M + BAR_M[2] - 0.004) > 0.75


@pytest.mark.parametrize("shape", [shapes.box((0.03, 0.02, 0.12)), shapes.ball(0.036), shapes.can(0.033, 0.10)])
def test_what_stands_on_its_base_keeps_all_of_it(shape: Shape) -> None:
    scene = tabletop([place(shape)], width=320, poses=ARC)
    observation, true = observation_of(scene, 1), scene.objects[1]
    seen = look_at_object(observation, CONFIG)
    caster = RayCaster(Mesh(true.vertices_m.astype(np.float32), true.faces.astype(np.int32)))
    closed = closed_shape(seen, observation)
    own = closed & caster.inside(seen.grid.centers_m()).reshape(seen.grid.shape)
    assert above_underside(seen, closed, observation.up)[own].mean() > 0.95
