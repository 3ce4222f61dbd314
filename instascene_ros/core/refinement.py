"""A few gradient steps on the surfels in view, over a window of keyframes."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from instascene_ros.core.columns import Columns, checked
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.growing_rows import GrowingRows, Kept
from instascene_ros.core.keyframe import Keyframe
from instascene_ros.core.rendering.contract import Blended, Rasterizer
from instascene_ros.core.rendering.render import MIN_COSINE, plane_features

# Step sizes of 2D Gaussian splatting (Huang et al., SIGGRAPH 2024), metric for the means; scales and opacities take
# twice as long ones, since an online map takes few.
LEARNING_RATES = {"means_m": 1e-4, "quats_wxyz": 1e-3, "log_scales": 1e-2, "opacity_logits": 4e-2, "colors": 2.5e-3}
WIDTHS = {"means_m": 3, "quats_wxyz": 4, "log_scales": 2, "opacity_logits": 1, "colors": 3}  # columns of a row
DEPTH_WEIGHT = 2.0  # per metre, against colour errors of 0..1
NORMAL_WEIGHT = 0.05
MIN_ALPHA = 0.5  # less covered pixels do not tell what colour their surfels should have
MAX_OPACITY_LOGIT = 6.0  # sigmoid saturates beyond: nothing could be learned any more


class RowAdam:
    """Adam (Kingma and Ba, 2015) whose moments are rows like the map's, with a step count per row.

    The learned columns lie side by side in one table, so that a step is a few operations whatever their number.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        width = sum(WIDTHS.values())
        self._first = torch.zeros(0, width, device=device)
        self._second = torch.zeros(0, width, device=device)
        self._steps = torch.zeros(0, device=device)
        self._growing = GrowingRows()

    def grow(self, gaussians: GaussianMap) -> None:
        """Give rows that were appended to the map empty moments."""
        added = len(gaussians) - len(self._steps)
        empty, append = self._first.new_zeros(added, self._first.shape[1]), self._growing.append
        self._first, self._second = append("first", self._first, empty), append("second", self._second, empty)
        self._steps = append("steps", self._steps, empty[:, 0])

    def keep(self, rows: Bool[Tensor, " N"] | Kept) -> None:
        kept, keep = rows if isinstance(rows, Kept) else Kept.of(rows), self._growing.keep
        self._first, self._second = keep("first", self._first, kept), keep("second", self._second, kept)
        self._steps = keep("steps", self._steps, kept)

    def columns(self) -> Columns:
        """All of it, to save."""
        tables = {"first": self._first, "second": self._second, "steps": self._steps}
        return {name: table.cpu().numpy().copy() for name, table in tables.items()}

    @classmethod
    def from_columns(cls, gaussians: GaussianMap, columns: Columns) -> "RowAdam":
        """The saved moments of these rows. Raises ValueError: they do not fit the map."""
        restored = cls(gaussians.device)
        found = checked(restored.columns(), columns)
        if any(len(column) != len(gaussians) for column in found.values()):
            raise ValueError(f"moments of other rows than the {len(gaussians)} Gaussians")
        tables = [torch.from_numpy(found[name]).to(gaussians.device) for name in ("first", "second", "steps")]
        restored._first, restored._second, restored._steps = tables
        return restored

    @torch.no_grad()
    def step(self, gaussians: GaussianMap, gradients: dict[str, Tensor]) -> None:
        """Update the rows that have a gradient; the others keep their moments."""
        if gaussians.device.type == "cuda":
            from instascene_ros.core.rendering import adam_kernel as kernel
        else:
            from instascene_ros.core.rendering import cpu_adam as kernel
        columns, rates = [getattr(gaussians, name) for name in WIDTHS], list(LEARNING_RATES.values())
        kernel.step(columns, [gradients[name] for name in WIDTHS], self._first, self._second, self._steps, rates)
        gaussians.opacity_logits.clamp_(max=MAX_OPACITY_LOGIT)


def refine(gaussians: GaussianMap, views: Sequence[Keyframe], rasterizer: Rasterizer, optimizer: RowAdam) -> None:
    """One step on each of the views."""
    for keyframe in views:
        camera, T_world_camera = keyframe.camera, keyframe.frame.T_world_camera
        leaves = {name: getattr(gaussians, name).detach().requires_grad_() for name in WIDTHS}
        surfels = replace(gaussians, **leaves)
        with torch.enable_grad():
            blended = rasterizer(surfels, plane_features(surfels, camera, T_world_camera), camera, T_world_camera)
        gradient = loss_gradient(blended, keyframe)
        gradients = torch.autograd.grad(blended.features, list(leaves.values()), gradient)
        optimizer.step(gaussians, dict(zip(leaves, gradients, strict=True)))


@torch.no_grad()
def loss_gradient(blended: Blended, keyframe: Keyframe) -> Float32[Tensor, "H W 7"]:
    """Gradient, by the blended plane features, of the colour, depth and normal residuals (L1, summed over pixels).

    Colour counts where the frame has depth and the map covers the pixel, depth and normal where both show one surface.
    Adam does not mind the scale of a loss, so that nothing is divided by the number of pixels.
    """
    if keyframe.rays.is_cuda:
        from instascene_ros.core.rendering import surface_kernels as kernels
    else:
        from instascene_ros.core.rendering import cpu_surface as kernels
    targets = (keyframe.rgb, keyframe.gain, keyframe.smooth_m, keyframe.normals_camera, keyframe.tolerance_m)
    numbers = (MIN_COSINE, MIN_ALPHA, DEPTH_WEIGHT, NORMAL_WEIGHT)
    return kernels.loss_gradient(blended.features, blended.alpha, keyframe.rays, (*targets, keyframe.usable), numbers)
