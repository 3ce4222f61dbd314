"""The instance table: ours, ours refined, the paper's route and other systems', on the same map and the same masks.

`instascene bench --instances SCENE` draws the masks anew for every seed from the scene's true instances.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int64
from rich.console import Console

from instascene_ros.core.config import Config, MappingConfig, RefinementConfig
from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.offline.evidence import Evidence
from instascene_ros.core.offline.feature_field import spatial_classes
from instascene_ros.core.offline.feature_instances import instances_by_density
from instascene_ros.core.offline.refiner import Refinement, Refiner, instances_by_features
from instascene_ros.core.pipeline import SceneMapper
from instascene_ros.core.recording import Recording, SceneFolder
from instascene_ros.core.recording_formats import open_recording
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.tools.comparators import COMPARATORS
from instascene_ros.tools.figures import Cell, Table
from instascene_ros.tools.instance_metric import InstanceScores, Reference
from instascene_ros.tools.noisy_masks import NoisyMasks
from instascene_ros.tools.options import BenchOptions

ONLINE, REFINED, ALL = "online", "refined", "all"
COARSE, FIELD, DENSITY = "InstaScene association", "InstaScene field, mean feature", "InstaScene field, HDBSCAN"
COLUMNS = {  # of the table -> of the scores
    "AP": "ap", "AP50": "ap50", "AP25": "ap25", "AP, scores 1": "ap_ones", "AP50, scores 1": "ap50_ones",
    "best IoU": "mean_best_iou", "found": "num_predicted", "objects": "num_objects",
}  # fmt: skip


@dataclass(frozen=True)
class InstanceJob:
    """One scene with one draw of masks, or with recorded ones."""

    scene: Path
    seed: int = 0
    masks: str = ""  # recorded folder; '' = drawn from the true instances by `seed`
    every: int = 1  # only every N-th frame has masks at all
    device: str = "cpu"
    width: int = 0
    steps: int = 0  # of the feature field; 0 = the default of the device


@dataclass(frozen=True)
class InstanceRow:
    """What one method made of one job."""

    job: InstanceJob
    method: str
    scores: InstanceScores
    seconds: float


def measure(job: InstanceJob) -> list[InstanceRow]:
    """Map the scene once, and let every method decompose it."""
    torch.set_num_threads(1)  # jobs run side by side
    config = Config(mapping=MappingConfig(width_px=job.width), refinement=RefinementConfig(steps=job.steps))
    rasterizer = make_rasterizer(job.device)
    mapper = SceneMapper(config, rasterizer)
    began = time.perf_counter()
    recording = _with_masks(job)
    for index in range(0, len(recording)):
        frame = recording.frame(index)
        mapper.process(frame if index % job.every == 0 else replace(frame, masks=None))
    mapping_s = time.perf_counter() - began
    rows = [_row(job, ONLINE, published(mapper), mapping_s)]
    began = time.perf_counter()
    refinement = Refiner(mapper.unrefined(), rasterizer, config, job.seed).run()
    mapper.adopt(refinement)
    rows.append(_row(job, REFINED, published(mapper), time.perf_counter() - began))
    means_m, colors = (x.detach().cpu().numpy() for x in (mapper.gaussians.means_m, mapper.gaussians.colors))
    for method, labels, seconds in _decompositions(refinement, config, means_m, colors):
        scores = _wholeness(refinement, labels, config)
        rows.append(_row(job, method, (means_m, labels, scores), seconds))
    return rows


def _with_masks(job: InstanceJob) -> Recording:
    recording = open_recording(job.scene, job.masks or None)
    if job.masks:
        return recording
    if not isinstance(recording, SceneFolder):
        raise InvalidSceneError(
            f"{job.scene} has no true instances to draw masks from: name recorded ones with --masks"
        )
    return NoisyMasks(recording, job.seed)


def _decompositions(
    refinement: Refinement,
    config: Config,
    means_m: Float32[np.ndarray, "N 3"],
    colors: Float32[np.ndarray, "N 3"],
) -> Iterator[tuple[str, Int64[np.ndarray, " N"], float]]:
    """The paper's route at its stages, and the other systems."""
    views, objects, features = refinement.views, refinement.objects, refinement.unit_features
    methods = {
        COARSE: lambda: spatial_classes(views, objects) + 1,
        FIELD: lambda: instances_by_features(features, objects, config.refinement.min_similarity),
        DENSITY: lambda: instances_by_density(features.cpu().numpy(), means_m),
    } | {name: lambda c=comparator: c(views, means_m, colors) for name, comparator in COMPARATORS.items()}
    for name, method in methods.items():
        began = time.perf_counter()
        labels = method()
        yield name, labels, time.perf_counter() - began


Labelled = tuple[Float32[np.ndarray, "N 3"], Int64[np.ndarray, " N"], dict[int, float]]


def published(mapper: SceneMapper) -> Labelled:
    """Points of the map, the instance of each, and how sure the scene is of every instance."""
    instances = mapper.instances
    confidence = dict(zip(instances.ids.tolist(), instances.scores.tolist(), strict=True))
    return mapper.gaussians.means_m.detach().cpu().numpy(), mapper.labels().astype(np.int64), confidence


def _wholeness(refinement: Refinement, labels: Int64[np.ndarray, " N"], config: Config) -> dict[int, float]:
    """Confidence for methods that have none of their own: how whole the masks show each instance, as ours."""
    count = int(labels.max(initial=0))
    wholeness = Evidence.of(refinement.views, labels, count).wholeness(config.tracking.min_visible_px)
    return {k + 1: float(wholeness[k]) for k in range(count)}


def _row(job: InstanceJob, method: str, labelled: Labelled, seconds: float) -> InstanceRow:
    return InstanceRow(job, method, Reference.open(job.scene).score(*labelled), seconds)


def jobs_of(options: BenchOptions) -> list[InstanceJob]:
    """Every scene with every draw of masks, or with the recorded ones."""
    draws = [(seed, "") for seed in range(options.seeds)] or [(0, options.masks or "masks")]
    return [
        InstanceJob(scene, seed, masks, options.masks_every, options.device, options.width, options.steps)
        for scene in options.instances or []
        for seed, masks in draws
    ]


def bench_instances(jobs: Sequence[InstanceJob], processes: int, console: Console) -> Table:
    """Measure all jobs, several at a time; mean and standard deviation over draws, scene by scene and over all.

    Raises:
        InvalidSceneError: a scene has no ground truth.
    """
    for scene in {job.scene for job in jobs}:
        Reference.open(scene)  # better to fail now
    rows: list[InstanceRow] = []
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for job, found in zip(jobs, pool.map(measure, jobs), strict=True):
            rows += found
            console.print(f"{job.scene.name}, masks {job.masks or f'of seed {job.seed}'}: done", highlight=False)
    scenes = list(dict.fromkeys(row.job.scene.name for row in rows))
    lines = [
        _line(scene, method, [r for r in rows if r.method == method and scene in (r.job.scene.name, ALL)])
        for scene in ([*scenes, ALL] if len(scenes) > 1 else scenes)
        for method in dict.fromkeys(row.method for row in rows)
    ]
    return Table("Instances: mean and standard deviation over draws of masks", lines)


def _line(scene: str, method: str, rows: Sequence[InstanceRow]) -> dict[str, Cell]:
    spread = {title: _spread([getattr(r.scores, name) for r in rows]) for title, name in COLUMNS.items()}
    return {"scene": scene, "method": method, **spread, "s": float(np.mean([r.seconds for r in rows]))}


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"
