"""The `instascene` command."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from instascene_ros import __version__
from instascene_ros.core.allocator import give_back_large_blocks
from instascene_ros.core.errors import BackendUnavailableError, InstasceneError, InvalidSceneError
from instascene_ros.tools.options import BenchOptions, Device, Out, RunOptions, SegmentOptions, takes

BAD_ARGUMENTS, FAILED, INTERRUPTED = 2, 1, 130
app = typer.Typer(
    name="instascene", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Object instances and completed objects from posed RGB-D, online over ROS 2 or from a recording.",
)  # fmt: skip
console = Console()
errors = Console(stderr=True)


@contextmanager
def teaching_errors(out: Path | None = None) -> Iterator[None]:
    """Errors as one message and an exit status instead of a traceback: 2 bad arguments, 1 failed, 130 interrupted."""
    try:
        yield
    except (InvalidSceneError, BackendUnavailableError) as error:
        _stop(str(error), BAD_ARGUMENTS)
    except InstasceneError as error:
        _stop(str(error), FAILED)
    except OSError as error:
        where = f" to {error.filename}" if error.filename else f" to {out}" if out else ""
        _stop(f"cannot write{where}: {error.strerror or error}; free some space or choose another --out", FAILED)
    except KeyboardInterrupt:
        kept = sorted(path.name for path in out.iterdir()) if out and out.is_dir() else []
        _stop(f"interrupted; complete in {out}: {', '.join(kept) or 'nothing yet'}", INTERRUPTED)


def _stop(message: str, status: int) -> None:
    errors.print(f"[bold red]instascene:[/] {message}", highlight=False, soft_wrap=True)
    raise typer.Exit(status)


@app.command("run")
@takes(RunOptions)
def run_command(options: RunOptions) -> None:
    """Map a recorded scene, find its objects, complete those asked for, and write it all to a folder."""
    from instascene_ros.tools.run import run

    with teaching_errors(options.out):
        finished = run(options, console)
        instances = finished.mapper.instances
        console.print(f"{len(instances)} instances, {len(finished.mapper.gaussians)} Gaussians -> {options.out}")
        console.print(f"Report: {options.out / 'report.html'}")


@app.command("segment")
@takes(SegmentOptions)
def segment_command(options: SegmentOptions) -> None:
    """Segment one frame of a recorded scene, to see what a segmenter makes of it."""
    from instascene_ros.tools.segment import segment

    with teaching_errors():
        segment(options, console)


@app.command("demo")
def demo_command(
    out: Out = Path("demo_output"),
    device: Device = "auto",
    ros: Annotated[bool, typer.Option(help="Play it through the ROS 2 nodes, if they are built.")] = True,
    browser: Annotated[bool, typer.Option(help="Open the report, if there is a display.")] = True,
) -> None:
    """Do all of it on the sample scene that ships with the package, and show the report."""
    from instascene_ros.tools.demo import demo

    with teaching_errors(out):
        demo(RunOptions(Path(), out, device=device, complete="all"), console, ros, browser)


@app.command("export")
def export_command(
    saved_map: Annotated[Path, typer.Argument(help="A saved map: map.npz of a run, or what save_map wrote.")],
    ply: Annotated[Path | None, typer.Option(help="Write the Gaussians for splat viewers.")] = None,
    instances: Annotated[Path | None, typer.Option(help="Write points and instance ids (.npz).")] = None,
) -> None:
    """Write a saved map in other formats."""
    from instascene_ros.core.map_file import load_map, write_splats
    from instascene_ros.core.run_files import write_instances

    if ply is None and instances is None:
        raise typer.BadParameter("nothing to write; give --ply FILE.ply, --instances FILE.npz, or both")
    with teaching_errors():
        saved = load_map(saved_map)
        if ply is not None:
            write_splats(ply, saved.gaussians)
            console.print(f"{len(saved.gaussians)} Gaussians -> {ply}")
        if instances is not None:
            write_instances(instances, saved)
            console.print(f"{len(saved.instances)} instances -> {instances}")


@app.command("doctor")
def doctor_command(
    rviz: Annotated[bool, typer.Option("--rviz", help="Check the RViz configuration instead.")] = False,
    rviz_config: Annotated[Path | None, typer.Option(help="With --rviz: that file, not the shipped one.")] = None,
) -> None:
    """Say what is installed, which backends work, and what to install for the rest."""
    from instascene_ros.tools.doctor import doctor, doctor_rviz

    with teaching_errors():
        raise typer.Exit(doctor_rviz(rviz_config) if rviz or rviz_config else doctor())


@app.command("bench")
@takes(BenchOptions)
def bench_command(options: BenchOptions) -> None:
    """Print how fast this machine renders, and takes the frames of a scene from image to instances."""
    from instascene_ros.tools.bench import bench

    with teaching_errors():
        bench(options, console)


def _print_version(wanted: bool) -> bool:
    if wanted:
        console.print(f"instascene {__version__} (Python {sys.version.split()[0]})", highlight=False)
        raise typer.Exit()
    return wanted


@app.callback()
def options_of_all(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the console script."""
    give_back_large_blocks()
    app(prog_name="instascene")


if __name__ == "__main__":
    main()
