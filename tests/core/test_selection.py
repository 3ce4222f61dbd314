"""Clicks and points find the instance that is there."""

import numpy as np
import pytest
import torch
from scenes import place, tabletop

from instascene_ros.core.config import Config, MappingConfig
from instascene_ros.core.errors import InvalidEditError, UnknownInstanceError
from instascene_ros.core.pipeline import SceneMapper
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.core.rendering.contract import Trace
from instascene_ros.core.selection import Click, IdBuffer, id_buffer, nearest_instance
from instascene_ros.tools.scene_generator import shapes

BUFFER = IdBuffer(torch.tensor([[0, 7, 7], [9, 9, 7]], dtype=torch.int32))


def test_the_label_with_the_largest_sum_wins_a_pixel_and_thin_cover_shows_nothing() -> None:
    labels = torch.tensor([5, 8, 8, 0])
    trace = Trace(
        torch.tensor([0, 1, 2, 0, 3, 1]), torch.tensor([0, 0, 0, 1, 2, 2]), torch.tensor([0.4, 0.3, 0.3, 0.3, 0.6, 0.3])
    )
    assert id_buffer(trace, labels, 1, 4).ids.tolist() == [[8, 0, 0, 0]]


def test_clicks_add_and_remove() -> None:
    chosen = BUFFER.select([Click(1, 0), Click(0.4, 1.4), Click(0, 0)])
    assert chosen.ids == (7, 9) and chosen.mask.tolist() == [[False, True, True], [True, True, True]]
    chosen = BUFFER.select([Click(1, 0), Click(0, 1), Click(2.4, 0, remove=True)])
    assert chosen.ids == (9,) and chosen.mask.tolist() == [[False, False, False], [True, True, False]]
    assert not BUFFER.select([]).mask.any()


@pytest.mark.parametrize("at", [(-0.6, 0), (2.5, 0), (0, 1.5), (np.nan, 0)])
def test_a_click_outside_the_view_is_refused(at: tuple[float, float]) -> None:
    with pytest.raises(InvalidEditError, match="the view is 3x2 px"):
        BUFFER.select([Click(1, 0), Click(*at)])


def test_the_nearest_labelled_surface_is_found_within_reach() -> None:
    means = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1.1, 0, 0]])
    labels = torch.tensor([3, 4, 0])
    assert nearest_instance(torch.tensor([1.2, 0, 0]), means, labels, 0.25) == 4
    with pytest.raises(UnknownInstanceError, match="the nearest, 4, is 1.00 m away"):
        nearest_instance(torch.tensor([2.0, 0, 0]), means, labels, 0.25)
    with pytest.raises(UnknownInstanceError, match="no instances in the map yet"):
        nearest_instance(torch.tensor([2.0, 0, 0]), means, labels * 0, 0.25)
    with pytest.raises(InvalidEditError, match="finite"):
        nearest_instance(torch.tensor([torch.nan, 0, 0]), means, labels, 0.25)


def test_a_click_selects_the_mask_of_the_object_under_it_until_the_map_changes() -> None:
    scene = tabletop([place(shapes.box((0.1, 0.08, 0.1)), -0.1), place(shapes.can(0.04, 0.1), 0.1)], 5)
    mapper = SceneMapper(Config(mapping=MappingConfig(refine_steps=0)), make_rasterizer("cpu"))
    for frame in scene.frames:
        mapper.process(frame)
    frame, truth = scene.frames[2], scene.instances[2]
    view = mapper.id_buffer(scene.camera, frame.T_world_camera)
    assert mapper.id_buffer(scene.camera, frame.T_world_camera.copy()) is view
    for target in (1, 2):
        v, u = (int(np.median(axis)) for axis in np.nonzero(truth == target))
        chosen = view.select([Click(u, v)])
        mask = chosen.mask.numpy()
        assert (mask & (truth == target)).sum() > 0.9 * (mask | (truth == target)).sum()
        center = scene.objects[target].vertices_m.mean(0) + [0, 0, 0.02]
        assert mapper.instance_near(center, 0.1) == chosen.ids[0]
    gone = view.select([Click(u, v)]).ids
    mapper.remove(gone)
    assert mapper.id_buffer(scene.camera, frame.T_world_camera).instance_at(u, v) == 0
