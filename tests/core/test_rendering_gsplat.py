"""What the gsplat backend's own kernels compute, against plain torch: projection, gradients, extents, pairs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from projection_oracle import every_pair, extents, project
from rendering_cases import CAMERA, COLUMNS, backend, cloud, hard_cases, pose

from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.rendering.contract import MIN_ALPHA, NEAR_M
from instascene_ros.core.rendering.splats import Splats

HARD = {name: case for name, case in hard_cases().items() if name != "thousands on a pixel"}


def splats_of(gaussians: GaussianMap) -> Splats:
    return backend("gsplat")._project(gaussians.to("cuda"), CAMERA, pose())


def outside_px(gaussians: GaussianMap, low: torch.Tensor, high: torch.Tensor) -> float:
    """How far pixels that count lie outside the boxes."""
    rows, pixels, alpha = every_pair(gaussians)
    xy = torch.stack([pixels % CAMERA.width, pixels // CAMERA.width], dim=-1) + 0.5
    outside = torch.maximum(low[rows] - xy, xy - high[rows]).amax(-1)
    return float(outside[alpha >= MIN_ALPHA].max())


@pytest.mark.parametrize("case", HARD)
def test_extents_hold_every_pixel_that_counts(case: str) -> None:
    assert outside_px(HARD[case], *extents(project(HARD[case], CAMERA, pose()))) < 0.02


@pytest.mark.parametrize("case", HARD)
def test_boxes_of_the_kernel_hold_every_pixel_that_counts(case: str) -> None:
    splats = splats_of(HARD[case])
    middle, radius = splats.middles_px.cpu(), splats.radii_px.cpu()
    assert outside_px(HARD[case], middle - radius, middle + radius) < 0.02


def test_extents_are_tight() -> None:
    gaussians = cloud(600, scale_m=0.025)
    rows, _, alpha = every_pair(gaussians)
    low, high = extents(project(gaussians, CAMERA, pose()))
    counted = torch.bincount(rows[alpha >= MIN_ALPHA], minlength=600)
    boxes = (high - low).prod(-1)
    whole = (low > 1).all(-1) & (high[:, 0] < CAMERA.width - 1) & (high[:, 1] < CAMERA.height - 1) & (counted > 20)
    assert whole.sum() > 10
    assert (counted[whole] > 0.35 * boxes[whole]).all()  # a slanted ellipse fills little of its box


@pytest.mark.parametrize("case", HARD)
def test_projection_and_its_gradient_agree_with_plain_torch(case: str) -> None:
    gaussians, rasterizer = HARD[case], backend("gsplat")
    leaves = {c: getattr(gaussians, c).clone().requires_grad_() for c in COLUMNS}
    on_gpu = {c: leaf.detach().cuda().requires_grad_() for c, leaf in leaves.items()}
    expected = project(replace(gaussians, **leaves), CAMERA, pose())
    found = rasterizer._project(replace(gaussians.to("cuda"), **on_gpu), CAMERA, pose())
    ahead = expected.depths_m > NEAR_M
    generator = torch.Generator().manual_seed(1)
    loss, loss_on_gpu = torch.zeros(()), torch.zeros((), device="cuda")
    pairs = [(expected.ray_transforms.flatten(1), found.ray_transforms), (expected.centers_px, found.centers_px)]
    for truth, result in [*pairs, (expected.opacities[:, None], found.opacities[:, None])]:
        torch.testing.assert_close(result.cpu()[ahead], truth[ahead], rtol=1e-4, atol=1e-3)
        weights = torch.randn(truth.shape, generator=generator) * ahead[:, None]
        loss, loss_on_gpu = loss + (truth * weights).sum(), loss_on_gpu + (result * weights.cuda()).sum()
    truths = torch.autograd.grad(loss, list(leaves.values()))
    for name, truth, result in zip(
        COLUMNS, truths, torch.autograd.grad(loss_on_gpu, list(on_gpu.values())), strict=True
    ):
        assert (result.cpu() - truth).norm() <= 1e-4 * truth.norm(), name


def test_the_pass_without_gradient_blends_what_the_differentiable_one_does() -> None:
    rasterizer = backend("gsplat")
    gaussians = cloud(400).to("cuda")
    with torch.no_grad():
        one_pass = rasterizer(gaussians, gaussians.colors, CAMERA, pose(), 0.1)
    with torch.enable_grad():
        differentiable = rasterizer(gaussians, gaussians.colors, CAMERA, pose())
    error = (one_pass.features - differentiable.features).abs().amax(-1)
    assert error.max() < 2 * MIN_ALPHA and (error > 3e-4).float().mean() < 0.01


def test_pairs_come_pixel_by_pixel_and_take_no_more_room_than_they_need() -> None:
    rasterizer = backend("gsplat")
    trace = rasterizer(cloud(400).to("cuda"), torch.zeros(400, 1, device="cuda"), CAMERA, pose(), 0.1).trace
    assert (trace.pixels.diff() >= 0).all()
    assert np.bincount(trace.pixels.cpu().numpy()).max() <= 9
    assert trace.weights.untyped_storage().nbytes() == 4 * len(trace.weights)
    assert (trace.gaussians >= 0).all() and (trace.gaussians < 400).all()
