"""`python -m instascene_ros.tools.completion_pictures OUT SCENE TO`: completed objects of a run beside the truth.

One PNG for each of ten objects, the worst included, from the side that was not seen: what was observed, the completed
object, the true one.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jaxtyping import UInt8
from PIL import Image

from instascene_ros.core.camera import Camera
from instascene_ros.core.meshing import Mesh
from instascene_ros.core.run_files import COMPLETED
from instascene_ros.core.views import look_at
from instascene_ros.tools.completion_metric import Surface, TrueObjects
from instascene_ros.tools.mesh_picture import PaintedMesh, picture_of_mesh

SIZE_PX, NUM_OBJECTS, RAISED = 240, 10, 0.4
UP = np.array([0.0, 0.0, 1.0])  # of the generated scenes


def worst_to_best(folder: Path, truth: TrueObjects) -> list[tuple[float, int, PaintedMesh]]:
    """(volume IoU, true object, completed object), the worst first."""
    completed = [PaintedMesh.read(path) for path in sorted((folder / COMPLETED).glob("*.ply"))]
    surfaces = [Surface(Mesh(c.vertices_m.astype(np.float32), c.faces.astype(np.int32))) for c in completed]
    matched = truth.match(surfaces).items()
    found = [(truth.objects[i].score(surfaces[k]).volume_iou, i, completed[k]) for i, k in matched]
    return sorted(found, key=lambda row: row[:2])


def from_behind(completed: PaintedMesh, true: Mesh) -> UInt8[np.ndarray, "H W 3"]:
    """Observed part, completed object (what was invented tinted) and true object, side by side on white."""
    low, high = true.vertices_m.min(0).astype(np.float64), true.vertices_m.max(0).astype(np.float64)
    seen_from = completed.normals()[completed.observed].mean(0) if completed.observed.any() else UP
    away = -seen_from.astype(np.float64) * (1, 1, 0)
    away = away / max(float(np.linalg.norm(away)), 1e-9) + RAISED * UP
    center_m, radius_m = (low + high) / 2, 0.6 * float(np.linalg.norm(high - low))
    camera = Camera(1.6 * SIZE_PX, 1.6 * SIZE_PX, (SIZE_PX - 1) / 2, (SIZE_PX - 1) / 2, SIZE_PX, SIZE_PX)
    T_world_camera = look_at(center_m + 3.4 * radius_m * away / np.linalg.norm(away), center_m, UP)
    observed = completed.observed[completed.faces].all(1)
    before = PaintedMesh(completed.vertices_m, completed.faces[observed], completed.colors, completed.observed)
    grey, all_seen = np.full(true.vertices_m.shape, 190, np.uint8), np.ones(len(true.vertices_m), bool)
    parts = [before, completed, PaintedMesh(true.vertices_m, true.faces, grey, all_seen)]
    return np.concatenate([_on_white(picture_of_mesh(part, camera, T_world_camera)) for part in parts], axis=1)


def _on_white(rgba: UInt8[np.ndarray, "H W 4"]) -> UInt8[np.ndarray, "H W 3"]:
    return np.where(rgba[..., 3:] > 0, rgba[..., :3], 255).astype(np.uint8)


def main(
    out: Annotated[Path, typer.Argument(help="Folder of `instascene run --complete all`.")],
    scene: Annotated[Path, typer.Argument(help="The generated scene that it ran on.")],
    to: Annotated[Path, typer.Argument(help="Folder for the pictures.")],
) -> None:
    """Write the pictures; the names start with the rank, worst first."""
    truth = TrueObjects.open(scene, None)
    ranked = worst_to_best(out, truth)
    to.mkdir(parents=True, exist_ok=True)
    for rank in np.unique(np.linspace(0, len(ranked) - 1, NUM_OBJECTS).round().astype(int)) if ranked else []:
        iou, object_id, completed = ranked[rank]
        picture = from_behind(completed, truth.objects[object_id].surface.mesh)
        Image.fromarray(picture).save(to / f"{rank:02d}_object{object_id}_iou{100 * iou:03.0f}.png")
    typer.echo(f"{len(ranked)} objects matched -> {to}")


if __name__ == "__main__":
    typer.run(main)
