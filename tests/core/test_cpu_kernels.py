"""What the CPU backend compiles, against plain torch: boxes, plane features, evidence and images of a frame."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from projection_oracle import every_pair
from rendering_cases import CAMERA, cloud, hard_cases, pose
from scenes import tabletop, three_objects

from instascene_ros.core.config import MappingConfig
from instascene_ros.core.evidence import MIN_COSINE, Evidence, quality_of
from instascene_ros.core.frame_images import around_of, around_on_cpu
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.keyframe import Keyframe
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.core.rendering.contract import MIN_ALPHA
from instascene_ros.core.rendering.cpu import _view
from instascene_ros.core.rendering.cpu_jit import on_all_cores
from instascene_ros.core.rendering.cpu_projection import RECORD, Projected, Surfels, project
from instascene_ros.core.rendering.render import plane_features, pose_tensors, render
from instascene_ros.core.seeding import seed_surfels

CONFIG = MappingConfig()


def boxes_of(gaussians: GaussianMap) -> np.ndarray:
    n = len(gaussians)
    out = Projected(np.empty((n, RECORD), np.float32), np.zeros((n, 4), np.int32), np.empty(n, np.float32))
    columns = ("means_m", "quats_wxyz", "log_scales", "opacity_logits")
    surfels = Surfels(*(getattr(gaussians, column).numpy() for column in columns))
    on_all_cores(project, surfels, _view(CAMERA, pose()), out)
    return out.boxes


def smallest_boxes(gaussians: GaussianMap) -> np.ndarray:
    """Of the pixels that count."""
    rows, pixels, alpha = every_pair(gaussians)
    rows, pixels = rows[alpha >= MIN_ALPHA].numpy(), pixels[alpha >= MIN_ALPHA].numpy()
    boxes = np.tile(np.array([10_000, 0, 10_000, 0]), (len(gaussians), 1))
    for column, values in ((0, pixels % CAMERA.width), (2, pixels // CAMERA.width)):
        np.minimum.at(boxes[:, column], rows, values)
        np.maximum.at(boxes[:, column + 1], rows, values + 1)
    return np.where(boxes[:, 1:2] > 0, boxes, 0)


@pytest.mark.parametrize("case", [case for case in hard_cases() if case != "thousands on a pixel"])
def test_boxes_hold_every_pixel_that_counts(case: str) -> None:
    found, needed = boxes_of(hard_cases()[case]), smallest_boxes(hard_cases()[case])
    seen = needed[:, 1] > 0
    assert (found[seen][:, [0, 2]] <= needed[seen][:, [0, 2]]).all()
    assert (found[seen][:, [1, 3]] >= needed[seen][:, [1, 3]]).all()


def test_discs_that_reach_the_camera_plane_have_boxes_no_larger_than_they_need() -> None:
    """Most of them miss the image, although their silhouettes have no end."""
    gaussians = cloud(600, scale_m=0.3)
    gaussians.means_m[:, 2] *= 0.15
    found, needed = boxes_of(gaussians), smallest_boxes(gaussians)
    areas = [(box[:, 1] - box[:, 0]) * (box[:, 3] - box[:, 2]) for box in (found, needed)]
    whole = CAMERA.width * CAMERA.height
    assert (areas[1] > 0).sum() > 50 and areas[0].sum() < 1.1 * areas[1].sum() < 0.5 * whole * len(gaussians)


def plain_plane_features(gaussians: GaussianMap, T_world_camera: np.ndarray) -> torch.Tensor:
    R_world_camera, t_world_camera = pose_tensors(T_world_camera, "cpu")
    normals = gaussians.normals
    offsets = (normals * (gaussians.means_m - t_world_camera)).sum(-1, keepdim=True)
    toward = torch.where(offsets > 0, -1.0, 1.0)
    return torch.cat([gaussians.colors, normals @ R_world_camera * toward, offsets * toward], dim=-1)


def test_plane_features_and_their_gradient() -> None:
    gaussians, outcomes = cloud(300), []
    gaussians.quats_wxyz *= 1.7  # length does not matter
    for features_of in (lambda g: plane_features(g, CAMERA, pose()), lambda g: plain_plane_features(g, pose())):
        leaves = [getattr(gaussians, n).clone().requires_grad_() for n in ("means_m", "quats_wxyz", "colors")]
        features = features_of(replace(gaussians, means_m=leaves[0], quats_wxyz=leaves[1], colors=leaves[2]))
        weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(0))
        outcomes.append([features, *torch.autograd.grad(features, leaves, weights)])
    for found, expected in zip(*outcomes, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.fixture(scope="module")
def frames():
    return tabletop(three_objects(), num_frames=4, width=96, noise_seed=1).frames


@torch.no_grad()
def test_evidence(frames) -> None:
    first, view = (Keyframe(frame, CONFIG, "cpu") for frame in frames[:2])
    gaussians = seed_surfels(first, first.usable)
    third = gaussians.means_m[::3]
    third += 0.02 * torch.randn(third.shape, generator=torch.Generator().manual_seed(0))
    rendering = render(make_rasterizer("cpu"), gaussians, view.camera, view.frame.T_world_camera, 0.1)
    found, expected = Evidence.of(view, rendering, gaussians), plain_sums(view, rendering, gaussians)
    torch.testing.assert_close(found.looked, expected[:, 0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.agreed, expected[:, 1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.seen_through, expected[:, 2], atol=1e-4, rtol=1e-4)
    means = expected[:, 3:] / expected[:, 1:2].clamp(min=1e-6)
    told = expected[:, 1] > 0.1
    torch.testing.assert_close(found.quality[told], means[told, 0], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(found.shift_m[told], means[told, 1], atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(found.color_error[told], means[told, 3:], atol=1e-4, rtol=1e-3)
    assert told.sum() > 500 and (found.seen_through > 0.5).sum() > 20


def plain_sums(view: Keyframe, rendering, gaussians: GaussianMap) -> torch.Tensor:
    """Looked, agreed, seen through; then sums of quality, shift, squared error and error over what agreed."""
    trace = rendering.trace
    R_world_camera, t_world_camera = pose_tensors(view.frame.T_world_camera, "cpu")
    normals = gaussians.normals
    offsets = (normals * (gaussians.means_m - t_world_camera)).sum(-1)[trace.gaussians]
    ray = view.rays.reshape(-1, 3)[trace.pixels]
    facing = ((normals @ R_world_camera)[trace.gaussians] * ray).sum(-1)
    cosine = facing.abs() / ray.norm(dim=-1)
    clean = (view.depth_m >= CONFIG.min_depth_m) & ~view.edges
    observed_m = torch.where(clean, view.smooth_m, -1.0).reshape(-1)[trace.pixels]
    tolerance_m = view.tolerance_m.reshape(-1)[trace.pixels]
    quality = quality_of(view.smooth_m, view).reshape(-1)[trace.pixels]
    error = view.rgb * (rendering.alpha[..., None] * view.gain) - rendering.rgb
    error = error.reshape(-1, 3)[trace.pixels]
    residual_m = observed_m - offsets / facing
    looked = trace.weights * ((observed_m > 0) & (cosine > MIN_COSINE))
    agreed, through = looked * (residual_m.abs() < tolerance_m), looked * (residual_m > 2 * tolerance_m)
    means = torch.stack([quality * cosine, residual_m * facing, error.square().sum(-1), *error.unbind(-1)], dim=-1)
    values = torch.cat([torch.stack([looked, agreed, through], dim=-1), agreed[:, None] * means], dim=-1)
    return values.new_zeros(len(gaussians), 9).index_add_(0, trace.gaussians, values)


def test_images_of_a_frame(frames) -> None:
    view = Keyframe(frames[0], CONFIG, "cpu")
    depth_m = view.depth_m.clone()
    depth_m[10:14, 20:30] = 0  # holes, also at the border
    depth_m[-3:, :5] = 0
    found = around_on_cpu(depth_m, view.labels, view.rays, CONFIG)
    expected = around_of(depth_m, view.labels, view.rays, CONFIG)
    for name, truth in expected._asdict().items():
        result = getattr(found, name)
        if truth.dtype == torch.bool:
            assert torch.equal(result, truth) and truth.any(), name
        else:
            torch.testing.assert_close(result, truth, atol=2e-4, rtol=1e-4)
