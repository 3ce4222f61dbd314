"""Maps that rendering backends must agree on, and what a backend makes of one: values, trace and gradients."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from instascene_ros.core.camera import Camera
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.core.rendering.contract import Blended, Rasterizer, Trace

CAMERA = Camera(45.0, 47.0, 23.3, 17.1, 48, 36)
COLUMNS = ("means_m", "quats_wxyz", "log_scales", "opacity_logits")

Triple = tuple[float, float, float]


def pose(angles_rad: Triple = (0.1, -0.2, 0.3), t_m: Triple = (0.1, -0.1, 0.05)) -> np.ndarray:
    """T_world_camera of a camera that looks roughly along world z."""
    a, b, c = angles_rad
    Rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    Ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    Rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    T_world_camera = np.eye(4)
    T_world_camera[:3, :3] = Rx @ Ry @ Rz
    T_world_camera[:3, 3] = t_m
    return T_world_camera


def cloud(n: int, seed: int = 0, scale_m: float = 0.05, opacities: tuple[float, float] = (0.02, 0.98)) -> GaussianMap:
    """Discs of all sizes and directions in a box before the camera, some of them out of view."""
    g = torch.Generator().manual_seed(seed)
    means = torch.rand(n, 3, generator=g) * torch.tensor([2.4, 2.0, 1.6]) - torch.tensor([1.2, 1.0, -1.2])
    scales = torch.exp(torch.randn(n, 2, generator=g) * 0.6) * scale_m
    low, high = opacities
    return GaussianMap.from_surfels(
        means, torch.randn(n, 4, generator=g), scales, torch.rand(n, generator=g) * (high - low) + low,
        torch.rand(n, 3, generator=g),
    )  # fmt: skip


def discs(means: list, quats: list, scales: list, opacities: list) -> GaussianMap:
    """A map written by hand."""
    rows = [torch.tensor(column, dtype=torch.float32) for column in (means, quats, scales, opacities)]
    return GaussianMap.from_surfels(*rows, colors=torch.full((len(means), 3), 0.5))


def hard_cases() -> dict[str, GaussianMap]:
    """What breaks rasterisers."""
    behind = cloud(60)
    behind.means_m[::2, 2] -= 3.0
    at_the_lens = cloud(60, scale_m=0.3)
    at_the_lens.means_m[:, 2] *= 0.15
    edge_on = cloud(60)
    half = torch.deg2rad(torch.linspace(85, 95, 60)) / 2
    edge_on.quats_wxyz = torch.stack([half.cos(), torch.zeros(60), half.sin(), torch.zeros(60)], dim=-1)
    thin = cloud(60)
    thin.log_scales[:, 1] -= 5.0
    transparent = cloud(60)
    transparent.opacity_logits[::2] = -20.0
    crowd = cloud(3000, scale_m=0.01, opacities=(0.004, 0.05))
    crowd.means_m[:, :2] *= 0.01
    return {
        "across the border": across_the_border(), "behind the camera": behind, "at the lens": at_the_lens,
        "edge-on": edge_on, "thin": thin, "smaller than a pixel": cloud(300, scale_m=0.002),
        "larger than the image": cloud(20, scale_m=3.0), "transparent": transparent,
        "opaque": cloud(60, opacities=(0.9999, 0.99999)), "thousands on a pixel": crowd,
    }  # fmt: skip


def across_the_border() -> GaussianMap:
    """Discs whose centres project onto the rim of the image, up to three pixels to either side."""
    g = torch.Generator().manual_seed(5)
    n, K = 200, CAMERA
    along, off = torch.rand(n, generator=g), torch.rand(n, generator=g) * 6 - 3
    side = torch.arange(n) % 4
    u = torch.where(side == 0, off, torch.where(side == 1, K.width - 1 + off, along * (K.width - 1)))
    v = torch.where(side == 2, off, torch.where(side == 3, K.height - 1 + off, along * (K.height - 1)))
    z = 1 + torch.rand(n, generator=g)
    in_camera = torch.stack([(u - K.cx) / K.fx * z, (v - K.cy) / K.fy * z, z], dim=-1)
    T_world_camera = torch.from_numpy(pose()).float()
    gaussians = cloud(n, scale_m=0.04)
    gaussians.means_m = in_camera @ T_world_camera[:3, :3].T + T_world_camera[:3, 3]
    return gaussians


@dataclass(frozen=True)
class Outcome:
    """What a backend made of a map, on the CPU."""

    features: Tensor
    alpha: Tensor
    trace: Trace
    gradients: dict[str, Tensor]  # of a fixed random loss, by column


def outcome(name: str, gaussians: GaussianMap, num_channels: int = 7, min_trace_weight: float = 0.1) -> Outcome:
    """Blend random features, and take the gradient of a random mixture of everything blended."""
    rasterizer = backend(name)
    g = torch.Generator().manual_seed(7)
    features = torch.rand(len(gaussians), num_channels, generator=g)
    of_features = torch.randn(CAMERA.height, CAMERA.width, num_channels, generator=g)
    of_alpha = torch.randn(CAMERA.height, CAMERA.width, generator=g)
    gaussians = gaussians.to(rasterizer.device)
    leaves = {c: getattr(gaussians, c).detach().clone().requires_grad_() for c in COLUMNS}
    leaves["features"] = features.to(rasterizer.device).requires_grad_()
    moved = replace(gaussians, **{c: leaves[c] for c in COLUMNS})
    blended = rasterizer(moved, leaves["features"], CAMERA, pose(), min_trace_weight)
    loss = (blended.features.cpu() * of_features).sum() + (blended.alpha.cpu() * of_alpha).sum()
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    return Outcome(
        blended.features.detach().cpu(), blended.alpha.detach().cpu(), on_cpu(blended),
        {c: gradient.cpu() for c, gradient in zip(leaves, gradients, strict=True)},
    )  # fmt: skip


def mixture(rasterizer: Rasterizer, gaussians: GaussianMap, features: Tensor, of_features: Tensor) -> float:
    """A number that depends on every pixel, summed exactly."""
    blended = rasterizer(gaussians, features, CAMERA, pose())
    return float((blended.features.double() * of_features).sum() + blended.alpha.double().sum())


def on_cpu(blended: Blended) -> Trace:
    assert blended.trace is not None
    return Trace(blended.trace.gaussians.cpu(), blended.trace.pixels.cpu(), blended.trace.weights.cpu())


def backend(name: str) -> Rasterizer:
    """The backend, or a skip where the machine cannot have it."""
    if name == "gsplat":
        if not torch.cuda.is_available():
            pytest.skip("gsplat needs a CUDA GPU; torch finds none")
        pytest.importorskip("gsplat", reason="gsplat is not installed")
    return make_rasterizer("auto", name)


def heavy_pairs(trace: Trace, min_weight: float) -> dict[tuple[int, int], float]:
    """Weight of every (Gaussian, pixel) pair above a threshold."""
    rows = zip(trace.gaussians.tolist(), trace.pixels.tolist(), trace.weights.tolist(), strict=True)
    return {(g, p): w for g, p, w in rows if w > min_weight}
