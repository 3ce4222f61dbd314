"""The oracle of a scene completes every observation with the object that it is of."""

from dataclasses import replace

import numpy as np

from instascene_ros.core.completion import complete_object
from instascene_ros.core.config import CompletionConfig, Config
from instascene_ros.core.meshing import Mesh, RayCaster
from instascene_ros.core.protocols import Prior
from instascene_ros.tools.completion_checks import apart_mm
from instascene_ros.tools.completion_methods import ablations, completing, methods
from instascene_ros.tools.completion_metric import Surface
from instascene_ros.tools.oracle import SceneOracle
from instascene_ros.tools.scene_generator import shapes
from instascene_ros.tools.scene_generator.trajectory import orbit
from tests.observations import observation_of
from tests.scenes import place, tabletop


def test_each_object_is_completed_with_itself_in_place() -> None:
    objects = [place(shapes.box((0.06, 0.05, 0.09)), 0.0, -0.08), place(shapes.can(0.03, 0.08), 0.0, 0.05)]
    scene = tabletop(objects, width=200, poses=orbit(6, start_deg=-20, span_deg=40))
    truths = [Mesh(m.vertices_m.astype(np.float32), m.faces.astype(np.int32)) for m in scene.objects.values()]
    config = CompletionConfig(ring_width_px=96, max_voxels=60_000, optimisation_steps=40, denoising_steps=2)
    oracle = SceneOracle(truths, config)
    assert isinstance(oracle, Prior)
    complete = completing(oracle, replace(Config(), completion=config))
    one, other = (complete(observation_of(scene, 1), seed) for seed in (0, 1))
    assert {"generate", "optimize", "mesh"} <= one.seconds.keys()  # CPU time of every stage
    assert 0 < apart_mm(Surface(one.mesh), [Surface(other.mesh)]) < 1  # seeds differ, and agree on what is known
    for number, truth in enumerate(truths):
        made = complete_object(observation_of(scene, number + 1), oracle, config)
        assert made.method == "oracle"
        assert RayCaster(truth).distance_m(made.vertices_m).mean() < 0.002
        assert RayCaster(Mesh(made.vertices_m, made.faces)).distance_m(truth.vertices_m).mean() < 0.002


def test_the_ceiling_is_in_the_table_and_ablations_are_asked_for_by_name() -> None:
    usual, extra = methods(Config(), []), ablations(Config(), [])
    assert list(usual) == ["observed surface", "hull of it", "geometric", "diffusion", "oracle"]
    assert "oracle, fused" in extra and "geometric, by gain" in extra and not usual.keys() & extra.keys()
