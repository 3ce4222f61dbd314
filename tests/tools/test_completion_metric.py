"""Scores of completed objects: known answers, and agreement with the evaluation tool beside the repository, if any."""

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from instascene_ros.core.camera import Camera
from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.frame import Frame
from instascene_ros.core.meshing import Mesh, write_ply
from instascene_ros.tools.completion_checks import apart_mm, free_space_violation, penetration
from instascene_ros.tools.completion_metric import Surface, TrueObjects, f_score
from instascene_ros.tools.scene_generator import shapes

RADIUS_M = 0.04
CENTRES_M = {1: (-0.1, 0.0, 0.04), 2: (0.0, 0.02, 0.04), 5: (0.15, 0.0, 0.04)}


def ball(center_m: tuple[float, ...], radius_m: float = RADIUS_M) -> Mesh:
    found = shapes.ball(radius_m).mesh
    vertices = found.vertices_m - (found.vertices_m.min(0) + found.vertices_m.max(0)) / 2 + np.array(center_m)
    return Mesh(vertices.astype(np.float32), found.faces.astype(np.int32))


def write(path: Path, mesh: Mesh) -> None:
    write_ply(path, mesh, np.zeros((len(mesh.vertices_m), 3), np.uint8), np.ones(len(mesh.vertices_m), bool))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three balls on a table, the half at negative y of which was seen."""
    folder, columns = tmp_path_factory.mktemp("scene"), []
    for i, center_m in CENTRES_M.items():
        write(folder / "objects" / f"{i}.ply", ball(center_m))
        points = Surface(ball(center_m)).samples_m(800, seed=i)
        normals = np.rint((points - center_m) / RADIUS_M * 127).astype(np.int8)
        columns.append((points, normals, np.full(800, i), np.where(points[:, 1] < center_m[1], 3, 0)))
    points, normals, instance, seen = (np.concatenate(c) for c in zip(*columns, strict=True))
    np.savez(folder / "gt_points.npz", points=points, normals=normals, instance=instance, n_seen=seen)
    objects = [{"id": i, "model": "ball", "observed_fraction": 0.5} for i in CENTRES_M]
    (folder / "objects.json").write_text(json.dumps(objects))
    return folder


def test_the_truth_scores_one_and_a_smaller_ball_what_it_should(scene: Path) -> None:
    truth = TrueObjects.open(scene, None)
    perfect = truth.objects[2].score(Surface(ball(CENTRES_M[2])))
    assert min(perfect.f5, perfect.f10, perfect.unseen5, perfect.volume_iou) > 0.999 and perfect.chamfer_mm < 0.01
    smaller = truth.objects[2].score(Surface(ball(CENTRES_M[2], 0.032)))
    assert smaller.f5 == 0.0 and smaller.f10 == 1.0 and smaller.chamfer_mm == pytest.approx(8, abs=0.1)
    assert smaller.volume_iou == pytest.approx(0.8**3, abs=0.03)
    cloud = truth.objects[2].score(Surface(Mesh(ball(CENTRES_M[2]).vertices_m, np.zeros((0, 3), np.int32))))
    assert np.isnan(cloud.volume_iou) and not cloud.watertight and cloud.f5 > 0.9


def test_objects_are_matched_one_to_one(scene: Path) -> None:
    truth = TrueObjects.open(scene, None)
    near_two = ball((0.015, 0.02, 0.04))
    assert truth.match([Surface(m) for m in (ball(CENTRES_M[5]), near_two, ball(CENTRES_M[2]))]) == {2: 2, 5: 0}
    assert truth.match([]) == {}


def test_f_score_by_hand() -> None:
    near, far = np.full(3, 0.001), np.full(1, 0.02)
    assert f_score(np.concatenate([near, far]), near, 0.005) == pytest.approx(2 * 0.75 / 1.75)
    assert f_score(far, far, 0.005) == 0.0


def test_a_look_at_a_wall_behind_makes_free_space() -> None:
    camera = Camera(100, 100, 49.5, 49.5, 100, 100)
    frame = Frame(1, camera, np.zeros((100, 100, 3), np.uint8), np.full((100, 100), 0.5, np.float32), np.eye(4))
    in_front, behind = Surface(ball((0, 0, 0.3), 0.02)), Surface(ball((0, 0, 0.6), 0.02))
    assert free_space_violation(in_front, [frame] * 3) == 1.0
    assert free_space_violation(in_front, [frame] * 2) == 0.0  # two frames may err
    assert free_space_violation(behind, [frame] * 3) == 0.0


def test_volume_in_the_table_and_in_neighbours_counts(scene: Path) -> None:
    truth = TrueObjects.open(scene, None)
    assert penetration(Surface(ball((-0.1, 0, 0.04))), truth, 1) == 0.0
    assert penetration(Surface(ball((-0.1, 0.2, 0.0), 0.02)), truth, 1) == pytest.approx(0.5, abs=0.05)
    assert penetration(Surface(ball(CENTRES_M[2], 0.03)), truth, 1) == 1.0
    assert apart_mm(Surface(ball((0, 0, 0), 0.03)), [Surface(ball((0, 0, 0), 0.034))]) == pytest.approx(4, abs=0.1)


def test_a_scene_without_true_objects_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSceneError, match="no true objects"):
        TrueObjects.open(tmp_path, None)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_evaluation_tool(scene: Path, tmp_path: Path, tool: ModuleType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    meshes = [ball(tuple(np.add(c, rng.normal(0, 0.004, 3))), rng.uniform(0.03, 0.045)) for c in CENTRES_M.values()]
    for k, mesh in enumerate(meshes):
        write(tmp_path / f"{k}.ply", mesh)
    truth, surfaces = TrueObjects.open(scene, None), [Surface(mesh) for mesh in meshes]
    matched = truth.match(surfaces)
    theirs = {row["gt"]: row for row in tool.eval_completion(str(scene), str(tmp_path))["objects"]}
    assert {i: f"{k}.ply" for i, k in matched.items()} == {i: row["pred"] for i, row in theirs.items() if row["pred"]}
    names = ("fscore_5mm", "fscore_10mm", "unseen_completeness_5mm", "unseen_completeness_10mm", "volume_iou_5mm")
    for i, k in matched.items():
        ours = truth.objects[i].score(surfaces[k])
        found = (ours.f5, ours.f10, ours.unseen5, ours.unseen10, ours.volume_iou)
        np.testing.assert_allclose(found, [theirs[i][name] for name in names], atol=0.01)
        assert ours.chamfer_mm == pytest.approx(theirs[i]["chamfer_l1_mm"], abs=0.05)
