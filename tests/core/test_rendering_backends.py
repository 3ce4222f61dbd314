"""Every backend against the reference: values, traces and gradients."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from rendering_cases import (
    CAMERA,
    COLUMNS,
    Outcome,
    backend,
    cloud,
    hard_cases,
    heavy_pairs,
    mixture,
    outcome,
    pose,
)  # fmt: skip

from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.rendering.contract import MIN_ALPHA

BACKENDS = ("cpu", "gsplat")
HARD = hard_cases()


def check_values(found: Outcome, expected: Outcome) -> None:
    """A pair on the edge of a threshold may fall to either side: a few pixels may differ by one faint pair."""
    for a, b in ((found.features, expected.features), (found.alpha[..., None], expected.alpha[..., None])):
        error = (a - b).abs().amax(-1)
        assert error.max() < 2 * MIN_ALPHA
        assert (error > 3e-4).float().mean() < 0.01


def check_gradients(found: Outcome, expected: Outcome, tolerance: float) -> None:
    for column, truth in expected.gradients.items():
        error = found.gradients[column] - truth
        assert torch.isfinite(found.gradients[column]).all(), column
        assert error.norm() <= tolerance * truth.norm() + 1e-6, f"{column}: {error.norm() / truth.norm():.2e}"


def check_traces(found: Outcome, expected: Outcome, threshold: float) -> None:
    """Pairs well above the threshold are found by both, with the same weight; none is below or twice there."""
    assert (found.trace.weights > threshold).all()
    pairs, truth = heavy_pairs(found.trace, threshold), heavy_pairs(expected.trace, threshold)
    assert len(pairs) == len(found.trace.weights)
    assert {k for k, w in pairs.items() if w > threshold + 2e-3} <= truth.keys()
    assert {k for k, w in truth.items() if w > threshold + 2e-3} <= pairs.keys()
    assert all(abs(pairs[k] - truth[k]) < 2e-3 for k in pairs.keys() & truth.keys())


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("num_channels", [1, 7, 17])
def test_random_maps(name: str, num_channels: int) -> None:
    gaussians = cloud(400, seed=num_channels)
    found, expected = outcome(name, gaussians, num_channels), outcome("reference", gaussians, num_channels)
    assert 0.3 < expected.alpha.mean() < 0.95  # a map that has something to say
    check_values(found, expected)
    check_gradients(found, expected, tolerance=2e-3)
    check_traces(found, expected, 0.1)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("case", HARD)
def test_hard_maps(name: str, case: str) -> None:
    found, expected = outcome(name, HARD[case]), outcome("reference", HARD[case])
    check_values(found, expected)
    check_gradients(found, expected, tolerance=2e-2)
    check_traces(found, expected, 0.1)


RIM = 0.12  # where discs end (alpha < 1/255) moves too; the contract leaves that out of gradients: up to a tenth


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("case", ["larger than the image", "across the border", "edge-on", "opaque", "transparent"])
def test_gradients_of_the_cpu_backend_by_finite_differences(column: str, case: str) -> None:
    """A small step along the gradient changes the picture as much as the gradient says."""
    gaussians, rasterizer = HARD[case], backend("cpu")
    g = torch.Generator().manual_seed(1)
    features, of_features = torch.rand(len(gaussians), 3, generator=g), torch.rand(36, 48, 3, generator=g).double()
    leaf = getattr(gaussians, column).detach().clone().requires_grad_()
    blended = rasterizer(replace(gaussians, **{column: leaf}), features, CAMERA, pose())
    loss = (blended.features * of_features).sum() + blended.alpha.sum()
    (gradient,) = torch.autograd.grad(loss, [leaf])
    step = (2e-4 if column == "means_m" else 1e-3) * gradient / gradient.abs().max()
    moved = [replace(gaussians, **{column: leaf.detach() + sign * step}) for sign in (1, -1)]
    ahead, back = (mixture(rasterizer, m, features, of_features) for m in moved)
    tolerance = 0.02 if case == "larger than the image" else RIM
    assert (ahead - back) / 2 == pytest.approx(float((gradient * step).sum()), rel=tolerance, abs=1e-5)


@pytest.mark.parametrize("name", BACKENDS)
def test_trace_of_faint_pairs_outgrows_its_first_room(name: str) -> None:
    gaussians = cloud(2000, scale_m=0.15, opacities=(0.02, 0.1))
    found = outcome(name, gaussians, 1, min_trace_weight=0.01)
    expected = outcome("reference", gaussians, 1, min_trace_weight=0.01)
    assert len(expected.trace.weights) > 8 * CAMERA.width * CAMERA.height
    check_traces(found, expected, 0.01)


@pytest.mark.parametrize("name", ("reference", *BACKENDS))
def test_nothing_to_see(name: str) -> None:
    behind = cloud(10)
    behind.means_m[:, 2] -= 10
    for gaussians in (GaussianMap.empty(), behind):
        found = outcome(name, gaussians)
        assert not found.features.any() and not found.alpha.any() and len(found.trace.weights) == 0
        assert not any(gradient.any() for gradient in found.gradients.values())


@pytest.mark.parametrize("name", BACKENDS)
def test_no_trace_unless_asked(name: str) -> None:
    rasterizer = backend(name)
    gaussians = cloud(10).to(rasterizer.device)
    assert rasterizer(gaussians, gaussians.colors, CAMERA, pose()).trace is None


def test_cpu_gives_the_same_bits_every_time() -> None:
    first, second = (outcome("cpu", cloud(2000, scale_m=0.2)) for _ in range(2))
    assert torch.equal(first.features, second.features) and torch.equal(first.trace.weights, second.trace.weights)
    assert all(torch.equal(first.gradients[c], second.gradients[c]) for c in first.gradients)


def test_cpu_image_height_need_not_fit_the_bands() -> None:
    gaussians, rasterizer = cloud(200), backend("cpu")
    whole = rasterizer(gaussians, gaussians.colors, CAMERA, pose()).features
    for height in (1, 7, 13):
        part = rasterizer(gaussians, gaussians.colors, CAMERA.cropped(0, 5, CAMERA.width, height), pose()).features
        torch.testing.assert_close(part, whole[5 : 5 + height], atol=1e-4, rtol=0)


def test_cpu_renders_from_several_threads_at_once() -> None:
    gaussians, rasterizer = cloud(1000, scale_m=0.2), backend("cpu")

    def picture(_: int) -> torch.Tensor:
        return rasterizer(gaussians, gaussians.colors, CAMERA, pose(), 0.1).features

    alone = picture(0)
    with ThreadPoolExecutor(3) as pool:
        assert all(torch.equal(together, alone) for together in pool.map(picture, range(30)))
