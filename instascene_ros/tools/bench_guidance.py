"""Generated views fused as they are, or reconciled first; a ring, or views by gain: `python -m ...bench_guidance`."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from instascene_ros.core.completion import complete_object
from instascene_ros.core.config import CompletionConfig, Config
from instascene_ros.core.frame import Frame
from instascene_ros.core.meshing import Mesh
from instascene_ros.core.objects import GeneratedView, ObjectObservation
from instascene_ros.core.protocols import Prior
from instascene_ros.core.recording import SceneFolder, read_image
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.models import make_prior
from instascene_ros.tools.completion_checks import free_space_violation, moved_mm, penetration
from instascene_ros.tools.completion_metric import Surface, TrueObjects
from instascene_ros.tools.figures import Cell, Table
from instascene_ros.tools.mapped_objects import MappedInput, mapped_objects
from instascene_ros.tools.options import parse_frames
from instascene_ros.tools.oracle import SceneOracle

RING_OF = 4  # a short ring, to see what choosing views is worth where there are few


class Declared:
    """A prior that says of its views what it is told to say."""

    def __init__(self, prior: Prior, exact: bool) -> None:
        self.name, self.exact, self._prior = prior.name, exact, prior

    def __call__(self, *asked: Any) -> list[GeneratedView]:
        """See `Prior`."""
        return self._prior(*asked)


@dataclass(frozen=True)
class Variant:
    """One way to complete."""

    prior: Prior
    config: CompletionConfig


def variants(config: Config, truths: list[Mesh]) -> dict[str, Variant]:
    """By name: the geometric prior and the oracle, fused as they are and reconciled; and chosen views."""
    base = config.completion
    geometric, oracle = make_prior("geometric", config), SceneOracle(truths, base)
    few, gain = replace(base, ring_views=RING_OF), replace(base, view_choice="gain")
    return {
        "geometric, fused": Variant(geometric, base),
        "geometric, reconciled": Variant(Declared(geometric, False), base),
        "oracle, fused": Variant(Declared(oracle, True), base),
        "oracle, reconciled": Variant(oracle, base),
        "geometric, 24 by gain": Variant(geometric, gain),
        "geometric, ring of 4 + 8": Variant(geometric, few),
        "geometric, 12 by gain": Variant(geometric, replace(gain, ring_views=RING_OF)),
    }


def score(
    variant: Variant, observation: ObjectObservation, truth: TrueObjects, own: int, frames: Sequence[Frame]
) -> dict[str, float]:
    """Figures of one object completed in one way."""
    began = time.process_time()
    made = complete_object(observation, variant.prior, variant.config)
    seconds = time.process_time() - began
    surface, true = Surface(Mesh(made.vertices_m, made.faces)), truth.objects[own]
    shape = true.score(surface)
    return {
        "volume IoU": shape.volume_iou, "F@5": shape.f5, "unseen@5": shape.unseen5, "Chamfer mm": shape.chamfer_mm,
        "off truth mm": 1e3 * float(true.surface.distance_m(surface.samples_m(5000)).mean()),
        "seen moved mm": moved_mm(surface, observation), "free space %": 100 * free_space_violation(surface, frames),
        "penetration %": 100 * penetration(surface, truth, own), "CPU s": seconds,
    }  # fmt: skip


def bench_scene(job: MappedInput, only: str, cache: Path | None, told: Callable[[str], None]) -> Table:
    """Means over the objects that were mapped, each matched to the true one by its own points."""
    config, scene = Config(), SceneFolder.open(job.scene)
    indices = range(len(scene))[job.frames.first : job.frames.last]
    frames = [scene.frame(i) for i in indices]
    truth = TrueObjects.open(job.scene, frames, [read_image(job.scene / "instances" / f"{i:06d}.png") for i in indices])
    observations = mapped_objects(job, config, make_rasterizer("auto"), cache)
    clouds = [Surface(Mesh(o.surfels.means_m.cpu().numpy(), np.zeros((0, 3), np.int32))) for o in observations]
    wanted = only.split(";") if only else None
    rows: list[dict[str, Cell]] = []
    for name, variant in variants(config, [true.surface.mesh for true in truth.objects.values()]).items():
        if wanted is None or name in wanted:
            scores = []
            for own, row in truth.match(clouds).items():
                scores.append(score(variant, observations[row], truth, own, frames))
                told(f"{job.scene.name} {name}: object {own} {scores[-1]}")
            means = {key: round(float(np.nanmean([s[key] for s in scores])), 3) for key in scores[0]}
            rows.append({"scene": job.scene.name, "way": name, "objects": len(scores)} | means)
    return Table(f"{job.scene.name}, {job.masks}, frames {job.frames}: means over objects", rows)


def main(
    scenes: Annotated[list[Path], typer.Argument(help="Scenes with ground truth.")],
    masks: Annotated[str, typer.Option(help="Folder of recorded masks.")] = "masks_clean",
    frames: Annotated[str, typer.Option(help="A:B.")] = "0:30",
    only: Annotated[str, typer.Option(help="Names of ways, with semicolons; '' = all.")] = "",
    cache: Annotated[Path | None, typer.Option(help="Folder of one's own to keep mapped objects in.")] = None,
    verbose: Annotated[bool, typer.Option(help="Print every object.")] = False,
) -> None:
    """Print one table a scene."""
    for scene in scenes:
        told = typer.echo if verbose else (lambda _: None)
        typer.echo(bench_scene(MappedInput(scene, masks, parse_frames(frames)), only, cache, told).markdown())


if __name__ == "__main__":
    typer.run(main)
