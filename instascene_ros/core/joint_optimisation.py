"""One object from observed and generated views that disagree a little: its surfels, fitted to all of them at once."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from instascene_ros.core.appearance import paint
from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.meshing import Mesh
from instascene_ros.core.object_looks import Look
from instascene_ros.core.object_sphere import ObjectSphere
from instascene_ros.core.object_surfels import object_surfels
from instascene_ros.core.object_views import object_views
from instascene_ros.core.objects import MASK_OBJECT, GeneratedView, ObjectObservation
from instascene_ros.core.possible_space import PossibleSpace
from instascene_ros.core.protocols import Report, silent
from instascene_ros.core.refinement import WIDTHS, RowAdam
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.core.rendering.contract import Rasterizer
from instascene_ros.core.views import PosedCamera

STEPS = 200  # more make nothing better, see docs/benchmarks.md
BLOCKS = 10  # of steps: between them surfels are dropped, progress is told, and the work can be cancelled
MIN_OPACITY = 0.05
MAX_SCALE_RADII = 0.06  # a surfel wider than this share of the object would bridge its hollows


def reconciled(
    observation: ObjectObservation,
    generated: Sequence[GeneratedView],
    guess: Mesh,
    cameras: Sequence[PosedCamera],
    config: CompletionConfig,
    seed: int,
    report: Report = silent,
) -> list[GeneratedView]:
    """The object as `cameras` would see it, once its surfels agree with all views (paper, section 4.3; 2DGS's rates).

    `guess` is a closed surface, made of the generated views as they are. Observed pixels weigh
    `config.observed_weight` times a generated one. What was seen through, what other things fill and what lies in
    front of other things that were seen is closed to the surfels. Deterministic by seed.
    """
    rasterizer = make_rasterizer(config.device)
    space = PossibleSpace.within(ObjectSphere.around(observation, config.min_voxel_m), observation, config)
    colors, _ = paint(guess, observation.views, generated, config.observed_tolerance_m)
    surfels = object_surfels(observation, generated, guess, colors, space).to(rasterizer.device)
    looks = [
        Look.observed(view, space.sphere, config.observed_weight, rasterizer.device)
        for view in observation.views
        if (view.mask == MASK_OBJECT).any()
    ]
    looks += [Look.generated(view, rasterizer.device) for view in generated]
    num_steps = config.optimisation_steps or STEPS
    _optimise(surfels, looks, space, rasterizer, num_steps, seed, report)
    report(1.0, f"{len(surfels)} surfels fitted to {len(looks)} views")
    return object_views(surfels, cameras, rasterizer)


def _optimise(
    surfels: GaussianMap,
    looks: Sequence[Look],
    space: PossibleSpace,
    rasterizer: Rasterizer,
    num_steps: int,
    seed: int,
    report: Report,
) -> None:
    """In place, one view a step, every view once before any comes again."""
    optimizer, rng = RowAdam(rasterizer.device), np.random.default_rng(seed)
    optimizer.grow(surfels)
    order: list[int] = []
    block = max(1, num_steps // BLOCKS)
    for index in range(num_steps):
        if index % block == 0:
            report(index / num_steps, f"fitting {len(surfels)} surfels to {len(looks)} views, step {index}")
            _drop(surfels, optimizer, space)
        order = order or rng.permutation(len(looks)).tolist()
        optimizer.step(surfels, _gradients(surfels, looks[order.pop()], rasterizer))
        surfels.log_scales.clamp_(max=float(np.log(MAX_SCALE_RADII * space.sphere.radius_m)))
    _drop(surfels, optimizer, space)


def _gradients(surfels: GaussianMap, look: Look, rasterizer: Rasterizer) -> dict[str, Tensor]:
    leaves = {name: getattr(surfels, name).detach().requires_grad_() for name in WIDTHS}
    with torch.enable_grad():
        loss = look.loss(replace(surfels, **leaves), rasterizer)
    return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))


def _drop(surfels: GaussianMap, optimizer: RowAdam, space: PossibleSpace) -> None:
    """Surfels that faded, or that wandered to where the object cannot be."""
    possible = torch.from_numpy(space.holds(surfels.means_m.cpu().numpy())).to(surfels.device)
    keep = possible & (surfels.opacities > MIN_OPACITY)
    surfels.keep(keep)
    optimizer.keep(keep)
