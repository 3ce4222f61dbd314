"""The completion table: every method on the same mapped objects, for a long look, a short one and a glance.

`instascene bench --completion SCENE` maps each scene once per masks and frames and scores all methods on that.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import typer
from rich.console import Console
from scipy.stats import spearmanr

from instascene_ros.core.config import Config
from instascene_ros.core.errors import TooFewPointsError
from instascene_ros.core.objects import ObjectObservation
from instascene_ros.core.recording import SceneFolder, read_image
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.tools.completion_checks import apart_mm, free_space_violation, moved_mm, penetration
from instascene_ros.tools.completion_methods import Attempt, Method, ablations, methods
from instascene_ros.tools.completion_metric import ShapeScores, Surface, TrueObjects
from instascene_ros.tools.figures import Cell, Table
from instascene_ros.tools.mapped_objects import MappedInput, mapped_objects
from instascene_ros.tools.options import BenchOptions, parse_frames
from instascene_ros.tools.progress import stage

ALL = "all"
COLUMNS = {  # of the table -> of the scores; shares count 0 for objects that were not found, in brackets
    "volume IoU": "volume_iou", "F@5": "f5", "F@10": "f10", "unseen@5": "unseen5",
}  # fmt: skip


@dataclass(frozen=True)
class ObjectRow:
    """One object completed by one method; `scores` is None where nothing was matched to it."""

    job: MappedInput
    method: str
    object_id: int
    scores: ShapeScores | None = None
    free_space: float = float("nan")
    penetrating: float = float("nan")
    moved_mm: float = float("nan")
    apart_mm: float = float("nan")
    seconds: dict[str, float] = field(default_factory=dict)
    confidence: float = float("nan")
    instance_id: int = 0

    def plain(self) -> dict[str, Cell]:
        head = {"scene": self.job.scene.name, "masks": self.job.masks, "frames": str(self.job.frames)}
        head |= {"method": self.method, "object": self.object_id, "instance": self.instance_id}
        rest = {"free space": self.free_space, "penetration": self.penetrating, "moved mm": self.moved_mm}
        rest |= {"apart mm": self.apart_mm, "confidence": self.confidence, "s": sum(self.seconds.values())}
        return head | (asdict(self.scores) if self.scores else {}) | rest


@dataclass(frozen=True)
class _Truth:
    """A scene's truth, and the frames that were used of it."""

    scene: SceneFolder
    frames: list
    objects: TrueObjects

    @classmethod
    def of(cls, job: MappedInput) -> "_Truth":
        scene = SceneFolder.open(job.scene)
        indices = range(len(scene))[job.frames.first : job.frames.last]
        frames, images = [scene.frame(i) for i in indices], []
        if len(indices) < len(scene):
            images = [read_image(job.scene / "instances" / f"{i:06d}.png") for i in indices]
        return cls(scene, frames, TrueObjects.open(job.scene, frames if images else None, images))


def jobs_of(options: BenchOptions) -> list[MappedInput]:
    """Every scene with every kind of masks and every range of frames."""
    return [
        MappedInput(scene, masks, parse_frames(":" if frames == ALL else frames))
        for scene in options.completion or []
        for frames in options.completion_frames.split(",")
        for masks in options.completion_masks.split(",")
    ]


def bench_completion(options: BenchOptions, console: Console) -> list[Table]:
    """Means per scene, masks, frames and method, how well confidence ranks, and every object for the JSON.

    Raises:
        InvalidSceneError: a scene has no ground truth or no such masks.
    """
    config, jobs = Config(), jobs_of(options)
    rasterizer = make_rasterizer(options.device)
    rows: list[ObjectRow] = []
    with stage(console, "Completing", len(jobs)) as bar:
        for job in bar.over(jobs):
            bar.say(f"{job.scene.name}, {job.masks}, {job.frames}: mapping")
            observations, truth = mapped_objects(job, config, rasterizer, options.cache), _Truth.of(job)
            for name, method in _asked(options.method, config, truth).items():
                bar.say(f"{job.scene.name}, {job.masks}, {job.frames}: {name}")
                rows += _measure(job, name, method, observations, truth, options.hypotheses)
    return [_summary(rows), _ranking(rows), Table("Completed objects", [r.plain() for r in rows], printed=False)]


