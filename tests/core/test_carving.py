"""What is gone leaves the map, what is there stays, and nothing hides under the surface."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scenes import place, tabletop
from walls import WALL_CONFIG, mapper, wall

from instascene_ros.core.frame import Frame
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.mapper import Mapper
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.tools.scene_generator import shapes


def views(with_box: bool, seed: int, poses: np.ndarray | None = None) -> tuple[Frame, ...]:
    objects = [place(shapes.box((0.12, 0.12, 0.12)), 0.1)] if with_box else []
    standing = place(shapes.can(0.04, 0.1), -0.12)
    return tabletop([standing, *objects], num_frames=10, noise_seed=seed, poses=poses).frames


def in_the_box(gaussians: GaussianMap) -> torch.Tensor:
    offset = gaussians.means_m - torch.tensor([0.1, 0.0, 0.07])
    return (offset.abs() < torch.tensor([0.07, 0.07, 0.05])).all(dim=1)  # two centimetres above the table and up


@pytest.mark.parametrize("looks", [1, 3])
def test_a_box_that_is_taken_away_is_gone_after_five_looks_and_the_table_appears(looks: int) -> None:
    before = views(with_box=True, seed=0)
    after = views(with_box=False, seed=1, poses=np.stack([f.T_world_camera for f in before]))
    one, gaussians = Mapper(replace(WALL_CONFIG, refine_steps=2), make_rasterizer("cpu"), 0.1), GaussianMap.empty()
    for _ in range(looks):
        for frame in before:
            one.integrate(frame, gaussians)
    stood = int(in_the_box(gaussians).sum())
    for _ in range(5):  # the same place, five times
        one.integrate(after[0], gaussians)
    assert stood > 500
    for _ in range(5):
        for frame in after[::3]:
            one.integrate(frame, gaussians)
    assert in_the_box(gaussians).sum() < 0.02 * stood
    under = (gaussians.means_m[:, :2] - torch.tensor([0.1, 0.0])).abs().amax(dim=1) < 0.05
    assert (under & (gaussians.means_m[:, 2].abs() < 0.01)).sum() > 100  # the table where the box stood
    can = (gaussians.means_m - torch.tensor([-0.12, 0.0, 0.05])).norm(dim=1) < 0.07
    assert can.sum() > 300  # what was not touched


def test_noise_does_not_carve() -> None:
    rng = np.random.default_rng(0)
    one, gaussians = mapper(), GaussianMap.empty()
    for stamp in range(30):
        noise = rng.normal(0, 0.003, (48, 64))
        outliers = rng.random((48, 64)) < 0.02
        depth_m = np.where(outliers, rng.uniform(0.5, 2.5, (48, 64)), 1 + noise).astype(np.float32)
        _, rendering = one.integrate(wall(stamp_ns=stamp, depth_m=depth_m), gaussians)
    inside = (slice(4, -4), slice(4, -4))
    assert (rendering.alpha[inside] > 0.7).float().mean() > 0.99
    assert ((rendering.depth_m[inside] - 1).abs() < 0.01).float().mean() > 0.97
    assert ((gaussians.means_m[:, 2] - 1).abs() > 0.05).float().mean() < 0.05  # few of the outliers are left


def test_depth_beyond_the_mapped_range_shows_that_what_stood_before_it_is_gone() -> None:
    one, gaussians = mapper(), GaussianMap.empty()
    one.integrate(wall(1.0), gaussians)
    for stamp in range(1, 6):
        one.integrate(wall(WALL_CONFIG.max_depth_m + 0.5, stamp_ns=stamp), gaussians)
    assert len(gaussians) == 0


def test_missing_depth_carves_nothing() -> None:
    one, gaussians = mapper(), GaussianMap.empty()
    one.integrate(wall(1.0), gaussians)
    before = len(gaussians)
    for stamp in range(1, 8):
        depth_m = np.zeros((48, 64), np.float32)
        depth_m[:4, :4] = 1.0
        one.integrate(wall(stamp_ns=stamp, depth_m=depth_m), gaussians)
    assert len(gaussians) >= before


@pytest.mark.parametrize(("facing", "stays"), [(1.0, False), (-1.0, True)])
def test_doubles_under_a_surface_go_but_the_far_side_of_a_thin_thing_stays(facing: float, stays: bool) -> None:
    one, gaussians = mapper(), GaussianMap.empty()
    one.integrate(wall(1.0), gaussians)
    hidden = gaussians.select(torch.arange(0, len(gaussians), 7))
    hidden.means_m[:, 2] += 0.003
    hidden.confidence[:] = 3.0
    if facing < 0:  # turned half way round about x
        w, x, y, z = hidden.quats_wxyz.unbind(-1)
        hidden.quats_wxyz = torch.stack([-x, w, z, -y], dim=-1)
    hidden.birth_ns[:] = 99
    gaussians.append(hidden)
    one._optimizer.grow(gaussians)
    for stamp in range(1, 9):
        one.integrate(wall(stamp_ns=stamp), gaussians)
    left = (gaussians.birth_ns == 99).float().sum() / len(hidden)
    assert (left > 0.95) if stays else (left < 0.05)
