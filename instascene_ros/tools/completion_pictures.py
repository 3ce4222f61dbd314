"""`python -m instascene_ros.tools.completion_pictures SCENE TO.png RUN [RUN ...]`: completed objects beside the truth.

Ten objects, the worst first, from the side that was not seen: what was observed, the completed object (as each run has
it, where several runs with other seeds are given), the true one.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from instascene_ros.core.camera import Camera
from instascene_ros.core.meshing import Mesh
from instascene_ros.core.run_files import COMPLETED
from instascene_ros.core.views import PosedCamera, look_at
from instascene_ros.tools.completion_metric import Surface, TrueObjects
from instascene_ros.tools.mesh_picture import PaintedMesh, picture_of_mesh

SIZE_PX, NUM_OBJECTS, COLUMN, RAISED = 160, 10, 5, 0.4
UP = np.array([0.0, 0.0, 1.0])  # of the generated scenes


def worst_to_best(folder: Path, truth: TrueObjects) -> list[tuple[float, int, str, PaintedMesh]]:
    """(volume IoU, true object, name of the completed one's file, what it holds), the worst first."""
    files = sorted((folder / COMPLETED).glob("*.ply"))
    completed = [PaintedMesh.read(file) for file in files]
    surfaces = [Surface(Mesh(c.vertices_m.astype(np.float32), c.faces.astype(np.int32))) for c in completed]
    matched = truth.match(surfaces).items()
    found = [(truth.objects[i].score(surfaces[k]).volume_iou, i, files[k].name, completed[k]) for i, k in matched]
    return sorted(found, key=lambda row: row[:2])


def from_behind(completed: PaintedMesh, true: Mesh) -> PosedCamera:
    """A camera that looks at the true object from where it was not seen."""
    low, high = true.vertices_m.min(0).astype(np.float64), true.vertices_m.max(0).astype(np.float64)
    seen_from = completed.normals()[completed.observed].mean(0) if completed.observed.any() else UP
    away = -seen_from.astype(np.float64) * (1, 1, 0)
    away = away / max(float(np.linalg.norm(away)), 1e-9) + RAISED * UP
    center_m, radius_m = (low + high) / 2, 0.6 * float(np.linalg.norm(high - low))
    camera = Camera(1.6 * SIZE_PX, 1.6 * SIZE_PX, (SIZE_PX - 1) / 2, (SIZE_PX - 1) / 2, SIZE_PX, SIZE_PX)
    return camera, look_at(center_m + 3.4 * radius_m * away / np.linalg.norm(away), center_m, UP)


def row_of(attempts: list[PaintedMesh], true: Mesh, label: str) -> Image.Image:
    """Observed part of the first, all attempts (what was invented tinted) and the true object, side by side."""
    first = attempts[0]
    observed = first.observed[first.faces].all(1)
    before = PaintedMesh(first.vertices_m, first.faces[observed], first.colors, first.observed)
    grey, all_seen = np.full(true.vertices_m.shape, 190, np.uint8), np.ones(len(true.vertices_m), bool)
    parts = [before, *attempts, PaintedMesh(true.vertices_m, true.faces, grey, all_seen)]
    posed = from_behind(first, true)
    row = Image.fromarray(np.concatenate([_on_white(picture_of_mesh(part, *posed)) for part in parts], axis=1))
    ImageDraw.Draw(row).text((4, 2), label, fill=(60, 60, 60))
    return row


def in_columns(rows: list[UInt8[np.ndarray, "H W 3"]]) -> UInt8[np.ndarray, "_ _ 3"]:
    """One below the other; more than a column holds go on in the next."""
    rows = rows + [np.full_like(rows[0], 255)] * (-len(rows) % min(len(rows), COLUMN))
    columns = [np.concatenate(rows[k : k + COLUMN]) for k in range(0, len(rows), COLUMN)]
    return np.concatenate(columns, axis=1)


def _on_white(rgba: UInt8[np.ndarray, "H W 4"]) -> UInt8[np.ndarray, "H W 3"]:
    return np.where(rgba[..., 3:] > 0, rgba[..., :3], 255).astype(np.uint8)


def main(
    scene: Annotated[Path, typer.Argument(help="The generated scene that was completed.")],
    to: Annotated[Path, typer.Argument(help="PNG to write.")],
    runs: Annotated[list[Path], typer.Argument(help="Folders of `instascene run --complete`; the first is ranked.")],
) -> None:
    """Write the picture. Objects that not all runs completed are left out."""
    truth = TrueObjects.open(scene, None)
    others = [run / COMPLETED for run in runs[1:]]
    found = [row for row in worst_to_best(runs[0], truth) if all((other / row[2]).exists() for other in others)]
    chosen = np.unique(np.linspace(0, len(found) - 1, NUM_OBJECTS).round().astype(int)) if found else []
    rows = []
    for iou, i, name, first in (found[k] for k in chosen):
        attempts = [first, *(PaintedMesh.read(other / name) for other in others)]
        rows.append(row_of(attempts, truth.objects[i].surface.mesh, f"object {i}, volume IoU {iou:.2f}"))
    if rows:
        sheet = Image.fromarray(in_columns([np.asarray(row) for row in rows]))
        to.parent.mkdir(parents=True, exist_ok=True)
        sheet.quantize(128).save(to, optimize=True)
    typer.echo(f"{len(rows)} of {len(found)} objects that were matched -> {to}")


if __name__ == "__main__":
    typer.run(main)
