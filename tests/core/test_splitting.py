"""Surfels become finer where the texture is finer than they are, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from walls import WALL_CONFIG, mapper, wall

from instascene_ros.core.frame import Frame
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.rendering.render import render

COARSE = replace(WALL_CONFIG, seed_stride_px=4)


def half_striped(stamp: int) -> Frame:
    """Stripes four pixels wide on the left half."""
    frame = wall(stamp_ns=stamp)
    rgb = np.full((48, 64, 3), 128, np.uint8)
    rgb[:, :32] = np.where((np.arange(32) // 4 % 2)[None, :, None], 200, 60)
    return replace(frame, rgb=rgb)


def left_of(gaussians: GaussianMap) -> torch.Tensor:
    return gaussians.means_m[:, 0] < 0


def mapped(num_frames: int, config=COARSE) -> GaussianMap:
    one, gaussians = mapper(config), GaussianMap.empty()
    for stamp in range(num_frames):
        one.integrate(half_striped(stamp), gaussians)
    return gaussians


def test_surfels_split_under_stripes_and_not_under_plain_colour() -> None:
    before, after = mapped(6, replace(COARSE, split_sigma_px=1e6)), mapped(6)
    plain = [(gaussians.means_m[:, 0] > 0.25).sum() for gaussians in (before, after)]  # the border bleeds some pixels
    assert plain[0] > 30 and plain[1] == plain[0]
    assert left_of(after).sum() > 1.8 * left_of(before).sum()
    assert after.scales_m[left_of(after)].amin(dim=1).median() < 0.7 * before.scales_m.amin(dim=1).median()


def test_finer_surfels_show_the_stripes() -> None:
    errors = []
    for config in (replace(COARSE, split_sigma_px=1e6), COARSE):
        gaussians, frame = mapped(24, config), half_striped(0)
        shown = render(mapper().rasterizer, gaussians, frame.camera, frame.T_world_camera).rgb.numpy()
        errors.append(float(np.abs(shown - frame.rgb / 255)[4:-4, 4:28].mean()))
    assert errors[1] < 0.7 * errors[0]


def test_halves_leave_no_holes_and_inherit_what_is_known() -> None:
    one, gaussians = mapper(COARSE), GaussianMap.empty()
    one.integrate(half_striped(0), gaussians)
    gaussians.vote_ids[:, 0], gaussians.vote_weights[:, 0] = 5, 2.0
    _, rendering = one.integrate(half_striped(1), gaussians)
    old = gaussians.birth_ns == 0
    assert (gaussians.vote_ids[old, 0] == 5).all() and (gaussians.vote_weights[old, 0] == 2.0).all()
    assert rendering.alpha[6:-6, 6:-6].min() > 0.7
    assert torch.allclose(gaussians.means_m[:, 2], torch.tensor(1.0), atol=1e-3)


def test_a_full_map_splits_nothing() -> None:
    full = len(mapped(1))
    assert len(mapped(4, replace(COARSE, max_gaussians=full))) == full


@pytest.mark.parametrize("sigma_px", [0.8, 1.5])
def test_nothing_is_split_finer_than_asked_for(sigma_px: float) -> None:
    gaussians = mapped(12, replace(COARSE, split_sigma_px=sigma_px))
    old = left_of(gaussians) & (gaussians.birth_ns == 0)
    finest_px = gaussians.scales_m[old].amin(dim=1) * wall().camera.fx
    assert finest_px.min() > 0.6 * sigma_px
