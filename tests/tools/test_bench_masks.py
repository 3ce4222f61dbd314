"""The bench of mask sources on a scene whose objects are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from folders import write_scene
from scenes import SyntheticScene
from typer.testing import CliRunner

from instascene_ros.core.config import Config, MappingConfig
from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.geometry import points_of_depth, transform
from instascene_ros.tools import bench_masks


@pytest.fixture(scope="module")
def scene(small_scene: tuple[SyntheticScene, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded frames with masks, and points on what the cameras saw as the reference."""
    made = small_scene[0]
    folder = write_scene(tmp_path_factory.mktemp("scored"), made.frames, masks=["masks"])
    points_m, objects = [], []
    for frame, instances in zip(made.frames, made.instances, strict=True):
        seen = transform(frame.T_world_camera, points_of_depth(frame.depth_m, frame.camera))
        points_m.append(seen[frame.valid]), objects.append(instances[frame.valid])
    objects = np.concatenate(objects)
    np.savez(folder / "reference.npz", points=np.concatenate(points_m), instance=objects, weight=np.ones(len(objects)))
    return folder


@pytest.mark.parametrize("feedback", [False, True])
def test_true_masks_give_the_true_instances(scene: Path, feedback: bool) -> None:
    config = Config(mapping=MappingConfig(refine_steps=0))
    config = replace(config, tracking=replace(config.tracking, map_feedback=feedback))
    found, cpu_ms = bench_masks.score(scene, "masks", config, "cpu", every=1)
    assert found.ap50 == pytest.approx(1.0)
    assert cpu_ms >= 0


def test_a_row_for_each_source_and_setting(scene: Path) -> None:
    import typer

    app = typer.Typer()
    app.command()(bench_masks.main)
    words = [str(scene), "--sources", "masks,geometric", "--every", "4", "--refine-steps", "0", "--device", "cpu"]
    told = CliRunner().invoke(app, words)
    rows = [line.split(" | ")[1:3] for line in told.output.splitlines()[2:]]
    assert rows == [["masks", "off"], ["masks", "on"], ["geometric", "off"], ["geometric", "on"]], told.output


def test_what_is_not_there_is_told(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidSceneError, match="no folder of masks named 'nothing'"):
        bench_masks.score(scene, "nothing", Config(), "cpu", every=1)
    with pytest.raises(InvalidSceneError, match="reference.npz"):
        bench_masks.score(tmp_path, "masks", Config(), "cpu", every=1)
