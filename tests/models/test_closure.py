"""What closing a shape may fill, next to something else."""

import numpy as np

from instascene_ros.core.completion import complete_object
from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.meshing import Mesh, RayCaster
from instascene_ros.models.geometric_prior import GeometricPrior
from instascene_ros.tools.scene_generator import meshes, shapes
from instascene_ros.tools.scene_generator.shapes import Shape
from instascene_ros.tools.scene_generator.trajectory import orbit
from tests.observations import observation_of
from tests.scenes import place, tabletop

CONFIG = CompletionConfig()
BLOCK_M = (0.04, 0.04, 0.06)


def bracket() -> Shape:
    """Two bars at a right angle, which no simple shape explains."""
    one, two = meshes.box((0.14, 0.02, 0.04), 0.003, 0.006), meshes.box((0.02, 0.12, 0.04), 0.003, 0.006)
    vertices_m = np.concatenate([one.vertices_m + [0, 0.05, 0.02], two.vertices_m + [-0.06, 0, 0.02]])
    return Shape("bracket", meshes.Mesh(vertices_m, np.concatenate([one.faces, two.faces + len(one.vertices_m)])), ())


def test_a_bracket_is_not_closed_over_the_block_in_its_corner() -> None:
    scene = tabletop(
        [place(bracket()), place(shapes.box(BLOCK_M), 0.0, 0.0)], width=320,
        poses=orbit(6, start_deg=-60, span_deg=65, elevation_deg=35),
    )  # fmt: skip
    completed = complete_object(observation_of(scene, 1), GeometricPrior(CONFIG), CONFIG)
    axes = [np.linspace(-h, h, 12) for h in (0.019, 0.019)]
    block_m = np.stack(np.meshgrid(*axes, np.linspace(0.003, 0.038, 10)), axis=-1).reshape(-1, 3).astype(np.float32)
    caster, true = RayCaster(Mesh(completed.vertices_m, completed.faces)), scene.objects[1]
    assert completed.watertight
    assert caster.inside(block_m).mean() < 0.3  # 0.21; the hull of what shows fills 0.69 of it
    assert np.median(caster.distance_m(true.vertices_m.astype(np.float32))) < 0.004
