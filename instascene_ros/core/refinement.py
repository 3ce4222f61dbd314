"""A few gradient steps on the surfels in view, over a window of keyframes."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from instascene_ros.core import depth
from instascene_ros.core.config import MappingConfig
from instascene_ros.core.frame import Frame
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import normals_of_depth
from instascene_ros.core.rendering.contract import Rasterizer
from instascene_ros.core.rendering.render import render

# Step sizes of 2D Gaussian splatting (Huang et al., SIGGRAPH 2024), metric for the means.
LEARNING_RATES = {"means_m": 1e-4, "quats_wxyz": 1e-3, "log_scales": 5e-3, "opacity_logits": 2e-2, "colors": 2.5e-3}
DEPTH_WEIGHT = 2.0  # per metre, against colour errors of 0..1
NORMAL_WEIGHT = 0.05
MAX_OPACITY_LOGIT = 6.0  # sigmoid saturates beyond: nothing could be learned any more


class RowAdam:
    """Adam (Kingma and Ba, 2015) whose moments are rows like the map's, with a step count per row."""

    def __init__(self) -> None:
        self._moments: dict[str, tuple[Tensor, Tensor]] = {}
        self._steps = torch.zeros(0)

    def grow(self, gaussians: GaussianMap) -> None:
        """Give rows that were appended to the map empty moments."""
        for name in LEARNING_RATES:
            column = getattr(gaussians, name)
            first, second = self._moments.get(name, (column[:0], column[:0]))
            added = torch.zeros_like(column[len(first) :])
            self._moments[name] = (torch.cat([first, added]), torch.cat([second, added]))
        fresh = torch.zeros(len(gaussians) - len(self._steps), device=gaussians.device)
        self._steps = torch.cat([self._steps.to(gaussians.device), fresh])

    def keep(self, rows: Bool[Tensor, " N"]) -> None:
        self._moments = {name: (first[rows], second[rows]) for name, (first, second) in self._moments.items()}
        self._steps = self._steps[rows]

    @torch.no_grad()
    def step(self, gaussians: GaussianMap, gradients: dict[str, Tensor]) -> None:
        """Update the rows that have a gradient; the others keep their moments."""
        touched = (gradients["means_m"] != 0).any(dim=1) | (gradients["colors"] != 0).any(dim=1)
        self._steps += touched
        for name, rate in LEARNING_RATES.items():
            first, second = self._moments[name]
            shape = (-1,) + (1,) * (first.dim() - 1)
            rows, count = touched.reshape(shape), self._steps.clamp(min=1).reshape(shape)
            first = torch.where(rows, 0.9 * first + 0.1 * gradients[name], first)
            second = torch.where(rows, 0.999 * second + 0.001 * gradients[name] ** 2, second)
            self._moments[name] = (first, second)
            update = rate * (first / (1 - 0.9**count)) / ((second / (1 - 0.999**count)).sqrt() + 1e-12)
            getattr(gaussians, name).sub_(torch.where(rows, update, 0.0))
        gaussians.opacity_logits.clamp_(max=MAX_OPACITY_LOGIT)


def refine(
    gaussians: GaussianMap, window: Sequence[Frame], rasterizer: Rasterizer, optimizer: RowAdam, config: MappingConfig
) -> None:
    """`refine_steps` steps, newest keyframe first, then through the window."""
    for step in range(config.refine_steps if len(window) else 0):
        frame = window[-1 - step % len(window)]
        leaves = {name: getattr(gaussians, name).detach().requires_grad_() for name in LEARNING_RATES}
        loss = _loss(_with(gaussians, leaves), frame, rasterizer, config)
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        optimizer.step(gaussians, dict(zip(leaves, gradients, strict=True)))


def _with(gaussians: GaussianMap, columns: dict[str, Tensor]) -> GaussianMap:
    view = gaussians.select(slice(None))  # type: ignore[arg-type]  # shares storage
    for name, column in columns.items():
        setattr(view, name, column)
    return view


def _loss(gaussians: GaussianMap, frame: Frame, rasterizer: Rasterizer, config: MappingConfig) -> Float32[Tensor, ""]:
    """Colour, depth and normal residuals (L1) where the frame has depth and the map has a surface."""
    rendering = render(rasterizer, gaussians, frame.camera, frame.T_world_camera)
    device = gaussians.device
    observed_m = torch.from_numpy(frame.depth_m).to(device)
    rgb = torch.from_numpy(frame.rgb.astype(np.float32) / 255).to(device)
    normals = torch.from_numpy(normals_of_depth(depth.smooth(frame.depth_m, config), frame.camera)).to(device)
    usable = torch.from_numpy(depth.usable(frame.depth_m, config)).to(device)
    covered = usable & (rendering.alpha.detach() > 0.5)
    tolerance = torch.from_numpy(depth.tolerance_m(frame.depth_m, config)).to(device)
    near = covered & ((rendering.depth_m.detach() - observed_m).abs() < 2 * tolerance)
    flat = near & (normals != 0).any(-1)
    color_loss = (rendering.rgb - rgb).abs()[covered].mean() if covered.any() else 0.0
    depth_loss = (rendering.depth_m - observed_m).abs()[near].mean() if near.any() else 0.0
    normal_loss = (1 - (rendering.normal * normals).sum(-1))[flat].mean() if flat.any() else 0.0
    zero = 0.0 * rendering.alpha.sum()  # keeps the graph where nothing is covered
    return color_loss + DEPTH_WEIGHT * depth_loss + NORMAL_WEIGHT * normal_loss + zero
