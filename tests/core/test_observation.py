"""What an observation holds, from a map of surfels with true labels."""

from functools import cache

import numpy as np
import pytest
import torch

from instascene_ros.core.errors import TooFewPointsError
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.objects import MASK_OBJECT, MASK_OCCLUDED, MASK_OTHER, ObjectObservation
from instascene_ros.core.observation import observe_object
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.tools.scene_generator import shapes
from instascene_ros.tools.scene_generator.trajectory import orbit
from tests.observations import UP, surfels
from tests.scenes import SyntheticScene, place, tabletop

CAN, BOX = 1, 2


@cache
def scene() -> SyntheticScene:
    """A can behind a low box, seen from in front of the box and from the side."""
    objects = [place(shapes.can(0.033, 0.10)), place(shapes.box((0.03, 0.14, 0.06)), 0.10, 0.0)]
    poses = np.concatenate([orbit(4, span_deg=30, elevation_deg=20), orbit(2, 80, 20, elevation_deg=40)])
    return tabletop(objects, width=120, poses=poses)


@cache
def labelled_map() -> tuple[GaussianMap, np.ndarray]:
    parts = [
        surfels([(f, (i == k) & (f.depth_m > 0)) for f, i in zip(scene().frames, scene().instances, strict=True)])
        for k in (0, CAN, BOX)
    ]
    parts = [p.select(torch.arange(0, len(p), 2)) for p in parts]
    labels = np.repeat([0, CAN, BOX], [len(p) for p in parts]).astype(np.int32)
    gaussians = GaussianMap.empty()
    for part in parts:
        gaussians.append(part)
    return gaussians, labels


@cache
def observed(instance_id: int, max_views: int = 0) -> ObjectObservation:
    gaussians, labels = labelled_map()
    return observe_object(
        instance_id, 7, "map", gaussians, labels, scene().frames, make_rasterizer("cpu"), UP, max_views
    )


def test_it_holds_the_instance_and_what_is_near_it() -> None:
    observation, labels = observed(CAN), labelled_map()[1]
    assert (observation.map_id, observation.instance_id, observation.instance_revision) == ("map", CAN, 7)
    assert len(observation.surfels) == (labels == CAN).sum()
    near = observation.context.means_m.numpy()
    assert 0 < len(near) < (labels != CAN).sum()
    assert np.abs(near[:, 2]).min() < 0.002  # the table it stands on
    assert np.abs(near - near.mean(0)).max() < 0.3


def test_masks_say_object_hidden_and_other() -> None:
    frames = {f.T_world_camera.tobytes(): k for k, f in enumerate(scene().frames)}
    hidden: list[int] = []
    for view in observed(CAN).views:
        k = frames[view.T_world_camera.tobytes()]
        frame, truth = scene().frames[k], scene().instances[k]
        left, top = round(frame.camera.cx - view.camera.cx), round(frame.camera.cy - view.camera.cy)
        window = np.s_[top : top + view.camera.height, left : left + view.camera.width]
        np.testing.assert_array_equal(view.rgb, frame.rgb[window])
        np.testing.assert_array_equal(view.depth_m, frame.depth_m[window])
        assert set(np.unique(view.mask)) <= {MASK_OBJECT, MASK_OCCLUDED, MASK_OTHER}
        own, said = truth[window] == CAN, view.mask == MASK_OBJECT
        assert (own & said).sum() / (own | said).sum() > 0.8
        hidden += (truth[window][view.mask == MASK_OCCLUDED]).tolist()
    assert len(hidden) > 20 and np.mean(np.array(hidden) == BOX) > 0.8


def test_crops_leave_room_and_new_directions_come_first() -> None:
    views = observed(CAN, 2).views
    assert len(views) == 2
    azimuths = [np.degrees(np.arctan2(v.T_world_camera[1, 3], v.T_world_camera[0, 3])) for v in views]
    assert abs(azimuths[0] - azimuths[1]) > 40
    for view in views:
        rows, columns = np.nonzero(view.mask == MASK_OBJECT)
        assert rows.min() > 3 and columns.min() > 3
        assert columns.max() < view.camera.width - 4


def test_an_instance_without_points_or_views_is_refused_in_words() -> None:
    gaussians, labels = labelled_map()
    rasterizer = make_rasterizer("cpu")
    with pytest.raises(TooFewPointsError, match="instance 9 has 0 points"):
        observe_object(9, 1, "map", gaussians, labels, scene().frames, rasterizer, UP)
    with pytest.raises(TooFewPointsError, match="none of the 0 remembered views"):
        observe_object(CAN, 1, "map", gaussians, labels, (), rasterizer, UP)
