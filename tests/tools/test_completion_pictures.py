"""The sheet of completed objects beside the truth, of runs that completed the true objects."""

from pathlib import Path

import numpy as np
from PIL import Image

from instascene_ros.core.meshing import read_mesh
from instascene_ros.core.objects import CompletedObject
from instascene_ros.core.run_files import COMPLETED, CompletedFolder
from instascene_ros.tools.completion_pictures import SIZE_PX, main

SCENE = Path(__file__).parents[2] / "instascene_ros/sample"
GREEN = np.array([20, 200, 20], np.uint8)


def run_of(folder: Path, ids: list[int]) -> Path:
    """One half of each object observed."""
    (folder / COMPLETED).mkdir(parents=True)
    files = CompletedFolder(folder / COMPLETED)
    for i in ids:
        mesh = read_mesh(next(path for path in (SCENE / "objects").glob("*.ply") if int(path.stem) == i))
        half = mesh.vertices_m[:, 0] > np.median(mesh.vertices_m[:, 0])
        files.add(CompletedObject(
            "map", i, 1, mesh.vertices_m, mesh.faces, np.tile(GREEN, (len(half), 1)), half, np.eye(4),
            np.ones(3, np.float32), True, 0.5, 0.5, "true", 0, "",
        ), 1.0)  # fmt: skip
    return folder


def test_the_sheet_has_a_row_an_object_that_all_runs_completed_and_a_column_a_run(tmp_path: Path) -> None:
    runs = [run_of(tmp_path / "a", [1, 2, 3]), run_of(tmp_path / "b", [3, 1])]
    main(SCENE, tmp_path / "sheet.png", runs)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")).astype(int)
    assert sheet.shape == (2 * SIZE_PX, 4 * SIZE_PX, 3)
    for row in np.split(sheet, 2):
        observed, one, other, true = np.split(row[12:], 4, axis=1)
        np.testing.assert_array_equal(one, other)
        green = [(part[..., 1] - part[..., [0, 2]].max(-1) > 30).sum() for part in (observed, true)]
        assert green[0] > 0 and green[1] == 0
        shown = [(part.min(-1) < 240).sum() for part in (observed, one, true)]
        assert shown[0] < shown[1] == shown[2], "the completed object is the true one"
