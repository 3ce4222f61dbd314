"""How long a frame takes from image to instances: `python -m instascene_ros.tools.bench_online SCENE`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from instascene_ros.core.config import Config
from instascene_ros.core.pipeline import SceneMapper, SceneUpdate
from instascene_ros.core.recording_formats import open_recording
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.models import make_segmenter

WARM_UP_FRAMES = 30  # kernels compile and caches fill before these are over


def process_all(scene: Path, masks: str | None, mapper: SceneMapper) -> list[SceneUpdate]:
    """Every frame of a recording through the mapper, one after the other."""
    recording = open_recording(scene, masks)
    return [mapper.process(recording.frame(index)) for index in range(len(recording))]


def percentiles_ms(updates: list[SceneUpdate]) -> dict[str, dict[str, float]]:
    """p50, p90, p99 and max of the whole frame and of each stage, over keyframes after the warm-up."""
    counted = [u.stage_ms for u in updates[WARM_UP_FRAMES:] if u.is_keyframe]
    stages = {"frame": [sum(stage_ms.values()) for stage_ms in counted]}
    for name in counted[0]:
        stages[name] = [stage_ms[name] for stage_ms in counted]
    return {
        name: {f"p{q}": float(np.percentile(values, q)) for q in (50, 90, 99)} | {"max": max(values)}
        for name, values in stages.items()
    }


def main(
    scene: Annotated[Path, typer.Argument(help="A recorded scene of more than 30 frames.")],
    masks: Annotated[str, typer.Option(help="Folder of recorded masks; '' = the geometric segmenter.")] = "masks",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    width: Annotated[int, typer.Option(help="Mapping width, px; 0 = the default of the device.")] = 0,
) -> None:
    """Print the milliseconds that a keyframe takes, whole and by stage."""
    config = Config()
    config = replace(config, mapping=replace(config.mapping, width_px=width))
    rasterizer = make_rasterizer(device)
    segmenter = make_segmenter("recorded" if masks else "geometric", config)
    updates = process_all(scene, masks or None, SceneMapper(config, rasterizer, segmenter))
    keyframes = sum(u.is_keyframe for u in updates[WARM_UP_FRAMES:])
    last = updates[-1]
    typer.echo(
        f"{rasterizer.name} backend, {keyframes} keyframes of {len(updates) - WARM_UP_FRAMES} frames counted; "
        f"{last.num_gaussians} Gaussians, {len(last.instances)} instances at the end"
    )
    typer.echo("| stage | p50 ms | p90 | p99 | max |\n|---|---|---|---|---|")
    for stage, row in percentiles_ms(updates).items():
        typer.echo(f"| {stage} | " + " | ".join(f"{value:.1f}" for value in row.values()) + " |")


if __name__ == "__main__":
    typer.run(main)
