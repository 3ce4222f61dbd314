"""Scores of test views whose answer is known, and what counts as observed."""

import numpy as np
import pytest
import torch
from scenes import camera_of_width, tabletop, three_objects

from instascene_ros.core.config import Config
from instascene_ros.core.frame import Frame
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.tools.bench_views import back_projected, mapped_online
from instascene_ros.tools.view_quality import TestView, map_quality, observed_pixels, ssim_image

CAMERA = camera_of_width(64)
SIZE = (CAMERA.height, CAMERA.width)


def wall_view(observed: np.ndarray, shift_m: float = 0.0) -> TestView:
    """A grey wall 1 m (+ shift) ahead."""
    return TestView(
        CAMERA, np.eye(4), np.full((*SIZE, 3), 0.5, np.float32), np.full(SIZE, 1 + shift_m, np.float32), observed
    )


def wall_map(level: float) -> GaussianMap:
    """A dense opaque wall of one grey level at 1 m."""
    v, u = np.mgrid[-4 : SIZE[0] + 4, -4 : SIZE[1] + 4].reshape(2, -1)
    x, y = (u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy
    means = torch.tensor(np.stack([x, y, np.ones_like(x)], -1), dtype=torch.float32)
    n = len(means)
    return GaussianMap.from_surfels(
        means, torch.tensor([[1.0, 0, 0, 0]]).repeat(n, 1), torch.full((n, 2), 0.02), torch.full((n,), 0.99),
        torch.full((n, 3), level),
    )  # fmt: skip


def test_scores_of_a_wall_that_is_a_tenth_too_bright_and_a_centimetre_off() -> None:
    half = np.zeros(SIZE, bool)
    half[:, : SIZE[1] // 2] = True
    quality = map_quality(wall_map(0.6), make_rasterizer("cpu"), [wall_view(half, shift_m=0.01)])
    assert quality.observed.psnr_db == pytest.approx(20.0, abs=0.05) == quality.raw.psnr_db
    assert quality.observed.depth_l1_cm == pytest.approx(1.0, abs=0.01)
    assert quality.observed_share == 0.5 and quality.observed.shown == 1.0


def test_what_was_not_observed_does_not_count() -> None:
    left = np.zeros(SIZE, bool)
    left[:, :32] = True
    view = wall_view(left)
    view.rgb[:, 32:] = 1.0
    quality = map_quality(wall_map(0.5), make_rasterizer("cpu"), [view, wall_view(np.zeros(SIZE, bool))])
    assert quality.observed.psnr_db > 40
    assert quality.observed_share == 0.25
    alone = map_quality(wall_map(0.5), make_rasterizer("cpu"), [view])
    assert alone.raw.psnr_db == pytest.approx(-10 * np.log10(0.5**2 / 2), abs=0.1)
    assert map_quality(GaussianMap.empty(), make_rasterizer("cpu"), [view]).raw.shown == 0


def test_observed_is_what_a_frame_recorded_at_that_depth() -> None:
    scene = tabletop(three_objects(), num_frames=6, width=80)
    one, other = scene.frames[0], scene.frames[3]
    depth_m = scene.true_depth_m[0]
    assert (observed_pixels(one.camera, one.T_world_camera, depth_m, [one]) == (depth_m > 0)).all()
    opposite = observed_pixels(one.camera, one.T_world_camera, depth_m, [other])
    on_object = scene.instances[0] > 0
    assert 0.05 < opposite[on_object].mean() < 0.7, "of an object the other side sees a part"
    assert not observed_pixels(one.camera, one.T_world_camera, depth_m, []).any()
    blind = Frame(0, other.camera, other.rgb, np.zeros_like(other.depth_m), other.T_world_camera)
    assert not observed_pixels(one.camera, one.T_world_camera, depth_m, [blind]).any()


def test_both_maps_show_what_was_observed() -> None:
    scene = tabletop(three_objects(), num_frames=8, width=96)
    config, rasterizer, used = Config(), make_rasterizer("cpu"), scene.frames[::2]
    views = [
        TestView(f.camera, f.T_world_camera, f.rgb.astype(np.float32) / 255, depth_m,
                 observed_pixels(f.camera, f.T_world_camera, depth_m, used))
        for f, depth_m in zip(scene.frames[1::2], scene.true_depth_m[1::2], strict=True)
    ]  # fmt: skip
    for gaussians in (back_projected(used, config.mapping, rasterizer), mapped_online(used, config, rasterizer)):
        quality = map_quality(gaussians, rasterizer, views)
        assert quality.observed.psnr_db > 18 and quality.observed.depth_l1_cm < 0.3
        assert quality.observed.shown > 0.95 and quality.num_gaussians > 1000
        assert quality.row()["raw_psnr_db"] == quality.raw.psnr_db


def test_ssim_is_one_for_the_same_image_and_low_for_noise() -> None:
    rng = np.random.default_rng(0)
    image, noise = (rng.random((40, 50, 3)).astype(np.float32) for _ in range(2))
    assert np.allclose(ssim_image(image, image), 1)
    assert abs(ssim_image(image, noise).mean()) < 0.1
