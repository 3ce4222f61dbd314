"""How fast a rendering backend blends: `python -m instascene_ros.tools.bench_rendering`."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
import typer
from jaxtyping import Float32
from torch import Tensor

from instascene_ros.core.camera import Camera
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import quats_from_normals
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.core.rendering.contract import Rasterizer
from instascene_ros.tools.figures import Budget, Spread, Table

NUM_CHANNELS = 7  # what `render` blends: colour, normal, plane offset
MIN_TRACE_WEIGHT = 0.1
BUDGET_SIZE = (50_000, 320 * 240)


@dataclass(frozen=True)
class RenderingTimes:
    """Milliseconds of one view."""

    num_surfels: int
    num_pixels: int
    forward_ms: Spread
    traced_ms: Spread  # forward with trace pairs
    trained_ms: Spread  # forward and backward, without trace
    pairs_per_px: float  # traced

    def row(self) -> dict[str, int | float | Spread]:
        return {
            "surfels": self.num_surfels, "pixels": self.num_pixels, "forward ms": self.forward_ms,
            "with trace > 0.1 ms": self.traced_ms, "forward + backward ms": self.trained_ms,
            "traced pairs/px": self.pairs_per_px,
        }  # fmt: skip


def wavy_wall(num_surfels: int, camera: Camera) -> GaussianMap:
    """A bumpy surface that fills the view, every surfel in sight, its standard deviation 0.7 of their spacing."""
    rng = np.random.default_rng(0)
    u = rng.uniform(-0.5, camera.width - 0.5, num_surfels)
    v = rng.uniform(-0.5, camera.height - 0.5, num_surfels)
    x, y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    depth_m = 1.5 + 0.4 * np.sin(6 * x) + 0.3 * np.cos(9 * y)
    means = np.stack([x * depth_m, y * depth_m, depth_m + rng.normal(0, 0.003, num_surfels)], axis=-1)
    toward = -means / np.linalg.norm(means, axis=-1, keepdims=True) + rng.normal(0, 0.3, (num_surfels, 3))
    normals = toward / np.linalg.norm(toward, axis=-1, keepdims=True)
    spacing_px = np.sqrt(camera.width * camera.height / num_surfels)
    scales = 0.7 * spacing_px * depth_m[:, None] / camera.fx * np.exp(rng.normal(0, 0.2, (num_surfels, 2)))
    tensors = [torch.from_numpy(a.astype(np.float32)) for a in (means, normals, scales)]
    means_m, unit_normals, scales_m = tensors
    opacities, colors = rng.uniform(0.5, 0.95, num_surfels), rng.uniform(0, 1, (num_surfels, 3))
    return GaussianMap.from_surfels(
        means_m, quats_from_normals(unit_normals), scales_m,
        torch.from_numpy(opacities.astype(np.float32)), torch.from_numpy(colors.astype(np.float32)),
    )  # fmt: skip


def bench_rendering(
    rasterizer: Rasterizer,
    width_px: int,
    num_surfels: int,
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> RenderingTimes:
    """Time one view of `wavy_wall`, 4:3, with 7 channels; `clock` in seconds."""
    camera = Camera(525.0, 525.0, 319.5, 239.5, 640, 480).scaled_to_width(width_px)
    gaussians = wavy_wall(num_surfels, camera).to(rasterizer.device)
    features = torch.rand(num_surfels, NUM_CHANNELS, device=rasterizer.device)
    of_image = torch.rand(camera.height, camera.width, NUM_CHANNELS, device=rasterizer.device)

    def forward(min_trace_weight: float | None = None) -> int:
        trace = rasterizer(gaussians, features, camera, np.eye(4), min_trace_weight).trace
        return len(trace.weights) if trace else 0

    def train() -> None:
        _gradients(rasterizer, gaussians, features, camera, of_image)

    times_ms = [_time(f, repeats, clock) for f in (forward, lambda: forward(MIN_TRACE_WEIGHT), train)]
    num_pixels = camera.width * camera.height
    return RenderingTimes(num_surfels, num_pixels, *times_ms, forward(MIN_TRACE_WEIGHT) / num_pixels)


def _gradients(
    rasterizer: Rasterizer,
    gaussians: GaussianMap,
    features: Float32[Tensor, "N C"],
    camera: Camera,
    of_image: Float32[Tensor, "H W C"],
) -> None:
    names = ("means_m", "quats_wxyz", "log_scales", "opacity_logits")
    leaves = [getattr(gaussians, name).clone().requires_grad_() for name in names]
    colours = features.clone().requires_grad_()
    moved = replace(gaussians, **dict(zip(names, leaves, strict=True)))
    blended = rasterizer(moved, colours, camera, np.eye(4))
    torch.autograd.backward(blended.features, of_image, inputs=[*leaves, colours])


def _time(function: Callable[[], object], repeats: int, clock: Callable[[], float]) -> Spread:
    """Milliseconds, after two warm-up calls that also compile."""
    times_ms = []
    for _ in range(repeats + 2):
        start = clock()
        function()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times_ms.append(1000 * (clock() - start))
    return Spread.of(times_ms[2:])


def rendering_figures(
    rasterizer: Rasterizer, widths_px: Sequence[int], surfels: Sequence[int], repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Table, list[Budget]]:  # fmt: skip
    """Times at every image width and number of surfels, and the budget where it is among them."""
    times = [bench_rendering(rasterizer, w, n, repeats, clock) for w in widths_px for n in surfels]
    title = f"Rendering: {rasterizer.name} backend, {NUM_CHANNELS} channels, medians (10th-90th percentile)"
    budgets = []
    for at in times:
        if rasterizer.name == "cpu" and (at.num_surfels, at.num_pixels) == BUDGET_SIZE:
            budgets.append(Budget("50,000 surfels, 320x240, forward", 40, at.forward_ms.median, "ms"))
            budgets.append(Budget("50,000 surfels, 320x240, with backward", 120, at.trained_ms.median, "ms"))
    return Table(title, [at.row() for at in times]), budgets


def default_sizes(rasterizer: Rasterizer) -> tuple[list[int], list[int]]:
    """Image widths and numbers of surfels worth a look on this backend."""
    return ([640], [100_000, 300_000]) if rasterizer.device == "cuda" else ([320], [20_000, 50_000])


def main(
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    widths: Annotated[str, typer.Option(help="image widths, px (4:3), comma-separated")] = "",
    surfels: Annotated[str, typer.Option(help="numbers of surfels, comma-separated")] = "",
    repeats: Annotated[int, typer.Option(help="timed calls of each kind")] = 20,
    cpu_time: Annotated[bool, typer.Option(help="CPU time of all threads, for machines that others use")] = False,
) -> None:
    """Print a table of rendering times."""
    rasterizer = make_rasterizer(device)
    default_widths, default_surfels = default_sizes(rasterizer)
    table, _ = rendering_figures(
        rasterizer, [int(w) for w in widths.split(",") if w] or default_widths,
        [int(n) for n in surfels.split(",") if n] or default_surfels, repeats,
        time.process_time if cpu_time else time.perf_counter,
    )  # fmt: skip
    typer.echo(table.markdown())


if __name__ == "__main__":
    typer.run(main)
