"""`python -m instascene_ros.tools.scene_generator`: make a synthetic scene."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, TaskID

from instascene_ros.core.errors import InstasceneError
from instascene_ros.tools.scene_generator.generate import SceneOptions, generate

DEFAULT = SceneOptions()


def main(
    out: Annotated[Path, typer.Option(help="Folder to write; its name becomes the scene's.")],
    seed: Annotated[int, typer.Option(help="Same seed, same scene.")] = DEFAULT.seed,
    objects: Annotated[int, typer.Option(min=1, max=40)] = DEFAULT.objects,
    frames: Annotated[int, typer.Option(min=1, help="Training frames over the 270 degree orbit.")] = DEFAULT.frames,
    test_views: Annotated[int, typer.Option(min=0)] = DEFAULT.test_views,
    width: Annotated[int, typer.Option(min=32, help="Image width, px; 4:3.")] = DEFAULT.width_px,
    rate: Annotated[float, typer.Option(help="Frames per second of the timestamps.")] = DEFAULT.frame_rate_hz,
    jpeg_quality: Annotated[int, typer.Option(min=50, max=100)] = DEFAULT.jpeg_quality,
    supersample: Annotated[int, typer.Option(min=1, max=4, help="Rays per pixel and axis.")] = DEFAULT.supersample,
    shadows: Annotated[bool, typer.Option(help="Soft shadows; without them a scene is made sooner.")] = DEFAULT.shadows,
    points: Annotated[int, typer.Option(help="Ground-truth surface points per object.")] = DEFAULT.points_per_object,
    reference: Annotated[int, typer.Option(help="Reference points of all objects.")] = DEFAULT.reference_points,
) -> None:
    """Make a tabletop scene with ground truth from a seed; needs open3d and mujoco."""
    options = SceneOptions(
        seed=seed, objects=objects, frames=frames, test_views=test_views, width_px=width, frame_rate_hz=rate,
        jpeg_quality=jpeg_quality, supersample=supersample, shadows=shadows,
        points_per_object=points, reference_points=reference,
    )  # fmt: skip
    with Progress() as bar:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, fraction: float) -> None:
            if stage not in tasks:
                for task in tasks.values():
                    bar.update(task, completed=1.0)
                tasks[stage] = bar.add_task(stage, total=1.0)
            bar.update(tasks[stage], completed=fraction)

        try:
            generate(options, out, show)
        except InstasceneError as error:
            raise typer.BadParameter(str(error)) from error
    typer.echo(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
