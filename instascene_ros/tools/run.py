"""`instascene run`: the pipeline on a recorded scene, without ROS."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rich.console import Console

from instascene_ros.core import run_files
from instascene_ros.core.completion import complete_object
from instascene_ros.core.config import Config
from instascene_ros.core.errors import InstasceneError, InvalidFrameError, InvalidSceneError
from instascene_ros.core.instances import InstanceState
from instascene_ros.core.map_file import SavedMap, save_map, write_splats
from instascene_ros.core.offline.refiner import Refiner
from instascene_ros.core.pipeline import SceneMapper
from instascene_ros.core.protocols import Prior
from instascene_ros.core.recording import Recording
from instascene_ros.core.recording_formats import mask_folders, open_recording
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.core.rendering.contract import Rasterizer
from instascene_ros.core.run_files import CompletedFolder, Timeline
from instascene_ros.core.stopwatch import Stopwatch
from instascene_ros.core.versions import versions
from instascene_ros.models import make_inpainter, make_prior, make_segmenter
from instascene_ros.tools.options import ALL, NONE, RunOptions
from instascene_ros.tools.progress import fraction, stage
from instascene_ros.tools.report import write_report
from instascene_ros.tools.segment import networks_of
from instascene_ros.tools.views import test_views, write_views


@dataclass
class Run:
    """One run: what was opened for it, and what it has so far."""

    options: RunOptions
    recording: Recording
    frames: Sequence[int]
    rasterizer: Rasterizer
    mapper: SceneMapper
    prior: Prior
    mask_source: str
    timeline: Timeline = field(default_factory=Timeline)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def saved(self) -> SavedMap:
        return self.mapper.snapshot()


def prepare(options: RunOptions) -> Run:
    """Open and check everything that is asked for; writes nothing.

    Raises:
        InvalidSceneError: the scene, its masks, frames or test views are not there.
        BackendUnavailableError: no such device, segmenter or completion method.
    """
    masks, segmenter_name = _mask_source(options)
    recording = open_recording(options.scene, masks, options.topics)
    frames = range(len(recording))[options.frames.first : options.frames.last : options.every]
    if not frames:
        raise InvalidSceneError(
            f"{options.scene} has frames 0 to {len(recording) - 1}; none of them is left by --frames {options.frames}"
        )
    if options.views:
        test_views(recording)
    config = Config()
    networks = networks_of(options.device, options.model, options.model_config, options.model_project)
    completion = replace(config.completion, model=options.completion_model, device=options.device)
    mapping = replace(config.mapping, width_px=options.width)
    removal = replace(config.removal, model=options.inpainting_model, device=options.device)
    config = replace(config, mapping=mapping, networks=networks, completion=completion, removal=removal)
    rasterizer = make_rasterizer(options.device)
    mapper = SceneMapper(config, rasterizer, make_segmenter(segmenter_name, config), make_inpainter(config))
    source = f"recorded {masks}" if masks else f"{segmenter_name} segmenter"
    return Run(options, recording, frames, rasterizer, mapper, make_prior(options.method, config), source)


def _mask_source(options: RunOptions) -> tuple[str | None, str]:
    """(folder of recorded masks or None, name of the segmenter)."""
    if options.masks and options.segmenter:
        raise InvalidSceneError(
            f"both --masks {options.masks} and --segmenter {options.segmenter} were given; give one of them"
        )
    if options.segmenter:
        return None, options.segmenter
    if options.masks:
        return options.masks, "recorded"
    return ("masks", "recorded") if "masks" in mask_folders(options.scene) else (None, "geometric")


def run(options: RunOptions, console: Console) -> Run:
    """Map, complete, render and report; every file in `options.out` is whole when it appears.

    Raises:
        InstasceneError: nothing in the scene can be used, or as in `prepare`.
        OSError: the output folder cannot be written.
    """
    job = prepare(options)
    run_files.clear_earlier_run(options.out)
    _timed(job, "mapping", lambda: map_frames(job, console))
    write_map(job)  # before what may fail: mapping takes longest
    if options.refine:
        _timed(job, "refining", lambda: refine_instances(job, console))
        write_map(job)
    if options.remove:
        _timed(job, "removing", lambda: remove_instances(job, console))
        write_map(job)
    _timed(job, "completion", lambda: complete_objects(job, console))
    if options.views:
        _timed(job, "views", lambda: render_views(job, console))
    run_files.write_json(options.out / run_files.RUN, describe(job))
    write_report(options.out, job.recording, job.rasterizer)
    return job


def map_frames(job: Run, console: Console) -> None:
    """Every frame through the pipeline; frames that cannot be used are told in the timeline."""
    with stage(console, "Mapping", len(job.frames)) as bar:
        for index in bar.over(job.frames):
            try:
                update = job.mapper.process(job.recording.frame(index))
            except (InvalidFrameError, InvalidSceneError) as error:
                job.timeline.drop(index, str(error))
                continue
            row = job.timeline.add(index, update.stamp_ns, update.num_gaussians, update.instances)
            row.update(refused=update.num_refused)
            watch = Stopwatch(update.stage_ms)
            with watch("refine"):
                job.mapper.refine()
            row.update(keyframe=update.is_keyframe, stage_ms={k: round(v, 3) for k, v in watch.stage_ms.items()})
            bar.say(f"{update.num_gaussians} Gaussians, {len(update.instances)} instances")
    if job.timeline.num_dropped == len(job.frames):
        raise InvalidSceneError(
            f"none of the {len(job.frames)} frames can be used; the first: {job.timeline.rows[0]['dropped']}"
        )


def refine_instances(job: Run, console: Console) -> None:
    """Decide anew on all instances from all remembered keyframes."""
    mapper = job.mapper
    with fraction(console, "Refining") as report:
        refiner = Refiner(mapper.unrefined(), job.rasterizer, mapper.config, job.options.seed)
        mapper.adopt(refiner.run(report))


def remove_instances(job: Run, console: Console) -> None:
    """Take the chosen instances out of the map and fill the holes they leave."""
    ids = [int(i) for i in job.options.remove.split(",")]
    with console.status(f"Removing {job.options.remove}"):
        job.mapper.remove(ids)


def write_map(job: Run) -> None:
    """The map in all its forms, and how it came to be."""
    out, saved = job.options.out, job.saved
    job.timeline.write(out / run_files.TIMELINE)
    run_files.write_instances(out / run_files.INSTANCES, saved)
    save_map(out / run_files.MAP, saved)
    write_splats(out / run_files.SPLATS, saved.gaussians)


def complete_objects(job: Run, console: Console) -> None:
    """The chosen objects, one after the other; one that fails is told in objects.json and stops none of the rest."""
    folder = CompletedFolder(job.options.out / run_files.COMPLETED)
    folder.write()
    chosen = _chosen_ids(job)
    if not chosen:
        return
    with stage(console, "Completing", len(chosen)) as bar:
        for instance_id in bar.over(chosen):
            began = time.perf_counter()
            try:
                observation = job.mapper.observe(instance_id)
                completed = complete_object(
                    observation, job.prior, job.mapper.config.completion, seed=job.options.seed,
                    progress=lambda step, fraction, message: bar.say(f"{message or step}"),
                )  # fmt: skip
                folder.add(completed, time.perf_counter() - began)
            except InstasceneError as error:
                folder.fail(instance_id, error)


def _chosen_ids(job: Run) -> list[int]:
    if job.options.complete == NONE:
        return []
    if job.options.complete != ALL:
        return [int(i) for i in job.options.complete.split(",")]
    instances = job.mapper.instances
    return instances.ids[instances.states == InstanceState.CONFIRMED].tolist()


def render_views(job: Run, console: Console) -> None:
    _, poses = test_views(job.recording)
    with stage(console, "Rendering views", len(poses)) as bar:
        write_views(job.options.out, job.recording, job.saved, job.rasterizer, bar)


def describe(job: Run) -> dict[str, Any]:
    """The head of the report: what was run, on what, and how long it took."""
    return {
        "command": job.options.command(),
        "route": "offline",
        "scene": job.recording.name,
        "frames": {"used": len(job.frames) - job.timeline.num_dropped, "dropped": job.timeline.num_dropped},
        "masks": job.mask_source,
        "rasterizer": job.rasterizer.name,
        "seed": job.options.seed,
        "seconds": {name: round(value, 3) for name, value in job.seconds.items()},
        "versions": versions(),
    }


def _timed(job: Run, name: str, work: Callable[[], None]) -> None:
    began = time.perf_counter()
    work()
    job.seconds[name] = time.perf_counter() - began
