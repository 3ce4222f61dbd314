"""From a half-seen object through known content, guided denoising and joint optimisation, with a model that knows."""

from dataclasses import replace
from functools import cache

import diffusers
import numpy as np
import pytest
import torch

from instascene_ros.core.completion import Stage, complete_object
from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.errors import CancelledError
from instascene_ros.core.guided_prior import GuidedPrior, MultiViewModel, Target
from instascene_ros.core.meshing import Mesh, RayCaster
from instascene_ros.core.objects import CompletedObject, ObjectObservation
from instascene_ros.core.protocols import Prior
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.core.views import Rig
from instascene_ros.models.geometric_prior import ColoredSolid, GeometricPrior
from instascene_ros.tools.oracle import OracleModel
from instascene_ros.tools.scene_generator import shapes
from instascene_ros.tools.scene_generator.trajectory import orbit
from tests.observations import observation_of
from tests.scenes import SyntheticScene, place, tabletop

CONFIG = CompletionConfig(ring_width_px=96, ring_views=10, max_voxels=60_000, optimisation_steps=40, device="cpu")
FEW = replace(CONFIG, ring_width_px=48, ring_views=4, max_voxels=8000, optimisation_steps=10, denoising_steps=3)
SHAPES = {"can": place(shapes.can(0.033, 0.10)), "box": place(shapes.box((0.10, 0.06, 0.08)), 0, 0, 25)}
RIG = Rig.rings(((30.0, 12),), 64)


@cache
def scene(name: str) -> SyntheticScene:
    return tabletop([SHAPES[name]], width=200, poses=orbit(5, start_deg=-20, span_deg=40))


@cache
def observation(name: str) -> ObjectObservation:
    return observation_of(scene(name), 1)


def true_mesh(name: str) -> Mesh:
    true = scene(name).objects[1]
    return Mesh(true.vertices_m.astype(np.float32), true.faces.astype(np.int32))


@cache
def oracle(name: str) -> GuidedPrior:
    mesh = true_mesh(name)
    green = np.tile(np.array([40, 200, 40], np.uint8), (len(mesh.vertices_m), 1))
    model = OracleModel(mesh, green, RIG, diffusers.DDIMScheduler(clip_sample=False), num_steps=4)
    assert isinstance(model, MultiViewModel)
    return GuidedPrior(model, make_rasterizer("cpu"), CONFIG)


@cache
def target(name: str) -> Target:
    return oracle(name).target(observation(name))


@cache
def completed(name: str) -> CompletedObject:
    return complete_object(observation(name), oracle(name), CONFIG)


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_called_known_is_true(name: str) -> None:
    asked = target(name)
    truth = oracle(name)._model.truth(asked).numpy()
    known, there = asked.known.known, truth[:, 4] > 0
    says_object = asked.known.alpha > 0
    assert ((says_object != there) & known).sum() < 0.005 * known.sum()
    true_m = np.stack([RayCaster(true_mesh(name)).look(*camera)[0] for camera in asked.cameras])
    both = known & says_object & there
    off_m = np.abs(asked.known.depth_m - true_m)[both]
    assert off_m.mean() < 0.0012
    assert np.percentile(off_m, 99) < 0.01


def test_known_is_the_seen_side_and_the_space_that_was_seen_through() -> None:
    known = target("can").known
    share = known.share_of_object()
    assert int(share.argmax()) in (0, 1, 11)  # the rig begins at the best input view
    assert share[0] > 0.6
    assert share[6] < 0.2  # from behind only the top is known
    empty = known.known & (known.alpha == 0)
    assert empty.mean() > 0.5
    assert (known.rgb[empty] == 0).all() and (known.depth_m[empty] == 0).all()


def test_known_colours_are_those_of_the_images() -> None:
    asked, view = target("can"), observation("can").views[0]
    seen = view.rgb[view.mask == 255].mean(0) / 255
    carried = asked.known.rgb[0][asked.known.known[0] & (asked.known.alpha[0] > 0)].mean(0)
    np.testing.assert_allclose(carried, seen, atol=0.06)


def test_seen_pixels_win_over_what_the_model_makes_up() -> None:
    prior, asked = oracle("can"), target("can")
    views = prior(observation("can"), [], 0)
    for k in (0, 1, 11):
        kept = asked.known.known[k] & (asked.known.alpha[k] > 0)
        np.testing.assert_allclose(views[k].depth_m[kept], asked.known.depth_m[k][kept], atol=1e-4)
        np.testing.assert_allclose(views[k].rgb[kept] / 255, asked.known.rgb[k][kept], atol=0.005)


@pytest.mark.parametrize("name", SHAPES)
def test_the_oracle_lands_within_two_millimetres_without_any_alignment(name: str) -> None:
    assert isinstance(oracle(name), Prior)
    model, true = completed(name), true_mesh(name)
    made = Mesh(model.vertices_m, model.faces)
    off_m = RayCaster(true).distance_m(model.vertices_m)
    missing_m = RayCaster(made).distance_m(true.vertices_m)
    assert off_m.mean() < 0.0015
    assert missing_m.mean() < 0.002
    np.testing.assert_allclose(
        (model.vertices_m.min(0) + model.vertices_m.max(0)) / 2,
        (true.vertices_m.min(0) + true.vertices_m.max(0)) / 2, atol=0.002,
    )  # fmt: skip
    assert model.watertight
    assert model.method == "oracle"


