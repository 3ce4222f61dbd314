"""One small finished run that the tests of the tools share."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from folders import pose_line, write_scene
from PIL import Image
from scenes import SyntheticScene, place, tabletop
from typer.testing import CliRunner, Result

from instascene_ros.core.geometry import points_of_depth, transform
from instascene_ros.tools.cli import app
from instascene_ros.tools.scene_generator import shapes

TOOL = Path(__file__).resolve().parents[3] / "shared" / "tools" / "evaluate.py"


def instascene(*words: object) -> Result:
    """The command, with its output in one string and never wrapped."""
    return CliRunner(env={"COLUMNS": "1000", "NO_COLOR": "1"}).invoke(app, [str(word) for word in words])


@dataclass(frozen=True)
class FinishedRun:
    scene: SyntheticScene
    folder: Path  # the scene on disk
    out: Path
    result: Result

    def true_points(self) -> tuple[np.ndarray, np.ndarray]:
        """Points on what the cameras saw, and the object of each (0 = table)."""
        points, ids = [], []
        for frame, instances in zip(self.scene.frames, self.scene.instances, strict=True):
            seen = transform(frame.T_world_camera, points_of_depth(frame.depth_m, frame.camera))
            points.append(seen[frame.valid]), ids.append(instances[frame.valid])
        return np.concatenate(points), np.concatenate(ids)


@pytest.fixture(scope="session")
def small_scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[SyntheticScene, Path]:
    """Three objects on a table as a folder with masks, and two test views that are larger than the frames.

    No object has parts that are only a few pixels wide: at 160 px these have no mask that votes.
    """
    objects = [
        place(shapes.box((0.10, 0.06, 0.12)), -0.10, 0.0, 20),
        place(shapes.can(0.033, 0.11), 0.03, 0.09),
        place(shapes.box((0.07, 0.09, 0.08)), 0.08, -0.07, -60),
    ]
    scene = tabletop(objects, num_frames=10, width=160)
    folder = write_scene(tmp_path_factory.mktemp("scene"), scene.frames, ["masks", "masks_clean"], name="three objects")
    (folder / "test" / "color").mkdir(parents=True)
    lines = [pose_line(float(k), scene.frames[k * 4].T_world_camera) for k in range(2)]
    (folder / "test" / "trajectory.txt").write_text("\n".join(lines))
    for k in range(2):
        Image.new("RGB", (240, 180)).save(folder / "test" / "color" / f"{k:06d}.jpg")
    return scene, folder


@pytest.fixture(scope="session")
def finished(small_scene: tuple[SyntheticScene, Path], tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A whole run into a folder in which an earlier run and a user had left files."""
    scene, folder = small_scene
    out = tmp_path_factory.mktemp("out")
    (out / "completed").mkdir()
    for name in ("completed/99.ply", "report.html", "notes.txt", "completed/mine.ply"):
        (out / name).write_text("from before")
    result = instascene("run", folder, "--out", out, "--complete", "all", "--views", "--device", "cpu", "--seed", 3)
    return FinishedRun(scene, folder, out, result)


@pytest.fixture(scope="session")
def tool() -> ModuleType:
    """The evaluation tool beside the repository."""
    if not TOOL.exists():
        pytest.skip(f"no evaluation tool at {TOOL}")
    spec = importlib.util.spec_from_file_location("evaluate", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
