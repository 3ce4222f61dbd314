"""A few gradient steps on the surfels in view, over a window of keyframes."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from instascene_ros.core.columns import Columns, checked
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.growing_rows import GrowingRows
from instascene_ros.core.keyframe import Keyframe
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
        self._growing = GrowingRows()

    def grow(self, gaussians: GaussianMap) -> None:
        """Give rows that were appended to the map empty moments."""
        for name in LEARNING_RATES:
            column = getattr(gaussians, name)
            first, second = self._moments.get(name, (column[:0], column[:0]))
            added = torch.zeros_like(column[len(first) :])
            grow = self._growing.append
            self._moments[name] = (grow(f"first {name}", first, added), grow(f"second {name}", second, added))
        fresh = torch.zeros(len(gaussians) - len(self._steps), device=gaussians.device)
        self._steps = self._growing.append("steps", self._steps.to(gaussians.device), fresh)

    def keep(self, rows: Bool[Tensor, " N"]) -> None:
        keep = self._growing.keep
        self._moments = {
            name: (keep(f"first {name}", first, rows), keep(f"second {name}", second, rows))
            for name, (first, second) in self._moments.items()
        }
        self._steps = keep("steps", self._steps, rows)

    def columns(self) -> Columns:
        """All of it, to save."""
        moments = {f"{k}.{name}": pair[k] for name, pair in self._moments.items() for k in (0, 1)}
        return {name: column.cpu().numpy().copy() for name, column in (moments | {"steps": self._steps}).items()}

    @classmethod
    def from_columns(cls, gaussians: GaussianMap, columns: Columns) -> "RowAdam":
        """The saved moments of these rows. Raises ValueError: they do not fit the map."""
        restored = cls()
        restored.grow(gaussians.select(slice(0, 0)))
        found = checked(restored.columns(), columns)
        if any(len(column) != len(gaussians) for column in found.values()):
            raise ValueError(f"moments of other rows than the {len(gaussians)} Gaussians")
        tensors = {name: torch.from_numpy(column).to(gaussians.device) for name, column in found.items()}
        restored._moments = {name: (tensors[f"0.{name}"], tensors[f"1.{name}"]) for name in LEARNING_RATES}
        restored._steps = tensors["steps"]
        return restored

    @torch.no_grad()
    def step(self, gaussians: GaussianMap, gradients: dict[str, Tensor]) -> None:
        """Update the rows that have a gradient; the others keep their moments."""
        touched = (gradients["means_m"] != 0).any(dim=1) | (gradients["colors"] != 0).any(dim=1)
        self._steps += touched
        for name, rate in LEARNING_RATES.items():
            first, second = self._moments[name]
            shape = (-1,) + (1,) * (first.dim() - 1)
            rows, count = touched.reshape(shape), self._steps.clamp(min=1).reshape(shape)
            first.copy_(torch.where(rows, 0.9 * first + 0.1 * gradients[name], first))
            second.copy_(torch.where(rows, 0.999 * second + 0.001 * gradients[name] ** 2, second))
            update = rate * (first / (1 - 0.9**count)) / ((second / (1 - 0.999**count)).sqrt() + 1e-12)
            getattr(gaussians, name).sub_(torch.where(rows, update, 0.0))
        gaussians.opacity_logits.clamp_(max=MAX_OPACITY_LOGIT)


def refine(
    gaussians: GaussianMap, window: Sequence[Keyframe], rasterizer: Rasterizer, optimizer: RowAdam, steps: int
) -> None:
    """Take `steps` steps: newest keyframe first, then back through the window."""
    for step in range(steps if len(window) else 0):
        leaves = {name: getattr(gaussians, name).detach().requires_grad_() for name in LEARNING_RATES}
        loss = _loss(replace(gaussians, **leaves), window[-1 - step % len(window)], rasterizer)
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        optimizer.step(gaussians, dict(zip(leaves, gradients, strict=True)))


def _loss(gaussians: GaussianMap, keyframe: Keyframe, rasterizer: Rasterizer) -> Float32[Tensor, ""]:
    """Colour, depth and normal residuals (L1) where the frame has depth and the map shows that surface."""
    rendering = render(rasterizer, gaussians, keyframe.frame.camera, keyframe.frame.T_world_camera)
    target = keyframe.targets
    residual_m = (rendering.depth_m - target["depth_m"]).abs()
    covered = target["usable"] & (rendering.alpha.detach() > 0.5)
    near = covered & (residual_m.detach() < 2 * target["tolerance_m"])
    flat = near & (target["normals"] != 0).any(-1)
    color = (rendering.rgb - target["rgb"]).abs().sum(-1)
    normal = 1 - (rendering.normal * target["normals"]).sum(-1)
    return _mean(color, covered) + DEPTH_WEIGHT * _mean(residual_m, near) + NORMAL_WEIGHT * _mean(normal, flat)


def _mean(values: Float32[Tensor, "H W"], where: Bool[Tensor, "H W"]) -> Float32[Tensor, ""]:
    return (values * where).sum() / where.sum().clamp(min=1)
