"""The map stage on a GPU computes what it computes on a CPU. Skipped without CUDA."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from rendering_cases import backend
from scenes import tabletop, three_objects

from instascene_ros.core.carving import carve
from instascene_ros.core.config import MappingConfig
from instascene_ros.core.evidence import Evidence
from instascene_ros.core.exposure import gain_of
from instascene_ros.core.fusion import fuse
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.keyframe import Keyframe
from instascene_ros.core.mapper import Mapper
from instascene_ros.core.refinement import WIDTHS, RowAdam, loss_gradient
from instascene_ros.core.rendering.contract import Blended
from instascene_ros.core.rendering.render import MIN_COSINE, plane_features, render, surface_of
from instascene_ros.core.seeding import seed_surfels
from instascene_ros.core.splitting import coarse
from instascene_ros.core.votes import cast, winning_labels, winning_segments

CONFIG = MappingConfig()


@pytest.fixture(scope="module")
def frames():
    return tabletop(three_objects(), num_frames=10, width=96, noise_seed=1).frames


@pytest.fixture(scope="module")
def both(frames):
    """The same keyframe and the same map on both devices."""
    backend("gsplat")
    first = Keyframe(frames[0], CONFIG, "cpu")
    gaussians = seed_surfels(first, first.usable)
    gaussians.quats_wxyz *= 1.7  # length does not matter
    views = [Keyframe(frames[1], CONFIG, device) for device in ("cpu", "cuda")]
    for view in views:
        view.gain = torch.tensor([1.1, 0.9, 1.0], device=view.device)
    return gaussians, gaussians.to("cuda"), *views


def same(found: torch.Tensor, expected: torch.Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(found.cpu(), expected, atol=atol, rtol=1e-4)


def test_derived_images_and_seeds(frames, both) -> None:
    *_, on_cpu, on_gpu = both
    for name, expected in on_cpu.images._asdict().items():
        found = getattr(on_gpu.images, name).cpu()
        assert (found != expected).float().mean() < 1e-3 if expected.dtype == torch.bool else True
        assert (found.float() - expected.float()).abs().mean() < 1e-4, name
    seeds = [seed_surfels(view, view.usable) for view in (on_cpu, on_gpu)]
    assert abs(len(seeds[0]) - len(seeds[1])) < 0.002 * len(seeds[0])


def test_a_replayed_recording_follows_its_inputs(frames) -> None:
    backend("gsplat")
    first, second = (Keyframe(frame, CONFIG, "cuda").images for frame in frames[:2])
    again = Keyframe(frames[0], CONFIG, "cuda").images
    assert torch.equal(first.smooth_m, again.smooth_m) and not torch.equal(first.smooth_m, second.smooth_m)


def test_plane_features_and_their_gradient(both) -> None:
    found = []
    for gaussians, view in ((both[0], both[2]), (both[1], both[3])):
        leaves = [getattr(gaussians, n).clone().requires_grad_() for n in ("means_m", "quats_wxyz", "colors")]
        moved = replace(gaussians, means_m=leaves[0], quats_wxyz=leaves[1], colors=leaves[2])
        with torch.enable_grad():
            features = plane_features(moved, view.camera, view.frame.T_world_camera)
        weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(0)).to(view.device)
        found.append([features.detach(), *torch.autograd.grad(features, leaves, weights)])
    for expected, result in zip(*found, strict=True):
        same(result, expected, atol=1e-4)


@torch.no_grad()
def test_surface_loss_gradient_and_gain(both) -> None:
    on_cpu, gaussians, view = both[2], both[1], both[3]
    pose = view.frame.T_world_camera
    blended = backend("gsplat")(gaussians, plane_features(gaussians, view.camera, pose), view.camera, pose)
    copied = Blended(blended.features.cpu(), blended.alpha.cpu())
    for found, expected in zip(surface_of(blended, view.camera), surface_of(copied, on_cpu.camera), strict=True):
        same(found, expected)
    difference = (loss_gradient(blended, view).cpu() - loss_gradient(copied, on_cpu)).abs().amax(-1)
    assert (difference > 1e-3).float().mean() < 0.01  # signs and thresholds at their very edge
    rendering = render(backend("gsplat"), gaussians, view.camera, pose)
    moved = {f.name: getattr(rendering, f.name).cpu() for f in fields(rendering) if f.name != "trace"}
    same(gain_of(view, rendering), gain_of(on_cpu, replace(rendering, **moved)), atol=1e-3)


@torch.no_grad()
def test_evidence(both) -> None:
    gaussians, on_gpu, on_cpu, view = both
    rendering = render(backend("gsplat"), on_gpu, view.camera, view.frame.T_world_camera, 0.1)
    trace = replace(
        rendering.trace, **{f.name: getattr(rendering.trace, f.name).cpu() for f in fields(rendering.trace)}
    )
    copied = replace(rendering, **{n: getattr(rendering, n).cpu() for n in ("rgb", "depth_m", "normal", "alpha")})
    expected = Evidence.of(on_cpu, replace(copied, trace=trace), gaussians)
    found = Evidence.of(view, rendering, on_gpu)
    for name, truth in vars(expected).items():
        off = (getattr(found, name).cpu() - truth).abs() > 1e-3 * (1 + truth.abs())
        assert off.float().mean() < 0.005, name
    assert (expected.agreed > 0).sum() > 500 and MIN_COSINE > 0


@torch.no_grad()
def test_what_a_view_says_about_surfels(both) -> None:
    """Fused, carved and split by evidence of every kind."""
    count, generator = len(both[0]), torch.Generator().manual_seed(0)

    def draw(*width: int, zeros: float = 0.3) -> torch.Tensor:
        return torch.rand(count, *width, generator=generator) * (torch.rand(count, *width, generator=generator) > zeros)

    looked = 3 * draw()
    evidence = Evidence(looked, 4 * draw(), looked * draw(), 2 * draw(), 0.01 * draw(), draw(3) - 0.5, 0.005 * draw())
    confidence, config = 3 * draw(), replace(CONFIG, split_sigma_px=0.5)
    found = []
    for gaussians, view in ((both[0].copied(), both[2]), (both[1].copied(), both[3])):
        told = Evidence(*(column.to(view.device) for column in vars(evidence).values()))
        gaussians.confidence = confidence.to(view.device, copy=True)
        fuse(told, gaussians, config)
        kept = carve(view, told, gaussians)
        wanted, axis = coarse(Keyframe(view.frame, config, view.device), told, gaussians)
        found.append((gaussians.means_m, gaussians.colors, gaussians.confidence, kept, wanted, axis))
    for result, expected in zip(*found[::-1], strict=True):
        assert ((result.cpu().float() - expected.float()).abs() > 1e-4).float().mean() < 2e-3
    assert 50 < (~found[0][3]).sum() < count - 50 and 50 < found[0][4].sum() < count - 50


@torch.no_grad()
def test_votes(both) -> None:
    count, generator = len(both[0]), torch.Generator().manual_seed(0)
    ids = torch.argsort(torch.rand(count, 7, generator=generator), dim=1)[:, :4].int()
    weights = torch.rand(count, 4, generator=generator) * (ids > 0)
    rows = torch.randperm(count, generator=generator)[: count // 2].sort().values
    segments = torch.randint(0, 9, (len(rows), 2), generator=generator)
    added = 2 * torch.rand(len(rows), 2, generator=generator) - 0.3
    label_of = torch.randint(0, 4, (9,), generator=generator)
    found = []
    for gaussians in (both[0].copied(), both[1].copied()):
        device = gaussians.device
        gaussians.vote_ids, gaussians.vote_weights = ids.to(device, copy=True), weights.to(device, copy=True)
        cast(gaussians, rows.to(device), segments.to(device), added.to(device))
        winners, labels = winning_segments(gaussians, rows.to(device)), winning_labels(gaussians, label_of.to(device))
        found.append((gaussians.vote_ids, gaussians.vote_weights, *winners, labels))
    for result, expected in zip(*found[::-1], strict=True):
        same(result, expected)


def test_adam(both) -> None:
    results = []
    for gaussians in (both[0].copied(), both[1].copied()):
        optimizer, generator = RowAdam(gaussians.device), torch.Generator().manual_seed(0)
        optimizer.grow(gaussians)
        for _ in range(3):
            columns = {name: getattr(gaussians, name) for name in WIDTHS}
            rows = torch.rand(len(gaussians), generator=generator) < 0.5
            draws = {
                n: torch.randn(c.shape, generator=generator) * rows.reshape(-1, *[1] * (c.dim() - 1))
                for n, c in columns.items()
            }
            optimizer.step(gaussians, {name: draw.to(gaussians.device) for name, draw in draws.items()})
        results.append(([getattr(gaussians, name) for name in WIDTHS], optimizer.columns()))
    for expected, found in zip(results[0][0], results[1][0], strict=True):
        same(found, expected)
    for name, expected in results[0][1].items():
        np.testing.assert_allclose(results[1][1][name], expected, atol=1e-5, rtol=1e-4)


def test_a_map_of_many_frames_comes_out_alike(frames) -> None:
    quality = []
    for name in ("cpu", "gsplat"):
        rasterizer = backend(name)
        one, gaussians = Mapper(CONFIG, rasterizer, 0.1), GaussianMap.empty(rasterizer.device)
        for frame in frames:
            view, rendering = one.integrate(frame, gaussians)
            one.refine(gaussians)
        usable = view.usable.cpu()
        color = (rendering.rgb - view.rgb * view.gain).abs().mean(-1).cpu()[usable].mean()
        depth_m = (rendering.depth_m - view.depth_m).abs().cpu()[usable].median()
        quality.append((len(gaussians), float(color), float(depth_m)))
    (n, color, depth_m), found = quality
    assert found[0] == pytest.approx(n, rel=0.05)
    assert found[1] == pytest.approx(color, rel=0.1) and found[2] == pytest.approx(depth_m, rel=0.1, abs=2e-4)
