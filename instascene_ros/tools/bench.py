"""`instascene bench`: what this machine does, against the budgets. Each kind of figure has a file of its own."""

from dataclasses import replace

from rich.console import Console

from instascene_ros.core.config import Config
from instascene_ros.core.pipeline import SceneMapper
from instascene_ros.core.recording import SceneFolder
from instascene_ros.core.recording_formats import mask_folders, open_recording
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.core.run_files import write_json
from instascene_ros.core.versions import versions
from instascene_ros.models import make_segmenter
from instascene_ros.tools import bench_online
from instascene_ros.tools.bench_completion import bench_completion
from instascene_ros.tools.bench_ids import id_figures
from instascene_ros.tools.bench_instances import bench_instances, jobs_of
from instascene_ros.tools.bench_rendering import default_sizes, rendering_figures
from instascene_ros.tools.figures import Budget, Table
from instascene_ros.tools.options import BenchOptions


def bench(options: BenchOptions, console: Console) -> None:
    """Measure, print tables and, if asked, write them as JSON.

    Raises:
        InvalidSceneError, BackendUnavailableError: nothing was measured.
    """
    about = versions()
    console.print(", ".join(f"{name} {value}" for name, value in about.items()) + "\n", highlight=False, soft_wrap=True)
    tables: list[Table] = []
    budgets: list[Budget] = []
    if options.scene is not None:
        found, kept = _online(options, console)
        tables, budgets = tables + found, budgets + kept
        if options.ids:
            tables.append(_ids(options, console))
    if options.rendering:
        rasterizer = make_rasterizer(options.device)
        table, kept = rendering_figures(rasterizer, *default_sizes(rasterizer), options.repeats)
        tables, budgets = [*tables, table], budgets + kept
    if options.instances:
        tables.append(bench_instances(jobs_of(options), options.jobs, console))
    if options.completion:
        tables += bench_completion(options, console)
    tables.append(Table("Budgets", [budget.row() for budget in budgets]))
    for table in (table for table in tables if table.printed):
        console.print(table.markdown() + "\n", highlight=False, soft_wrap=True, markup=False)
    if options.json is not None:
        write_json(options.json, {"measured_on": about, "tables": [table.plain() for table in tables]})
        console.print(f"Figures: {options.json}")


def _ids(options: BenchOptions, console: Console) -> Table:
    config = replace(Config(), mapping=replace(Config().mapping, width_px=options.width))
    mapper = SceneMapper(config, make_rasterizer(options.device))
    return id_figures(SceneFolder.open(options.scene, options.masks or "masks"), mapper, console)


def _online(options: BenchOptions, console: Console) -> tuple[list[Table], list[Budget]]:
    masks = options.masks
    if masks is None:
        masks = "masks" if "masks" in mask_folders(options.scene) else ""
    recording = open_recording(options.scene, masks or None)
    config = replace(Config(), mapping=replace(Config().mapping, width_px=options.width))
    segmenter = make_segmenter("recorded" if masks else "geometric", config)
    mapper = SceneMapper(config, make_rasterizer(options.device), segmenter)
    order = bench_online.loop_order(len(recording), options.every, options.loop)
    run = bench_online.run_online(mapper, recording, order, console)
    return [bench_online.latency_table(run), bench_online.memory_table(run)], bench_online.budgets(run)
