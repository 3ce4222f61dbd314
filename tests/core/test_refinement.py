"""The gradient of the loss in closed form against autograd, and Adam against torch's."""

from dataclasses import replace

import pytest
import torch
from scenes import tabletop, three_objects
from torch import Tensor

from instascene_ros.core.config import MappingConfig
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.keyframe import Keyframe
from instascene_ros.core.refinement import (
    DEPTH_WEIGHT,
    LEARNING_RATES,
    MIN_ALPHA,
    NORMAL_WEIGHT,
    WIDTHS,
    RowAdam,
    loss_gradient,
    refine,
)
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.core.rendering.contract import Blended
from instascene_ros.core.rendering.render import plane_features, surface_of
from instascene_ros.core.seeding import seed_surfels


@pytest.fixture(scope="module")
def seen() -> tuple[GaussianMap, Keyframe]:
    """A map of one frame, and the next frame under another exposure."""
    frames = tabletop(three_objects(), num_frames=6, width=64, noise_seed=1).frames
    first, second = (Keyframe(frame, MappingConfig(), "cpu") for frame in frames[:2])
    second.gain = torch.tensor([1.1, 0.9, 1.0])
    return seed_surfels(first, first.usable), second


def blended_from(gaussians: GaussianMap, view: Keyframe) -> Blended:
    pose = view.frame.T_world_camera
    return make_rasterizer("cpu")(gaussians, plane_features(gaussians, view.camera, pose), view.camera, pose)


def loss(blended: Blended, view: Keyframe) -> Tensor:
    """What `loss_gradient` is the gradient of."""
    rgb, depth_m, normal = surface_of(blended, view.camera)
    residual_m = (depth_m - view.smooth_m).abs()
    covered = view.usable & (blended.alpha > MIN_ALPHA)
    near = covered & (residual_m.detach() < 2 * view.tolerance_m)
    known = near & (view.normals_camera != 0).any(-1)
    off_normal = (1 - (normal * view.normals_camera).sum(-1))[known].sum()
    color = (rgb - view.rgb * view.gain).abs()[covered].sum()
    return color + DEPTH_WEIGHT * residual_m[near].sum() + NORMAL_WEIGHT * off_normal


def test_gradient_of_the_loss_agrees_with_autograd(seen) -> None:
    blended = blended_from(*seen)
    features = blended.features.detach().requires_grad_()
    with torch.enable_grad():
        (truth,) = torch.autograd.grad(loss(replace(blended, features=features), seen[1]), features)
    found = loss_gradient(blended, seen[1])
    assert (truth.abs().sum((0, 1)) > 1).all()  # every feature matters
    assert (found - truth).abs().max() < 1e-4 * truth.abs().max()


def test_steps_lower_the_loss(seen) -> None:
    gaussians, view = seen[0].copied(), seen[1]
    optimizer = RowAdam()
    optimizer.grow(gaussians)
    before = float(loss(blended_from(gaussians, view), view))
    refine(gaussians, [view] * 15, make_rasterizer("cpu"), optimizer)
    assert float(loss(blended_from(gaussians, view), view)) < 0.95 * before


def test_adam_of_rows_is_adam_where_every_row_is_touched(seen) -> None:
    gaussians, optimizer = seen[0].copied(), RowAdam()
    optimizer.grow(gaussians)
    leaves = {name: getattr(gaussians, name).clone().requires_grad_() for name in WIDTHS}
    groups = [{"params": [leaves[name]], "lr": LEARNING_RATES[name]} for name in WIDTHS]
    torch_adam = torch.optim.Adam(groups, eps=1e-12)
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        gradients = {name: torch.randn(leaf.shape, generator=generator) for name, leaf in leaves.items()}
        for name, leaf in leaves.items():
            leaf.grad = gradients[name].clone()
        torch_adam.step()
        optimizer.step(gaussians, gradients)
    for name, leaf in leaves.items():
        torch.testing.assert_close(getattr(gaussians, name), leaf.detach().clamp(max=6) if "logit" in name else leaf)


def test_rows_without_a_gradient_keep_still(seen) -> None:
    gaussians, optimizer = seen[0].copied(), RowAdam()
    optimizer.grow(gaussians)
    gradients = {name: torch.ones_like(getattr(gaussians, name)) for name in WIDTHS}
    optimizer.step(gaussians, gradients)
    before = gaussians.means_m.clone()
    for gradient in gradients.values():
        gradient[::2] = 0
    optimizer.step(gaussians, gradients)
    assert torch.equal(gaussians.means_m[::2], before[::2])
    assert (gaussians.means_m[1::2] != before[1::2]).all()