def _asked(name: str, config: Config, truth: _Truth) -> dict[str, Method]:
    """Raises typer.BadParameter: there is no such method."""
    truths = [true.surface.mesh for true in truth.objects.objects.values()]
    usual = methods(config, truths)
    if not name:
        return usual
    known = usual | ablations(config, truths)
    if name not in known:
        raise typer.BadParameter(f"no method {name!r} to complete with; there are {', '.join(known)}")
    return {name: known[name]}


def _measure(
    job: MappedInput, name: str, method: Method, observations: Sequence[ObjectObservation], truth: _Truth, seeds: int
) -> list[ObjectRow]:
    """One row for every true object."""
    attempts = [(o, a) for o in observations if (a := _attempt(method, o, 0)) is not None]
    surfaces = [Surface(attempt.mesh) for _, attempt in attempts]
    matched = truth.objects.match(surfaces)
    rows = []
    for object_id, true in truth.objects.objects.items():
        if object_id not in matched:
            rows.append(ObjectRow(job, name, object_id))
            continue
        (observation, attempt), surface = attempts[matched[object_id]], surfaces[matched[object_id]]
        others = [a for seed in range(1, seeds) if (a := _attempt(method, observation, seed)) is not None]
        rows.append(ObjectRow(
            job, name, object_id, true.score(surface),
            free_space_violation(surface, truth.frames), penetration(surface, truth.objects, object_id),
            moved_mm(surface, observation), apart_mm(surface, [Surface(a.mesh) for a in others]),
            attempt.seconds, attempt.confidence, observation.instance_id,
        ))  # fmt: skip
    return rows


def _attempt(method: Method, observation: ObjectObservation, seed: int) -> Attempt | None:
    try:
        return method(observation, seed)
    except TooFewPointsError:
        return None


def _summary(rows: Sequence[ObjectRow]) -> Table:
    groups: dict[tuple, list[ObjectRow]] = {}
    for row in rows:
        for scene in (row.job.scene.name, ALL):
            groups.setdefault((scene, row.job.masks, str(row.job.frames), row.method), []).append(row)
    many = len({row.job.scene for row in rows}) > 1
    lines = [_line(*key, group) for key, group in groups.items() if many or key[0] != ALL]
    return Table("Completion: means over matched objects (over all objects, missed ones counting 0)", lines)


def _line(scene: str, masks: str, frames: str, method: str, rows: Sequence[ObjectRow]) -> dict[str, Cell]:
    found = [row for row in rows if row.scores is not None]
    line: dict[str, Cell] = {"scene": scene, "masks": masks, "frames": frames, "method": method}
    line |= {"found": f"{len(found)}/{len(rows)}"}
    for title, name in COLUMNS.items():
        values = np.array([getattr(row.scores, name) for row in found])
        known = values[np.isfinite(values)]
        missed = len(rows) - len(found)
        line[title] = f"{known.mean():.3f} ({known.sum() / (len(known) + missed):.3f})" if len(known) else "-"
    line["Chamfer mm"] = _mean([row.scores.chamfer_mm for row in found])
    line["watertight"] = _mean([row.scores.watertight for row in found])
    line["free space %"] = _mean([100 * row.free_space for row in found])
    line["penetration %"] = _mean([100 * row.penetrating for row in found])
    line["seen moved mm"] = _mean([row.moved_mm for row in found])
    line["seeds apart mm"] = _mean([row.apart_mm for row in found])
    stages = dict.fromkeys(name for row in found for name in row.seconds)
    line["CPU s"] = " ".join(f"{name} {_mean([r.seconds.get(name, 0.0) for r in found])}" for name in stages) or "-"
    return line


def _mean(values: Sequence[float]) -> str:
    known = np.array(values, float)
    known = known[np.isfinite(known)]
    return f"{known.mean():.2f}" if len(known) else "-"


def _ranking(rows: Sequence[ObjectRow]) -> Table:
    """Rank correlation of the confidence of completed objects with their true volume IoU."""
    lines = []
    for method in dict.fromkeys(row.method for row in rows):
        pairs = [(r.confidence, r.scores.volume_iou) for r in rows if r.method == method and r.scores]
        known = np.array([pair for pair in pairs if np.isfinite(pair).all()])
        if len(known) > 2:
            lines.append({"method": method, "objects": len(known), "Spearman": float(spearmanr(*known.T).statistic)})
    return Table("Confidence against volume IoU", lines)
