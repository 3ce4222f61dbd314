"""What masks are worth: instances from each source of masks, without and with map feedback.

`python -m instascene_ros.tools.bench_masks SCENE...`
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from instascene_ros.core.config import Config, NetworkConfig
from instascene_ros.core.frame import Frame
from instascene_ros.core.masks import Masks
from instascene_ros.core.pipeline import SceneMapper
from instascene_ros.core.protocols import Segmenter
from instascene_ros.core.recording import Recording, SceneFolder
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.models import SEGMENTERS, make_segmenter
from instascene_ros.tools.bench_instances import published
from instascene_ros.tools.instance_metric import InstanceScores, Reference
from instascene_ros.tools.noisy_masks import NoisyMasks

SEED = "seed:"  # masks drawn anew from the true instances


@dataclass
class Timed:
    """A segmenter, and the CPU time of each of its calls."""

    segmenter: Segmenter
    cpu_s: list[float]

    def __call__(self, frame: Frame) -> Masks:
        began_s = time.process_time()
        masks = self.segmenter(frame)
        self.cpu_s.append(time.process_time() - began_s)
        return masks


def recording_of(scene: Path, source: str) -> tuple[Recording, str]:
    """The scene with the masks of a source, and the segmenter that makes those that it lacks.

    Raises:
        InvalidSceneError: no such scene or masks.
    """
    if source in SEGMENTERS:
        return SceneFolder.open(scene, None), source
    if source.startswith(SEED):
        return NoisyMasks(SceneFolder.open(scene, None), int(source.removeprefix(SEED))), "recorded"
    return SceneFolder.open(scene, source), "recorded"


def score(scene: Path, source: str, config: Config, device: str, every: int) -> tuple[InstanceScores, float]:
    """Scores of the instances that the pipeline finds, and the median CPU time of the segmenter, ms.

    Raises:
        InvalidSceneError: the scene, its masks or its ground truth are not there.
        BackendUnavailableError: the segmenter or its weights are missing.
    """
    reference = Reference.open(scene)
    recording, name = recording_of(scene, source)
    segmenter = Timed(make_segmenter(name, config), [])
    mapper = SceneMapper(config, make_rasterizer(device), segmenter)
    for index in range(0, len(recording), every):
        mapper.process(recording.frame(index))
    found = reference.score(*published(mapper))
    return found, 1000 * float(np.median(segmenter.cpu_s or [0.0]))


def main(
    scenes: Annotated[list[Path], typer.Argument(help="Scenes with ground truth (reference.npz).")],
    sources: Annotated[
        str, typer.Option(help="Segmenters, folders of recorded masks, and seed:N for masks drawn anew; with commas.")
    ] = "geometric,masks,masks_clean",
    feedback: Annotated[str, typer.Option(help="off, on or both.")] = "both",
    every: Annotated[int, typer.Option(min=1, help="Use every Nth frame.")] = 1,
    refine_steps: Annotated[int, typer.Option(help="Gradient steps after each keyframe; -1 = usual.")] = -1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    model: Annotated[str, typer.Option(help="Weights of a segmenter that is a network.")] = "",
) -> None:
    """Print AP, AP50 and AP25 of every scene, source and setting."""
    torch.set_num_threads(1)
    typer.echo("| scene | masks | feedback | AP | AP50 | AP25 | best IoU | found / objects | segmenter, ms CPU |")
    typer.echo("|---|---|---|---|---|---|---|---|---|")
    plain = Config(networks=NetworkConfig(model=model, device=device))
    plain = replace(plain, mapping=replace(plain.mapping, refine_steps=refine_steps))
    for scene in scenes:
        for source in sources.split(","):
            for setting in ("off", "on") if feedback == "both" else (feedback,):
                config = replace(plain, tracking=replace(plain.tracking, map_feedback=setting == "on"))
                found, cpu_ms = score(scene, source, config, device, every)
                typer.echo(
                    f"| {scene.name} | {source} | {setting} | {found.ap:.3f} | {found.ap50:.3f} | {found.ap25:.3f} | "
                    f"{found.mean_best_iou:.3f} | {found.num_predicted} / {found.num_objects} | {cpu_ms:.0f} |"
                )


if __name__ == "__main__":
    typer.run(main)
