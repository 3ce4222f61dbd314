"""Completion from one side only, against shapes that are known whole."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from instascene_ros.core.completion import Stage, complete_object
from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.errors import CancelledError, TooFewPointsError
from instascene_ros.core.geometry import inverse, project, transform
from instascene_ros.core.meshing import Mesh, RayCaster, is_watertight
from instascene_ros.core.objects import CompletedObject, GeneratedView
from instascene_ros.models.geometric_prior import GeometricPrior
from instascene_ros.tools.scene_generator import shapes
from instascene_ros.tools.scene_generator.trajectory import orbit
from tests.observations import observation_of
from tests.scenes import SyntheticScene, place, tabletop

CONFIG = CompletionConfig(ring_width_px=96, max_voxels=60_000)
PRIOR = GeometricPrior(CONFIG)
SHAPES = {
    "box": place(shapes.box((0.10, 0.06, 0.08)), 0, 0, 25),
    "can": place(shapes.can(0.033, 0.10)),
    "ball": place(shapes.ball(0.036)),
}
ONE_SIDE = orbit(6, start_deg=-20, span_deg=40)


@cache
def seen_from_one_side(*names: str) -> SyntheticScene:
    objects = [SHAPES[name] for name in names] or [
        place(shapes.box((0.06, 0.06, 0.09)), 0.0, -0.032),
        place(shapes.box((0.06, 0.06, 0.07)), 0.0, 0.032),
    ]
    return tabletop(objects, width=200, poses=ONE_SIDE)


@cache
def completed(name: str) -> CompletedObject:
    return complete_object(observation_of(seen_from_one_side(name), 1), PRIOR, CONFIG)


def mesh_of(model: CompletedObject) -> Mesh:
    return Mesh(model.vertices_m, model.faces)


def true_mesh(scene: SyntheticScene, instance_id: int = 1) -> Mesh:
    true = scene.objects[instance_id]
    return Mesh(true.vertices_m.astype(np.float32), true.faces.astype(np.int32))


def volume_iou(a: Mesh, b: Mesh) -> float:
    low = np.minimum(a.vertices_m.min(0), b.vertices_m.min(0))
    high = np.maximum(a.vertices_m.max(0), b.vertices_m.max(0))
    axes = [np.arange(x, y, 0.003, dtype=np.float32) for x, y in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    in_a, in_b = RayCaster(a).inside(grid), RayCaster(b).inside(grid)
    return (in_a & in_b).sum() / (in_a | in_b).sum()


@pytest.mark.parametrize("name", SHAPES)
def test_half_seen_object_becomes_whole_closed_and_in_place(name: str) -> None:
    model, true = completed(name), true_mesh(seen_from_one_side(name))
    assert model.watertight and is_watertight(mesh_of(model))
    assert mesh_of(model).volume_m3 > 0  # faces look outward
    assert volume_iou(mesh_of(model), true) > 0.8
    assert np.abs(model.T_world_object[:3, 3] - (true.vertices_m.min(0) + true.vertices_m.max(0)) / 2).max() < 0.01
    assert model.T_world_object[2, 2] == pytest.approx(1.0)
    assert (model.method, model.instance_id, model.instance_revision, model.map_id) == ("geometric", 1, 3, "map")


def test_size_is_along_the_object_axes() -> None:
    np.testing.assert_allclose(completed("box").size_m, (0.10, 0.06, 0.08), atol=0.008)


@pytest.mark.parametrize("name", SHAPES)
def test_only_the_seen_side_counts_as_observed(name: str) -> None:
    model = completed(name)
    normals = mesh_of(model).vertex_normals()
    toward = ONE_SIDE[:, :3, 3].mean(0) - model.vertices_m
    facing = (normals * toward / np.linalg.norm(toward, axis=1, keepdims=True)).sum(1)
    assert model.observed[facing > 0.6].mean() > 0.9
    assert not model.observed[facing < -0.1].any()
    assert 0.2 < model.observed_fraction < 0.8


@pytest.mark.parametrize("name", SHAPES)
def test_nothing_reaches_into_space_that_was_seen_empty(name: str) -> None:
    model, scene = completed(name), seen_from_one_side(name)
    in_front = np.zeros(len(model.vertices_m), int)
    for frame, depth_m in zip(scene.frames, scene.true_depth_m, strict=True):
        pixels, z = project(transform(inverse(frame.T_world_camera), model.vertices_m), frame.camera)
        u, v = np.rint(pixels).astype(int).T
        in_front += z < depth_m[v, u] - 0.01
    assert (in_front >= 3).mean() < 0.01
    assert model.vertices_m[:, 2].min() > -0.005  # nor into the table


def test_masks_that_run_over_the_foot_put_nothing_into_the_table() -> None:
    scene = seen_from_one_side("box")
    over = [ndimage.binary_dilation(image == 1, iterations=3).astype(np.int32) for image in scene.instances]
    model = complete_object(observation_of(replace(scene, instances=tuple(over)), 1), PRIOR, CONFIG)
    assert model.watertight and -0.001 < model.vertices_m[:, 2].min() < 0.002


def test_neighbours_that_touch_do_not_share_space() -> None:
    scene = seen_from_one_side()
    models = [complete_object(observation_of(scene, i), PRIOR, CONFIG) for i in (1, 2)]
    for model, other in ((models[0], 2), (models[1], 1)):
        inside = RayCaster(true_mesh(scene, other)).inside(model.vertices_m)
        deep = RayCaster(true_mesh(scene, other)).distance_m(model.vertices_m) > 0.006
        assert (inside & deep).mean() < 0.02


def test_colours_are_those_of_the_object() -> None:
    scene, model = seen_from_one_side("can"), completed("can")
    seen = np.concatenate([f.rgb[i == 1] for f, i in zip(scene.frames, scene.instances, strict=True)])
    assert np.abs(model.colors.mean(0) - seen.mean(0)).max() < 30


def test_same_seed_same_result_and_fewer_faces_on_request() -> None:
    observation = observation_of(seen_from_one_side("can"), 1)
    again = complete_object(observation, PRIOR, CONFIG, seed=0)
    np.testing.assert_array_equal(again.vertices_m, completed("can").vertices_m)
    small = complete_object(observation, PRIOR, CONFIG, max_faces=400)
    assert len(small.faces) <= 400 and small.watertight


def test_progress_names_every_stage_and_never_falls() -> None:
    steps: list[tuple[Stage, float]] = []
    observation = observation_of(seen_from_one_side("can"), 1)
    complete_object(observation, PRIOR, CONFIG, progress=lambda stage, fraction, _: steps.append((stage, fraction)))
    assert {stage for stage, _ in steps} == {Stage.OBSERVE, Stage.GENERATE, Stage.OPTIMIZE, Stage.MESH}
    assert steps == sorted(steps) and steps[0][1] == 0.0 and steps[-1][1] == 1.0


@pytest.mark.parametrize("stage", [Stage.OBSERVE, Stage.GENERATE, Stage.OPTIMIZE, Stage.MESH])
def test_cancel_stops_before_the_next_step(stage: Stage) -> None:
    reached: list[Stage] = []
    with pytest.raises(CancelledError, match="instance 1"):
        complete_object(
            observation_of(seen_from_one_side("can"), 1), PRIOR, CONFIG,
            progress=lambda s, *_: reached.append(s), cancelled=lambda: stage in reached or stage == Stage.OBSERVE,
        )  # fmt: skip
    assert stage == (reached[-1] if reached else Stage.OBSERVE)


def test_an_object_hardly_seen_is_refused_in_words() -> None:
    observation = observation_of(seen_from_one_side("can"), 1)
    with pytest.raises(TooFewPointsError, match="0 views"):
        complete_object(replace(observation, views=()), PRIOR, CONFIG)
    few = observation.surfels.select(observation.surfels.means_m[:, 0] > 9)
    with pytest.raises(TooFewPointsError, match="has 0 points"):
        complete_object(replace(observation, surfels=few), PRIOR, CONFIG)
    no_depth = tuple(replace(view, depth_m=np.zeros_like(view.depth_m)) for view in observation.views)
    with pytest.raises(TooFewPointsError, match="0 points with depth"):
        complete_object(replace(observation, views=no_depth), PRIOR, CONFIG)


class Liar:
    """A prior that fills everything with one big ball."""

    name = "liar"
    exact = True

    def __call__(self, observation, cameras, seed, report):  # noqa: ANN001, ANN204
        center, radius = observation.surfels.means_m.numpy().mean(0).astype(np.float64), 0.07
        views = []
        for camera, T in cameras:
            rays = camera.rays().astype(np.float64) @ T[:3, :3].T
            offset = T[:3, 3] - center
            b, a = (rays * offset).sum(-1), (rays * rays).sum(-1)
            root = b * b - a * (offset @ offset - radius**2)
            depth = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, 0).astype(np.float32)
            rgb = np.full((*depth.shape, 3), 200, np.uint8)
            views.append(GeneratedView(camera, T, rgb, depth, (depth > 0).astype(np.float32)))
        return views


def test_evidence_wins_over_what_a_prior_makes_up() -> None:
    scene = seen_from_one_side("can")
    model = complete_object(observation_of(scene, 1), Liar(), CONFIG)
    true = RayCaster(true_mesh(scene))
    seen = model.vertices_m[model.observed]
    assert np.percentile(true.distance_m(seen), 95) < 0.006
    # Where nobody looked the ball stays; what was seen empty is carved from it.
    ball_m3 = 4 / 3 * np.pi * 0.07**3
    assert model.watertight and mesh_of(model).volume_m3 < 0.75 * ball_m3