def test_unseen_side_has_the_colours_of_the_model() -> None:
    model = completed("can")
    behind = ~model.observed & (model.vertices_m @ scene("can").frames[2].T_world_camera[:3, 3] < 0)
    assert behind.any()
    median = np.median(model.colors[behind & (model.vertices_m[:, 2] > 0.02)], axis=0)
    np.testing.assert_allclose(median, [40, 200, 40], atol=40)


def test_same_seed_same_object() -> None:
    one, other = (complete_object(observation("can"), oracle("can"), FEW) for _ in range(2))
    np.testing.assert_array_equal(one.vertices_m, other.vertices_m)
    np.testing.assert_array_equal(one.colors, other.colors)


@pytest.mark.parametrize("word", ["denoising step 3", "step 4"])
def test_it_can_be_cancelled_between_denoising_steps_and_blocks_of_the_optimisation(word: str) -> None:
    told = [""]
    with pytest.raises(CancelledError, match="instance 1"):
        complete_object(
            observation("can"), oracle("can"), FEW,
            progress=lambda stage, share, message: told.append(message), cancelled=lambda: word in told[-1],
        )  # fmt: skip
    assert word in told[-1]


def test_progress_names_every_step_and_never_falls() -> None:
    told: list[tuple[Stage, float, str]] = []
    prior = GuidedPrior(oracle("can")._model, make_rasterizer("cpu"), FEW)
    complete_object(observation("can"), prior, FEW, progress=lambda *step: told.append(step))
    shares = [(stage, share) for stage, share, _ in told]
    assert shares == sorted(shares)
    words = " ".join(message for *_, message in told)
    assert "denoising step 3 of 3" in words and " of 12 views known" in words and "step 9" in words


def test_the_cameras_look_at_the_whole_object_that_was_guessed() -> None:
    true, guesser = true_mesh("can"), GeometricPrior(CONFIG)
    prior = GuidedPrior(oracle("can")._model, make_rasterizer("cpu"), CONFIG, guesser)
    views, wide = prior(observation("can"), [], 0), target("can").sphere
    sphere = prior.target(observation("can"), guesser.guess(observation("can"), 0)).sphere
    assert (np.linalg.norm(true.vertices_m - sphere.center_m, axis=1) < sphere.radius_m).all()
    assert sphere.radius_m < wide.radius_m
    before = oracle("can")(observation("can"), [], 0)
    shown_px = [np.mean([(view.alpha > 0.5).sum() for view in seen]) for seen in (views, before)]
    assert shown_px[0] / shown_px[1] == pytest.approx((wide.radius_m / sphere.radius_m) ** 2, rel=0.05)


def test_a_guess_of_nothing_leaves_the_cameras_at_what_was_seen() -> None:
    class Clueless:
        name = "clueless"

        def guess(self, observation: ObjectObservation, seed: int) -> ColoredSolid:
            none = np.zeros((0, 3))
            return ColoredSolid(Mesh(none.astype(np.float32), none.astype(np.int32)), none.astype(np.uint8))

    prior = GuidedPrior(oracle("can")._model, make_rasterizer("cpu"), FEW, Clueless())
    view, posed = prior(observation("can"), [], 0)[3], target("can").cameras[3]
    assert view.camera == posed[0]
    np.testing.assert_allclose(view.T_world_camera, posed[1])


class Contradicting(OracleModel):
    """Shows every view of the object a little larger, smaller or nearer than it is."""

    def decode(self, sample, target):  # noqa: ANN001, ANN201
        views = super().decode(sample, target)
        shift_m = 0.012 * np.sin(2.4 * np.arange(len(views)))
        return [replace(v, depth_m=np.where(v.depth_m > 0, v.depth_m + s, 0).astype(np.float32))
                for v, s in zip(views, shift_m, strict=True)]  # fmt: skip


def test_views_that_contradict_each_other_are_reconciled() -> None:
    model = oracle("can")._model
    model = Contradicting(true_mesh("can"), model._colors, RIG, model.scheduler, 2)
    prior = GuidedPrior(model, make_rasterizer("cpu"), CONFIG)
    config = replace(CONFIG, optimisation_steps=200)
    true, off_m = RayCaster(true_mesh("can")), {}
    for exact in (True, False):
        model.exact = exact
        made = complete_object(observation("can"), prior, config)
        off_m[exact] = float(true.distance_m(made.vertices_m).mean())
    assert off_m[False] < 0.8 * off_m[True]


def test_samples_differ_by_seed_only_where_nothing_was_known() -> None:
    class Guessing(OracleModel):
        def denoiser(self, target, guide, seed):  # noqa: ANN001, ANN202
            return lambda noisy, timestep: torch.tanh(2 * noisy)

    model = Guessing(true_mesh("can"), oracle("can")._model._colors, RIG, oracle("can")._model.scheduler, 3)
    prior = GuidedPrior(model, make_rasterizer("cpu"), CONFIG)
    views = [prior(observation("can"), [], seed) for seed in (1, 2)]
    known = target("can").known.known
    for k in range(len(RIG)):
        np.testing.assert_array_equal(views[0][k].alpha[known[k]], views[1][k].alpha[known[k]])
    free = np.stack([np.abs(a.alpha - b.alpha) for a, b in zip(*views, strict=True)])[~known]
    assert free.mean() > 0.05
