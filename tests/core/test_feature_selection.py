"""Selecting by features: what looks alike is selected, whatever instance it is."""

import numpy as np
import pytest
import torch
from rendering_cases import CAMERA, discs

from instascene_ros.core.errors import InvalidEditError
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.offline.feature_selection import FeatureView
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.core.selection import Click


def three_discs() -> GaussianMap:
    """Left and right look alike, the middle one does not."""
    gaussians = discs([[-0.3, 0, 1], [0, 0, 1], [0.3, 0, 1]], [[1, 0, 0, 0]] * 3, [[0.04, 0.2]] * 3, [0.95] * 3)
    gaussians.features = torch.eye(16)[[3, 7, 3]]
    return gaussians


def columns_of(mask: torch.Tensor) -> set[int]:
    """Discs (0 left, 1 middle, 2 right) whose centre is selected, on the image row through all three."""
    u = [round(CAMERA.cx + CAMERA.fx * x) for x in (-0.3, 0, 0.3)]
    return {k for k in range(3) if mask[round(CAMERA.cy), u[k]]}


def click_on(disc: int, remove: bool = False) -> Click:
    return Click(CAMERA.cx + CAMERA.fx * (-0.3, 0, 0.3)[disc], CAMERA.cy, remove)


def test_a_click_selects_what_looks_alike_and_several_add_up() -> None:
    view = FeatureView.of(three_discs(), make_rasterizer("cpu"), CAMERA, np.eye(4))
    assert columns_of(view.select([click_on(0)])) == {0, 2}
    assert columns_of(view.select([click_on(1)])) == {1}
    assert columns_of(view.select([click_on(0), click_on(1)])) == {0, 1, 2}
    assert columns_of(view.select([click_on(0), click_on(1), click_on(2, remove=True)])) == {1}
    assert not view.select([Click(0, 0)]).any()  # nothing is there
    assert not view.select([]).any()


def test_a_click_outside_and_a_map_without_features_are_refused() -> None:
    view = FeatureView.of(three_discs(), make_rasterizer("cpu"), CAMERA, np.eye(4))
    with pytest.raises(InvalidEditError, match="the view is 48x36 px"):
        view.select([Click(48, 3)])
    plain = discs([[0, 0, 1]], [[1, 0, 0, 0]], [[0.1, 0.1]], [0.9])
    with pytest.raises(InvalidEditError, match="refine"):
        FeatureView.of(plain, make_rasterizer("cpu"), CAMERA, np.eye(4))


def test_features_stay_aligned_with_the_map() -> None:
    gaussians = three_discs()
    gaussians.keep(torch.tensor([False, True, True]))
    gaussians.append(discs([[0, 0, 2]], [[1, 0, 0, 0]], [[0.1, 0.1]], [0.9]))
    assert gaussians.features.argmax(dim=1)[:2].tolist() == [7, 3]
    assert gaussians.features.shape == (3, 16) and (gaussians.features[2] == 0).all()
    assert set(gaussians.columns()) - set(GaussianMap.empty().columns()) == {"features"}
