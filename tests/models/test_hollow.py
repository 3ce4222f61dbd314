"""Containers are completed as walls, and what stands in one ends on it."""

from functools import cache

import numpy as np
import pytest

from instascene_ros.core.completion import complete_object
from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.meshing import Mesh, RayCaster
from instascene_ros.core.objects import ObjectObservation
from instascene_ros.models.closure import look_at_object
from instascene_ros.models.geometric_prior import GeometricPrior
from instascene_ros.models.hollow import container_of
from instascene_ros.tools.scene_generator import shapes
from instascene_ros.tools.scene_generator.trajectory import orbit
from tests.observations import observation_of
from tests.scenes import place, tabletop

CONFIG = CompletionConfig()
ARC = orbit(6, start_deg=-30, span_deg=65)
SINGLE = {
    "bowl": shapes.bowl(0.07, 0.05),
    "ring": shapes.tape(0.05, 0.03, 0.03),
    "can": shapes.can(0.033, 0.10),
    "carton": shapes.box((0.1, 0.05, 0.1)),
}


@cache
def alone(name: str) -> tuple[ObjectObservation, Mesh]:
    scene = tabletop([place(SINGLE[name])], width=320, poses=ARC)
    true = scene.objects[1]
    return observation_of(scene, 1), Mesh(true.vertices_m.astype(np.float32), true.faces.astype(np.int32))


@pytest.mark.parametrize("name", SINGLE)
def test_only_a_bowl_is_a_container(name: str) -> None:
    observation, _ = alone(name)
    container = container_of(look_at_object(observation, CONFIG), observation.up)
    assert (container is not None) == (name == "bowl")


def test_cells_that_cannot_hold_a_wall_make_none() -> None:
    observation, _ = alone("bowl")
    coarse = look_at_object(observation, CompletionConfig(max_voxels=20_000))
    assert coarse.grid.voxel_m > 0.005 and container_of(coarse, observation.up) is None


def test_a_bowl_is_a_wall_and_not_filled_with_what_lies_in_it() -> None:
    block = place(shapes.box((0.06, 0.05, 0.05)), z_m=0.006)
    scene = tabletop([place(SINGLE["bowl"]), block], width=320, poses=ARC)
    completed = complete_object(observation_of(scene, 1), GeometricPrior(CONFIG), CONFIG)
    mesh, true = Mesh(completed.vertices_m, completed.faces), scene.objects[1]
    axes = [np.linspace(-h, h, 12) for h in (0.025, 0.02)]
    inside_block_m = np.stack(np.meshgrid(*axes, np.linspace(0.015, 0.05, 10)), axis=-1).reshape(-1, 3)
    assert completed.watertight
    assert RayCaster(mesh).inside(inside_block_m.astype(np.float32)).mean() < 0.15
    assert np.quantile(RayCaster(mesh).distance_m(true.vertices_m.astype(np.float32)), 0.8) < 0.006


def test_a_can_in_a_bowl_ends_on_the_bowl() -> None:
    scene = tabletop(
        [place(shapes.can(0.033, 0.10), z_m=0.012), place(shapes.bowl(0.075, 0.05, wall_m=0.012))], width=320, poses=ARC
    )
    observation = observation_of(scene, 1)
    completed = complete_object(observation, GeometricPrior(CONFIG), CONFIG)
    assert completed.vertices_m[:, 2].min() > 0.008


def test_a_can_among_neighbours_stands_on_the_table() -> None:
    box = shapes.box((0.03, 0.05, 0.05))
    around = [place(box, 0.055 * np.cos(a), 0.055 * np.sin(a), np.degrees(a)) for a in (-1.2, 0, 1.2)]
    scene = tabletop([place(shapes.can(0.033, 0.10)), *around], width=320, poses=ARC)
    completed = complete_object(observation_of(scene, 1), GeometricPrior(CONFIG), CONFIG)
    assert completed.vertices_m[:, 2].min() < 0.005
