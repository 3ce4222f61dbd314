"""Id stability of a scene with ground truth: `python -m instascene_ros.tools.bench_ids SCENE`, or `bench --ids`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jaxtyping import Bool, Int32, Integer
from rich.console import Console
from torch import Tensor

from instascene_ros.core.config import Config
from instascene_ros.core.errors import InvalidFrameError, InvalidSceneError
from instascene_ros.core.frame import Frame
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import inverse, project, transform
from instascene_ros.core.growing_rows import Kept
from instascene_ros.core.masks import Masks
from instascene_ros.core.pipeline import SceneMapper
from instascene_ros.core.recording import SceneFolder, read_image
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.tools.figures import Cell, Table
from instascene_ros.tools.id_stability import IdTimeline, Snapshot
from instascene_ros.tools.options import Device
from instascene_ros.tools.progress import stage

SAME_SURFACE_M = 0.01  # a Gaussian this close to the depth image is in view
MIN_VISIBLE_PX = 200  # smaller looks at an object are not expected to be matched


class WatchedMap(GaussianMap):
    """A map that remembers which of its Gaussians have lived since they were last counted."""

    alive: Bool[np.ndarray, " P"] = np.zeros(0, bool)

    def keep(self, rows: Bool[Tensor, " N"] | Kept) -> None:
        stay = rows if isinstance(rows, Kept) else Kept.of(rows)
        kept = np.zeros(len(self), bool)
        kept[stay.rows.cpu().numpy()] = True
        still = self.alive.copy()
        born = len(kept) - int(still.sum())
        still[still] = kept[: len(kept) - born]
        self.alive = still
        super().keep(stay)

    def survivors(self) -> Bool[np.ndarray, " P"]:
        """Of the Gaussians there were at the last call, which still live; counting starts anew."""
        alive, self.alive = self.alive, np.ones(len(self), bool)
        return alive


def truth_of(gaussians: GaussianMap, frame: Frame, objects: Integer[np.ndarray, "H W"]) -> Int32[np.ndarray, " N"]:
    """Object that each Gaussian shows in a frame (0 = background), or -1 where the frame does not show it."""
    points = transform(inverse(frame.T_world_camera), gaussians.means_m.detach().cpu().numpy())
    pixels, z = project(points, frame.camera)
    u, v = np.nan_to_num(np.round(pixels), nan=-1).astype(np.int64).T
    inside = (u >= 0) & (v >= 0) & (u < frame.camera.width) & (v < frame.camera.height)
    u, v = np.where(inside, u, 0), np.where(inside, v, 0)
    shown = inside & (np.abs(frame.depth_m[v, u] - z) < SAME_SURFACE_M)
    return np.where(shown, objects[v, u], -1).astype(np.int32)


def id_figures(scene: SceneFolder, mapper: SceneMapper, console: Console, mask_every: int = 1) -> Table:
    """Map a whole scene and compare the ids of every keyframe with its `instances/` images.

    With `mask_every` N, only every Nth frame has masks.

    Raises:
        InvalidSceneError: the scene has no ground truth.
    """
    folder = scene.path / "instances"
    if not folder.is_dir():
        raise InvalidSceneError(f"{scene.path} has no folder instances/ with the true object of every pixel")
    mapper.gaussians = watched = WatchedMap.empty(mapper.rasterizer.device)
    timeline = IdTimeline()
    with stage(console, "Following ids", len(scene)) as bar:
        for index in bar.over(range(len(scene))):
            frame = scene.frame(index)
            if index % mask_every:
                frame = replace(frame, masks=Masks.empty(frame.camera.height, frame.camera.width))
            try:
                update = mapper.process(frame)
            except InvalidFrameError:
                continue
            if update.is_keyframe:
                objects = read_image(folder / f"{index:06d}.png").astype(np.int32)
                sizes = np.bincount(objects.ravel())
                expected = frozenset(i for i in range(1, len(sizes)) if sizes[i] >= MIN_VISIBLE_PX)
                truth = truth_of(watched, frame, objects)
                timeline.add(Snapshot(index, mapper.labels(), truth, expected, watched.survivors()))
    heirs = zip(mapper.instances.ids.tolist(), mapper.instances.merged_ids, strict=True)
    aliases = {old: heir for heir, absorbed in heirs for old in absorbed}
    rows: list[dict[str, Cell]] = [
        {"scene": scene.name, "ids": "raw", **timeline.figures()},
        {"scene": scene.name, "ids": "after aliases", **timeline.figures(aliases)},
    ]
    return Table("Ids over time", rows)


def main(
    scenes: Annotated[list[Path], typer.Argument(help="Recorded scenes with `instances/`.")],
    masks: Annotated[str, typer.Option(help="Folder of recorded masks.")] = "masks",
    mask_every: Annotated[int, typer.Option(min=1, help="Only every Nth frame has masks.")] = 1,
    device: Device = "auto",
    width: Annotated[int, typer.Option(help="Mapping width, px; 0 = the default of the device.")] = 0,
) -> None:
    """Print how stable the instance ids of scenes with ground truth are."""
    config, console = Config(), Console(stderr=True)
    config = replace(config, mapping=replace(config.mapping, width_px=width))
    rows = []
    for path in scenes:
        mapper = SceneMapper(config, make_rasterizer(device))
        rows += id_figures(SceneFolder.open(path, masks), mapper, console, mask_every).rows
    typer.echo(Table("Ids over time", rows).markdown())


if __name__ == "__main__":
    typer.run(main)
