"""What the gsplat backend computes itself, on any machine: projection, extents, and the weights of pairs."""

import pytest
import torch
from rendering_cases import CAMERA, backend, cloud, hard_cases, heavy_pairs, pose

from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.rendering.contract import MIN_ALPHA, NEAR_M, Trace
from instascene_ros.core.rendering.gsplat_backend import alpha_of_pairs, extents, project, weights_of_pairs

HARD = hard_cases()


def every_pair(gaussians: GaussianMap) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Every Gaussian before the camera with every pixel, pixel by pixel, near to far: Gaussians, pixels, alpha."""
    splats = project(gaussians, CAMERA, pose())
    order = torch.argsort(splats.depths_m, stable=True)
    order = order[splats.depths_m[order] > NEAR_M]
    num_pixels = CAMERA.width * CAMERA.height
    rows, pixels = order.repeat(num_pixels), torch.arange(num_pixels).repeat_interleave(len(order))
    return rows, pixels, alpha_of_pairs(splats, rows, pixels, CAMERA.width)


def test_weights_of_pairs_agree_with_the_reference() -> None:
    gaussians = cloud(150, opacities=(0.02, 0.3))  # transparent enough for no ray to stop
    rows, pixels, alpha = every_pair(gaussians)
    counts = alpha >= MIN_ALPHA
    rows, pixels = rows[counts], pixels[counts]
    weights = weights_of_pairs(alpha[counts], pixels, CAMERA.width * CAMERA.height)
    truth = backend("reference")(gaussians, gaussians.colors, CAMERA, pose(), 0.0).trace
    found, expected = heavy_pairs(Trace(rows, pixels, weights), 0.005), heavy_pairs(truth, 0.005)
    assert len(expected) > 1000
    assert found == {pair: pytest.approx(weight, abs=1e-4) for pair, weight in expected.items()}


@pytest.mark.parametrize("case", [case for case in HARD if case != "thousands on a pixel"])
def test_extents_hold_every_pixel_that_counts(case: str) -> None:
    rows, pixels, alpha = every_pair(HARD[case])
    low, high = extents(project(HARD[case], CAMERA, pose()))
    xy = torch.stack([pixels % CAMERA.width, pixels // CAMERA.width], dim=-1) + 0.5
    inside = ((xy >= low[rows] - 0.02) & (xy <= high[rows] + 0.02)).all(-1)
    assert inside[alpha >= MIN_ALPHA].all()


def test_extents_are_tight() -> None:
    gaussians = cloud(600, scale_m=0.025)
    rows, pixels, alpha = every_pair(gaussians)
    low, high = extents(project(gaussians, CAMERA, pose()))
    counted = torch.bincount(rows[alpha >= MIN_ALPHA], minlength=600)
    boxes = (high - low).prod(-1)
    whole = (low > 1).all(-1) & (high[:, 0] < CAMERA.width - 1) & (high[:, 1] < CAMERA.height - 1) & (counted > 20)
    assert whole.sum() > 10
    assert (counted[whole] > 0.35 * boxes[whole]).all()  # a slanted ellipse fills little of its box
