"""Cameras chosen by the unseen surface that they add, where it is known which side was not seen."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from instascene_ros.core.completion import complete_object
from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.object_sphere import ObjectSphere
from instascene_ros.core.objects import ObjectObservation
from instascene_ros.core.possible_space import PossibleSpace
from instascene_ros.core.view_gain import gain_cameras
from instascene_ros.core.views import PosedCamera
from instascene_ros.models.geometric_prior import GeometricPrior
from instascene_ros.tools.scene_generator import shapes
from instascene_ros.tools.scene_generator.trajectory import orbit
from tests.observations import observation_of
from tests.scenes import place, tabletop

CONFIG = CompletionConfig(ring_width_px=64, max_voxels=20_000)


@cache
def observation() -> ObjectObservation:
    """A can seen from around +x alone."""
    scene = tabletop([place(shapes.can(0.033, 0.10))], width=160, poses=orbit(5, start_deg=-30, span_deg=60))
    return observation_of(scene, 1)


def space() -> PossibleSpace:
    return PossibleSpace.within(ObjectSphere.around(observation(), CONFIG.min_voxel_m), observation(), CONFIG)


def chosen(count: int) -> list[PosedCamera]:
    return gain_cameras(space(), observation(), count, 64)


def test_the_first_cameras_look_at_the_back_or_the_underside_that_nobody_saw() -> None:
    seen_from = np.mean([view.T_world_camera[:2, 3] for view in observation().views], axis=0)
    positions = np.stack([T_world_camera[:3, 3] for _, T_world_camera in chosen(4)])
    behind, below = positions[:, :2] @ seen_from < 0, positions[:, 2] < 0
    assert (behind | below).all()
    assert behind.any()


def test_no_camera_is_chosen_twice_and_more_only_add() -> None:
    few, many = chosen(5), chosen(12)
    assert len(few) == 5 and len(many) == 12
    for (_, a), (_, b) in zip(few, many, strict=False):
        np.testing.assert_array_equal(a, b)
    assert len({T[:3, 3].tobytes() for _, T in many}) == 12
    assert len(chosen(10_000)) == 54  # all there are


def test_where_everything_was_seen_the_rest_goes_all_the_way_round() -> None:
    scene = tabletop([place(shapes.ball(0.04), z_m=0.2)], width=160, poses=orbit(12, span_deg=330), with_table=False)
    whole = observation_of(scene, 1)
    around = PossibleSpace.within(ObjectSphere.around(whole, CONFIG.min_voxel_m), whole, CONFIG)
    positions = np.stack([T[:3, 3] for _, T in gain_cameras(around, whole, 10, 64)]) - around.sphere.center_m
    assert np.linalg.norm(positions.mean(0)) < 0.6 * np.linalg.norm(positions, axis=1).mean()


def test_completion_takes_either_choice_and_refuses_others() -> None:
    prior = GeometricPrior(CONFIG)
    made = complete_object(observation(), prior, replace(CONFIG, view_choice="gain"))
    assert made.watertight
    np.testing.assert_allclose(np.sort(made.size_m), [0.066, 0.066, 0.10], atol=0.012)
    with pytest.raises(ValueError, match="view_choice is 'best'; expected ring or gain"):
        complete_object(observation(), prior, replace(CONFIG, view_choice="best"))
