"""Renderings whose answer is known without a renderer, and the gradients of the reference."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from rendering_cases import backend, cloud, discs, pose

from instascene_ros.core.camera import Camera
from instascene_ros.core.errors import BackendUnavailableError
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import quats_from_normals
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.core.rendering.reference import in_camera, weights_of_rays
from instascene_ros.core.rendering.render import render

ALL = ("reference", "cpu", "gsplat")
CAMERA = Camera(100.0, 100.0, 20.0, 15.0, 41, 31)  # the optical axis goes through the centre of pixel (20, 15)
FACING = [1.0, 0.0, 0.0, 0.0]
LOOKING_ALONG_Z = np.eye(4)


@pytest.mark.parametrize("name", ALL)
def test_one_disc_facing_the_camera(name: str) -> None:
    rasterizer = backend(name)
    gaussians = discs([[0, 0, 2]], [FACING], [[0.08, 0.06]], [0.7]).to(rasterizer.device)  # 4 px and 3 px
    alpha = rasterizer(gaussians, gaussians.colors, CAMERA, LOOKING_ALONG_Z).alpha.cpu()
    assert alpha[15, 20].item() == pytest.approx(0.7, abs=1e-5)
    assert alpha[15, 24].item() == pytest.approx(0.7 * math.exp(-0.5), abs=1e-5)
    assert alpha[12, 20].item() == pytest.approx(0.7 * math.exp(-0.5), abs=1e-5)
    assert alpha[15, 12].item() == pytest.approx(0.7 * math.exp(-2), abs=1e-5)
    assert alpha[15, 40].item() == 0  # 5 standard deviations away


@pytest.mark.parametrize("name", ALL)
def test_a_disc_smaller_than_a_pixel_is_seen_through_the_low_pass_filter(name: str) -> None:
    rasterizer = backend(name)
    gaussians = discs([[0, 0, 2]], [FACING], [[1e-4, 1e-4]], [0.9]).to(rasterizer.device)
    alpha = rasterizer(gaussians, gaussians.colors, CAMERA, LOOKING_ALONG_Z).alpha.cpu()
    expected = [0.9 * math.exp(-(d**2)) for d in (2, 1, 0, 1, 2)]
    assert alpha[15, 18:23].tolist() == pytest.approx(expected, abs=1e-5)
    assert alpha[15, 17].item() == 0


@pytest.mark.parametrize("name", ALL)
def test_two_stacked_discs(name: str) -> None:
    rasterizer = backend(name)
    gaussians = discs([[0, 0, 3], [0, 0, 2]], [FACING] * 2, [[0.1, 0.1]] * 2, [0.8, 0.6]).to(rasterizer.device)
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0]], device=rasterizer.device)
    blended = rasterizer(gaussians, features, CAMERA, LOOKING_ALONG_Z, min_trace_weight=0.1)
    assert blended.features[15, 20].tolist() == pytest.approx([0.8 * (1 - 0.6), 0.6], abs=1e-5)
    assert blended.alpha[15, 20].item() == pytest.approx(1 - 0.2 * 0.4, abs=1e-5)
    here = blended.trace.pixels == 15 * 41 + 20
    found = dict(zip(blended.trace.gaussians[here].tolist(), blended.trace.weights[here].tolist(), strict=True))
    assert found == {0: pytest.approx(0.32, abs=1e-5), 1: pytest.approx(0.6, abs=1e-5)}


@pytest.mark.parametrize("name", ALL)
def test_a_ray_stops_before_the_disc_that_would_end_it(name: str) -> None:
    rasterizer = backend(name)
    opaque = [[0, 0, 1 + 0.1 * k] for k in range(4)]
    gaussians = discs(opaque, [FACING] * 4, [[0.1, 0.1]] * 4, [0.95] * 4).to(rasterizer.device)
    alpha = rasterizer(gaussians, gaussians.colors, CAMERA, LOOKING_ALONG_Z).alpha
    assert alpha[15, 20].item() == pytest.approx(1 - 0.05**3, abs=1e-6)  # 0.05**4 < 1e-4


@pytest.mark.parametrize("name", ALL)
def test_depth_and_normals_of_a_slanted_plane_are_exact(name: str) -> None:
    rasterizer = backend(name)
    normal = torch.nn.functional.normalize(torch.tensor([0.6, -0.3, -0.8]), dim=0)
    along = torch.nn.functional.normalize(torch.linalg.cross(normal, torch.tensor([0.0, 1.0, 0.0])), dim=0)
    grid = torch.stack(torch.meshgrid(torch.linspace(-1.5, 1.5, 60), torch.linspace(-1.5, 1.5, 60), indexing="ij"), -1)
    centre = torch.tensor([0.1, 0.0, 2.0])
    means = centre + grid.reshape(-1, 2) @ torch.stack([along, torch.linalg.cross(normal, along)])
    n = len(means)
    quats = quats_from_normals(normal.expand(n, 3))
    gaussians = GaussianMap.from_surfels(
        means, quats, torch.full((n, 2), 0.05), torch.full((n,), 0.8), torch.ones(n, 3)
    )
    T_world_camera = pose((0.05, -0.1, 0.2), (0.05, 0.02, -0.1))
    rendering = render(rasterizer, gaussians.to(rasterizer.device), CAMERA, T_world_camera)
    R, t = (torch.from_numpy(T_world_camera[s]).float() for s in (np.s_[:3, :3], np.s_[:3, 3]))
    normal_camera = normal @ R
    depth = (normal_camera @ ((centre - t) @ R)) / (torch.from_numpy(CAMERA.rays()) @ normal_camera)
    assert (rendering.alpha > 0.9).all()
    torch.testing.assert_close(rendering.depth_m.cpu(), depth, atol=1e-4, rtol=0)
    torch.testing.assert_close(rendering.normal.cpu(), normal_camera.expand(31, 41, 3), atol=1e-4, rtol=0)
    torch.testing.assert_close(rendering.rgb[..., 0], rendering.alpha, atol=1e-5, rtol=0)


def test_gradients_of_the_reference_by_finite_differences() -> None:
    columns = [column[:6].double() for column in gradient_scene()]
    rays = torch.from_numpy(CAMERA.rays()).double().reshape(-1, 3)[::97]
    T = pose((0.05, -0.1, 0.2), (0.0, 0.0, 0.0))
    R_camera_world, t_world_camera = torch.from_numpy(T[:3, :3].T.copy()), torch.from_numpy(T[:3, 3].copy())

    def weights(*surfels: torch.Tensor) -> torch.Tensor:
        in_view = in_camera(*surfels, R_camera_world, t_world_camera)
        return weights_of_rays(*in_view, rays, CAMERA)

    assert (weights(*columns) > 0.01).sum() > 20  # a scene in which gradients are not all zero
    assert torch.autograd.gradcheck(weights, [column.requires_grad_() for column in columns], eps=1e-6, atol=1e-5)


def gradient_scene() -> tuple[torch.Tensor, ...]:
    g = cloud(6, seed=3, scale_m=0.25, opacities=(0.2, 0.9))
    g.means_m[:, :2] *= 0.2
    return g.means_m, g.quats_wxyz, g.log_scales, g.opacity_logits


@pytest.mark.parametrize(("device", "name"), [("tpu", None), ("cpu", "vulkan"), ("cpu", "gsplat")])
def test_unknown_backends_are_refused(device: str, name: str | None) -> None:
    with pytest.raises(BackendUnavailableError, match=name or device):
        make_rasterizer(device, name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(("device", "name"), [("cuda", None), ("auto", "gsplat")])
def test_a_missing_gpu_is_named(device: str, name: str | None) -> None:
    with pytest.raises(BackendUnavailableError, match="no GPU|finds none"):
        make_rasterizer(device, name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_auto_without_a_gpu_is_the_cpu() -> None:
    assert make_rasterizer().name == "cpu" and make_rasterizer("cpu").device == "cpu"


def test_colours_do_not_reach_the_geometry() -> None:
    gaussians = cloud(50)
    gaussians = replace(gaussians, means_m=gaussians.means_m.requires_grad_())
    backend("cpu")(gaussians, torch.zeros(50, 3), CAMERA, pose()).features.sum().backward()
    assert not gaussians.means_m.grad.any()
