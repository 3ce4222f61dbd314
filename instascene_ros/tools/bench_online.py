"""How long a frame takes from image to instances, and what that costs in memory, over a long loop if asked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from rich.console import Console

from instascene_ros.core.columns import Columns
from instascene_ros.core.errors import InvalidFrameError, InvalidSceneError
from instascene_ros.core.map_file import SavedMap
from instascene_ros.core.pipeline import SceneMapper, SceneUpdate
from instascene_ros.core.recording import Recording
from instascene_ros.core.stopwatch import Stopwatch
from instascene_ros.tools.figures import Budget, Cell, Table
from instascene_ros.tools.progress import stage

WARM_UP_FRAMES = 30  # kernels compile and caches fill before these are over
MB = 1e6


@dataclass(frozen=True)
class Sample:
    """One frame of the measured run: numbers alone. Arrays that are kept between those that are freed take the heap
    apart, and the memory would be that of the measurement."""

    stamp_ns: int
    is_keyframe: bool
    num_gaussians: int
    num_instances: int
    stage_ms: dict[str, float]  # from the image to its instances
    refine_ms: float  # after that
    resident_mb: float  # of the process
    gpu_reserved_mb: float

    @classmethod
    def of(cls, update: SceneUpdate, refine_ms: float) -> "Sample":
        return cls(
            update.stamp_ns, update.is_keyframe, update.num_gaussians, len(update.instances), update.stage_ms,
            refine_ms, resident_mb(), torch.cuda.memory_reserved() / MB,
        )  # fmt: skip

    @property
    def instances_ms(self) -> float:
        return sum(self.stage_ms.values())

    @property
    def frame_ms(self) -> float:
        return self.instances_ms + self.refine_ms


@dataclass(frozen=True)
class OnlineRun:
    """All frames of a scene, one after the other, and the scene at the end."""

    backend: str
    samples: Sequence[Sample]
    saved: SavedMap

    @property
    def keyframes(self) -> list[Sample]:
        """Those that count: keyframes after the warm-up."""
        return [sample for sample in self.samples[WARM_UP_FRAMES:] if sample.is_keyframe]


def run_online(mapper: SceneMapper, recording: Recording, order: Sequence[int], console: Console) -> OnlineRun:
    """Process the frames of a recording in this order, with stamps that rise as those of a camera would.

    Raises:
        InvalidSceneError: a frame cannot be read, or they are too few to count any.
    """
    gap_ns = round(1e9 / recording.frame_rate_hz)
    samples = []
    with stage(console, "Mapping", len(order)) as bar:
        for count, index in enumerate(bar.over(order)):
            try:
                update = mapper.process(replace(recording.frame(index), stamp_ns=(count + 1) * gap_ns))
            except InvalidFrameError:
                continue
            watch = Stopwatch()
            with watch("refine"):
                mapper.refine()
            samples.append(Sample.of(update, watch.stage_ms["refine"]))
    run = OnlineRun(mapper.rasterizer.name, samples, mapper.snapshot())
    if not run.keyframes:
        raise InvalidSceneError(
            f"{recording.name}: none of {len(samples)} frames is a keyframe after the first {WARM_UP_FRAMES}; use more"
        )
    return run


def loop_order(num_frames: int, every: int, round_trips: int) -> list[int]:
    """Frame indices of one pass (0), or of so many passes there and back."""
    there = list(range(0, num_frames, every))
    return there if round_trips == 0 else (there + there[::-1]) * round_trips


def resident_mb() -> float:
    """Memory of this process that is in RAM."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) * 1024 / MB


def latency_table(run: OnlineRun) -> Table:
    """p50, p90, p99 and max over the keyframes that count: until the instances are there, of each stage, and in all."""
    counted = run.keyframes
    times = {"frame to instances": [sample.instances_ms for sample in counted]}
    times |= {name: [sample.stage_ms[name] for sample in counted] for name in counted[0].stage_ms}
    times["refine, after that"] = [sample.refine_ms for sample in counted]
    times["all of a keyframe"] = [sample.frame_ms for sample in counted]
    rows = [
        {"stage": name, **{f"p{q} ms": float(np.percentile(values, q)) for q in (50, 90, 99)}, "max ms": max(values)}
        for name, values in times.items()
    ]
    last = run.samples[-1]
    title = (
        f"Online: {run.backend} backend, {len(counted)} keyframes after {WARM_UP_FRAMES} frames; "
        f"{last.num_gaussians} Gaussians, {last.num_instances} instances at the end"
    )
    return Table(title, rows)


def memory_table(run: OnlineRun) -> Table:
    """What the scene takes at the end, and how it changes over the last half of the run."""
    last, half = run.samples[-1], run.samples[len(run.samples) // 2 :]
    keyframes = [sample.frame_ms for sample in half if sample.is_keyframe]
    state, num_gaussians = run.saved.state or {}, max(last.num_gaussians, 1)
    values: dict[str, Cell] = {
        "process resident, MB": last.resident_mb,
        "GPU reserved, MB": last.gpu_reserved_mb,
        "remembered keyframes, MB": _bytes(state, "mapper.keyframes.") / MB,
        "columns and optimiser, bytes per Gaussian": bytes_per_gaussian(run.saved),
        "association, bytes per segment": _per_row(state, "association.", "association.segments.id"),
        "records and boxes, bytes per instance": _per_row(state, "catalogue.", "catalogue.entries.instance"),
        "resident, slope over the last half, kB per frame": 1e3 * slope([s.resident_mb for s in half]),
        "Gaussians, slope over the last half, per frame": slope([float(s.num_gaussians) for s in half]),
        "keyframe time, slope over the last half, ms per 100 keyframes": 100 * slope(keyframes),
    }
    rows: list[dict[str, Cell]] = [{"what": what, "value": value} for what, value in values.items()]
    return Table(f"Memory: {len(run.samples)} frames, {num_gaussians} Gaussians", rows)


def budgets(run: OnlineRun) -> list[Budget]:
    """The promises that a run of this kind can keep."""
    if run.backend != "cpu":
        instances_ms = [sample.instances_ms for sample in run.keyframes]
        return [
            Budget("frame to instances on a GPU, p50", 33, float(np.percentile(instances_ms, 50)), "ms"),
            Budget("frame to instances on a GPU, p99", 100, float(np.percentile(instances_ms, 99)), "ms"),
        ]
    frames_ms = [sample.frame_ms for sample in run.keyframes]
    return [
        Budget("all of a keyframe on a CPU, mean", 500, float(np.mean(frames_ms)), "ms"),
        Budget("100,000 Gaussians in memory", 64, bytes_per_gaussian(run.saved) / 10, "MB"),
    ]


def bytes_per_gaussian(saved: SavedMap) -> float:
    """Of the map's columns and of the optimiser's moments."""
    columns = sum(column.nbytes for column in saved.gaussians.columns().values())
    return (columns + _bytes(saved.state or {}, "mapper.optimizer.")) / max(len(saved.gaussians), 1)


def slope(values: Sequence[float]) -> float:
    """Least-squares change per value."""
    return float(np.polyfit(np.arange(len(values)), values, 1)[0]) if len(values) > 1 else 0.0


def _bytes(state: Columns, prefix: str) -> int:
    return sum(column.nbytes for name, column in state.items() if name.startswith(prefix))


def _per_row(state: Columns, prefix: str, rows: str) -> float:
    return _bytes(state, prefix) / max(len(state.get(rows, ())), 1)
