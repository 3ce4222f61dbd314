"""Memory of mapping on a CPU, all included, for every 100,000 Gaussians in view: `python -m ...bench_memory SCENE`."""

import multiprocessing
import resource
from pathlib import Path
from typing import Annotated

import torch
import typer

from instascene_ros.core.allocator import give_back_large_blocks
from instascene_ros.core.config import Config, MappingConfig
from instascene_ros.core.pipeline import SceneMapper
from instascene_ros.core.recording_formats import open_recording
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.tools.bench_online import MB, resident_mb

BEFORE, AFTER, EVERY = 5, 5, 4  # frames before and after the map is made larger, and every which frame
LAYER_M = 0.0004  # from one layer of surfels to the next below it: all of them stay in sight and in the map


def mapped(scene: Path, layers: int, tight: bool) -> tuple[int, float, float]:
    """Gaussians, and resident memory (MB) at the end and at most, of a map with so many more layers of surfels."""
    if tight:
        give_back_large_blocks()
    recording = open_recording(scene, "masks")
    mapper = SceneMapper(Config(mapping=MappingConfig(max_gaussians=10_000_000)), make_rasterizer("cpu"))
    frames = [recording.frame(EVERY * index) for index in range(BEFORE + AFTER)]
    for frame in frames[:BEFORE]:
        mapper.process(frame)
        mapper.refine()
    surface = mapper.gaussians.copied()
    for layer in range(layers):
        below = surface.copied()
        below.means_m -= (layer + 1) * LAYER_M * below.normals
        mapper.gaussians.append(below)
    mapper._mapper._optimizer.grow(mapper.gaussians)
    for frame in frames[BEFORE:]:
        mapper.process(frame)
        mapper.refine()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB
    return len(mapper.gaussians), resident_mb(), peak_mb


def main(
    scene: Annotated[Path, typer.Argument(help="A recorded scene with masks, of 40 frames or more.")],
    layers: Annotated[int, typer.Option(min=1, help="Copies of the map's surfels in the larger map.")] = 6,
    tight: Annotated[bool, typer.Option(help="As nodes and `instascene run` do; else as the C library likes.")] = True,
) -> None:
    """Print what the larger map takes more than the smaller one, each in a process of its own."""
    torch.set_num_threads(1)
    found = []
    for count in (0, layers):
        with multiprocessing.get_context("spawn").Pool(1) as alone:
            found.append(alone.apply(mapped, (scene, count, tight)))
    (few, resident, peak), (many, more, most) = found
    per = 100_000 / (many - few)
    typer.echo(f"{few} and {many} Gaussians: {more - resident:.0f} MB more at the end, {most - peak:.0f} MB at most")
    typer.echo(f"for every 100,000: {per * (more - resident):.0f} MB at the end, {per * (most - peak):.0f} MB at most")


if __name__ == "__main__":
    typer.run(main)
