"""What the online map is worth, against the same frames back-projected: `python -m ...bench_views SCENE`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer

from instascene_ros.core.config import Config, MappingConfig
from instascene_ros.core.frame import Frame
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.keyframe import Keyframe
from instascene_ros.core.mapper import Mapper
from instascene_ros.core.recording_formats import open_recording
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.core.rendering.contract import Rasterizer
from instascene_ros.core.rendering.render import render
from instascene_ros.core.seeding import seed_surfels, unexplained
from instascene_ros.tools.comparators.offline_2dgs import optimised_offline
from instascene_ros.tools.view_quality import MapQuality, load_test_views, map_quality


@torch.no_grad()
def back_projected(frames: Sequence[Frame], config: MappingConfig, rasterizer: Rasterizer) -> GaussianMap:
    """The plain baseline: what every frame shows that the map does not is added, and nothing is ever changed."""
    gaussians = GaussianMap.empty(rasterizer.device)
    for frame in frames:
        keyframe = Keyframe(frame, config, rasterizer.device)
        known = len(gaussians) > 0
        rendering = render(rasterizer, gaussians, frame.camera, frame.T_world_camera) if known else None
        gaussians.append(seed_surfels(keyframe, unexplained(keyframe, rendering)))
    return gaussians


def mapped_online(frames: Sequence[Frame], config: Config, rasterizer: Rasterizer) -> GaussianMap:
    """The map as the pipeline makes it, of every frame that is a keyframe."""
    mapper = Mapper(config.mapping, rasterizer, config.tracking.min_trace_weight)
    gaussians = GaussianMap.empty(rasterizer.device)
    for frame in frames:
        if mapper.is_keyframe(frame):
            mapper.integrate(frame, gaussians)
            mapper.refine(gaussians)
    return gaussians


def main(
    scenes: Annotated[list[Path], typer.Argument(help="Scenes with test views.")],
    masks: Annotated[str, typer.Option(help="Folder of recorded masks; '' = none.")] = "masks",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    width: Annotated[int, typer.Option(help="Mapping width, px; 0 = the default of the device.")] = 0,
    every: Annotated[int, typer.Option(help="Use every Nth frame.")] = 1,
    refine_steps: Annotated[int, typer.Option(help="Gradient steps after each keyframe; -1 = usual.")] = -1,
    offline_steps: Annotated[int, typer.Option(min=0, help="Steps of offline 2DGS to compare with; 0 = none.")] = 0,
) -> None:
    """Print PSNR, SSIM and depth error of test views, over their observed part and raw, for every map."""
    config, rasterizer = Config(mapping=MappingConfig(refine_steps=refine_steps)), make_rasterizer(device)
    width = width or config.mapping.width_px or (640 if rasterizer.device == "cuda" else 320)
    typer.echo(f"{rasterizer.name} backend, mapped at {width} px; observed part (whole views)\n")
    typer.echo("| scene | map | Gaussians | PSNR dB | SSIM | depth L1 cm | shown % |\n|---|---|---|---|---|---|---|")
    for scene in scenes:
        recording = open_recording(scene, masks or None)
        used = range(0, len(recording), every)
        views = load_test_views(recording, used)
        frames = [recording.frame(index).resized(width) for index in used]
        plain = back_projected(frames, config.mapping, rasterizer)
        maps = {"back-projected": plain, "online": mapped_online(frames, config, rasterizer)}
        if offline_steps:
            offline = optimised_offline(plain, frames, config.mapping, rasterizer, offline_steps)
            maps[f"offline 2DGS, {offline_steps} steps"] = offline
        for name, gaussians in maps.items():
            quality = map_quality(gaussians, rasterizer, views)
            typer.echo(f"| {recording.name} | {name} {row_of(quality)}")
        typer.echo(f"| {recording.name} | {100 * quality.observed_share:.1f} % of all pixels observed | | | | | |")


def row_of(quality: MapQuality) -> str:
    """Cells of one table row."""
    seen, raw = quality.observed, quality.raw
    return (
        f"| {quality.num_gaussians} | {seen.psnr_db:.2f} ({raw.psnr_db:.2f}) | {seen.ssim:.3f} ({raw.ssim:.3f}) "
        f"| {seen.depth_l1_cm:.2f} ({raw.depth_l1_cm:.2f}) | {100 * seen.shown:.1f} ({100 * raw.shown:.1f}) |"
    )


if __name__ == "__main__":
    typer.run(main)
