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
from instascene_ros.core.rendering.render import MIN_COSINE, plane_features, surface_of

# Step sizes of 2D Gaussian splatting (Huang et al., SIGGRAPH 2024), metric for the means; scales and opacities take
# twice as long ones, since an online map takes few.
LEARNING_RATES = {"means_m": 1e-4, "quats_wxyz": 1e-3, "log_scales": 1e-2, "opacity_logits": 4e-2, "colors": 2.5e-3}
WIDTHS = {"means_m": 3, "quats_wxyz": 4, "log_scales": 2, "opacity_logits": 1, "colors": 3}  # columns of a row
DEPTH_WEIGHT = 2.0  # per metre, against colour errors of 0..1
NORMAL_WEIGHT = 0.05
MIN_ALPHA = 0.5  # less covered pixels do not tell what colour their surfels should have
ROWS_AT_ONCE = 16_384  # of a step on a CPU: they and what is derived from them fit its cache
MAX_OPACITY_LOGIT = 6.0  # sigmoid saturates beyond: nothing could be learned any more


class RowAdam:
    """Adam (Kingma and Ba, 2015) whose moments are rows like the map's, with a step count per row.

    The learned columns lie side by side in one table, so that a step is a few operations whatever their number.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        rates = [LEARNING_RATES[name] for name, width in WIDTHS.items() for _ in range(width)]
        self._rates = torch.tensor(rates, device=device)
        self._first = torch.zeros(0, len(rates), device=device)
        self._second = torch.zeros(0, len(rates), device=device)
        self._steps = torch.zeros(0, device=device)
        self._growing = GrowingRows()

    def grow(self, gaussians: GaussianMap) -> None:
        """Give rows that were appended to the map empty moments."""
        added = len(gaussians) - len(self._steps)
        empty, append = self._first.new_zeros(added, len(self._rates)), self._growing.append
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
        columns = [getattr(gaussians, name) for name in WIDTHS]
        if gaussians.device.type == "cuda":
            from instascene_ros.core.rendering import adam_kernel

            rates = list(LEARNING_RATES.values())
            adam_kernel.step(columns, list(gradients.values()), self._first, self._second, self._steps, rates)
        else:
            self._step(columns, gradients)
        gaussians.opacity_logits.clamp_(max=MAX_OPACITY_LOGIT)

    def _step(self, columns: list[Tensor], gradients: dict[str, Tensor]) -> None:
        """Rows without a gradient are left alone, the others taken some at a time: memory does not follow the map."""
        tables = [gradients[name].reshape(len(self._steps), width) for name, width in WIDTHS.items()]
        touched = torch.zeros_like(self._steps, dtype=torch.bool)
        for table in tables:
            touched |= (table != 0).any(dim=1)
        for rows in touched.nonzero()[:, 0].split(ROWS_AT_ONCE):
            gradient = torch.cat([table[rows] for table in tables], dim=1)
            self._steps[rows] += 1
            count = self._steps[rows, None]
            first = self._first[rows].lerp_(gradient, 0.1)
            second = self._second[rows].lerp_(gradient.square_(), 0.001)
            self._first[rows], self._second[rows] = first, second
            update = self._rates * (first / (1 - 0.9**count)) / ((second / (1 - 0.999**count)).sqrt() + 1e-12)
            for column, part in zip(columns, update.split(list(WIDTHS.values()), dim=1), strict=True):
                column[rows] -= part.reshape(len(rows), *column.shape[1:])


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
    targets = (keyframe.rgb, keyframe.gain, keyframe.smooth_m, keyframe.normals_camera, keyframe.tolerance_m)
    if keyframe.rays.is_cuda:
        from instascene_ros.core.rendering import surface_kernels

        numbers = (MIN_COSINE, MIN_ALPHA, DEPTH_WEIGHT, NORMAL_WEIGHT)
        targets = (*targets, keyframe.usable)
        return surface_kernels.loss_gradient(blended.features, blended.alpha, keyframe.rays, targets, numbers)
    rgb, depth_m, unit = surface_of(blended, keyframe.camera)
    normal, offset = blended.features[..., 3:6], blended.features[..., 6]
    covered = keyframe.usable & (blended.alpha > MIN_ALPHA)
    residual_m = depth_m - keyframe.smooth_m
    near = covered & (residual_m.abs() < 2 * keyframe.tolerance_m)
    of_color = (rgb - keyframe.rgb * keyframe.gain).sign() * covered[..., None]
    cosine = torch.where(depth_m != 0, (normal * keyframe.rays).sum(-1), -1.0)
    of_offset = DEPTH_WEIGHT * residual_m.sign() * (near & (depth_m != 0)) / cosine
    along = (unit * keyframe.normals_camera).sum(-1, keepdim=True)
    pull = NORMAL_WEIGHT * near / normal.norm(dim=-1).clamp(min=1e-12)
    of_normal = -(of_offset * offset / cosine)[..., None] * keyframe.rays
    of_normal = of_normal - pull[..., None] * (keyframe.normals_camera - unit * along)
    return torch.cat([of_color, of_normal, of_offset[..., None]], dim=-1)
