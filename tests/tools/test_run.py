"""A whole offline run on a scene with known answers: what the files say is true."""

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from conftest import FinishedRun, instascene
from PIL import Image
from scipy.spatial import cKDTree

from instascene_ros.core.instances import InstanceState
from instascene_ros.core.map_file import load_map
from instascene_ros.tools.mesh_picture import PaintedMesh


def ids_of_objects(finished: FinishedRun) -> dict[int, int]:
    """The instance that most of each true object's seen surface belongs to."""
    found = np.load(finished.out / "instances.npz")
    points, truth = finished.true_points()
    distance_m, nearest = cKDTree(found["points"]).query(points)
    assert np.mean(distance_m[truth > 0] < 0.015) > 0.95, "the map does not cover the objects that were seen"
    labels = found["instance"][nearest]
    ids, winners = [1, 2, 3], []
    for true_id in ids:
        values, counts = np.unique(labels[truth == true_id], return_counts=True)
        winners.append(int(values[counts.argmax()]))
        assert counts.max() / counts.sum() > 0.8, f"object {true_id} is spread over {values}: {counts} points"
    return dict(zip(ids, winners, strict=True))


def test_it_ends_well_and_says_where_the_report_is(finished: FinishedRun) -> None:
    assert finished.result.exit_code == 0, finished.result.output
    assert str(finished.out / "report.html") in finished.result.output.replace("\n", "")


def test_every_object_is_an_instance_of_its_own(finished: FinishedRun) -> None:
    found = np.load(finished.out / "instances.npz")
    assert found["points"].dtype == np.float32
    assert found["instance"].dtype == np.int32
    np.testing.assert_array_equal(found["ids"], np.unique(found["instance"][found["instance"] > 0]))
    assert found["scores"].shape == found["ids"].shape
    winners = ids_of_objects(finished)
    assert 0 not in winners.values()
    assert len(set(winners.values())) == 3
    points, truth = finished.true_points()
    _, nearest = cKDTree(points).query(found["points"])
    for true_id, instance_id in winners.items():
        assert np.mean(truth[nearest][found["instance"] == instance_id] == true_id) > 0.9


def test_the_timeline_has_a_line_for_every_frame(finished: FinishedRun) -> None:
    rows = [json.loads(line) for line in (finished.out / "timeline.jsonl").read_text().splitlines()]
    assert [row["frame"] for row in rows] == list(range(10))
    assert [row["stamp_ns"] for row in rows] == [frame.stamp_ns for frame in finished.scene.frames]
    assert all(row["instances"] == len(row["ids"]) for row in rows)
    assert all(min(row["stage_ms"].values()) >= 0 for row in rows)
    stages = [set(row["stage_ms"]) for row in rows if row["keyframe"]]
    expected = {"prepare", "segment", "map", "associate", "instances", "refine"}
    assert stages and all(found == expected for found in stages)
    assert np.all(np.diff([row["gaussians"] for row in rows]) != 0), "every view of this orbit shows something new"
    assert rows[-1]["gaussians"] == len(load_map(finished.out / "map.npz").gaussians)
    assert set(ids_of_objects(finished).values()) <= set(rows[-1]["ids"])


def test_the_saved_map_is_the_one_of_the_instances_and_the_splats(finished: FinishedRun) -> None:
    saved, found = load_map(finished.out / "map.npz"), np.load(finished.out / "instances.npz")
    np.testing.assert_array_equal(saved.gaussians.means_m.numpy(), found["points"])
    np.testing.assert_array_equal(saved.labels, found["instance"])
    header = (finished.out / "map.ply").read_bytes().split(b"end_header")[0].decode()
    assert f"element vertex {len(saved.gaussians)}\n" in header


def test_all_objects_are_completed_in_place_and_what_is_invented_is_flagged(finished: FinishedRun) -> None:
    rows = json.loads((finished.out / "completed" / "objects.json").read_text())
    instances = load_map(finished.out / "map.npz").instances
    assert [row["id"] for row in rows] == instances.ids[instances.states == InstanceState.CONFIRMED].tolist()
    by_id = {row["id"]: row for row in rows}
    for true_id, instance_id in ids_of_objects(finished).items():
        row = by_id[instance_id]
        assert (row["completed"], row["seed"], row["method"]) == (True, 3, "ring")
        mesh = trimesh.load(finished.out / "completed" / row["file"])
        assert mesh.is_watertight
        assert row["watertight"]
        assert len(mesh.faces) == row["faces"]
        truth = finished.scene.objects[true_id].vertices_m
        np.testing.assert_allclose(mesh.bounds, [truth.min(axis=0), truth.max(axis=0)], atol=0.012)
        painted = PaintedMesh.read(finished.out / "completed" / row["file"])
        assert len(painted.vertices_m) == row["vertices"]
        assert 0 < painted.observed.mean() < 1, "some of it was seen, and nobody saw the bottom"
        bottom = painted.vertices_m[:, 2] < mesh.bounds[0, 2] + 0.002
        assert painted.observed[bottom].mean() < 0.5


def test_views_have_the_size_of_the_test_views_and_show_the_right_ids(finished: FinishedRun) -> None:
    winners = ids_of_objects(finished)
    for view in range(2):
        color = np.asarray(Image.open(finished.out / "views" / "color" / f"{view:06d}.png"))
        ids = np.asarray(Image.open(finished.out / "views" / "instances" / f"{view:06d}.png"))
        assert (color.shape, ids.shape, ids.dtype) == ((180, 240, 3), (180, 240), np.dtype(np.uint16))
        truth = finished.scene.instances[view * 4]
        seen = np.asarray(Image.fromarray(truth).resize((240, 180), Image.Resampling.NEAREST))
        for true_id, instance_id in winners.items():
            shown, expected = ids == instance_id, seen == true_id
            assert (shown & expected).sum() / (shown | expected).sum() > 0.7
        expected = np.asarray(Image.fromarray(finished.scene.frames[view * 4].rgb).resize((240, 180)))
        covered = color.any(axis=-1)
        assert np.abs(color[covered].astype(int) - expected[covered]).mean() < 25


def test_files_of_an_earlier_run_are_gone_and_others_stay(finished: FinishedRun) -> None:
    assert not (finished.out / "completed" / "99.ply").exists()
    assert "from before" not in (finished.out / "report.html").read_text()
    assert (finished.out / "notes.txt").read_text() == "from before"
    assert (finished.out / "completed" / "mine.ply").read_text() == "from before"
    assert not list(finished.out.rglob("*.tmp*")), "a temporary file stayed behind"


@pytest.mark.parametrize("key", ["command", "scene", "masks", "rasterizer", "seconds", "versions"])
def test_the_run_is_described(key: str, finished: FinishedRun) -> None:
    about = json.loads((finished.out / "run.json").read_text())
    assert about[key]
    assert about["frames"] == {"used": 10, "dropped": 0}
    assert about["masks"] == "recorded masks"
    assert about["command"].startswith(f"instascene run {finished.folder} --out {finished.out} --device cpu")
    assert "--complete all" in about["command"]


def test_removed_instances_are_gone_from_the_map_and_every_other_file(finished: FinishedRun, tmp_path: Path) -> None:
    """The run finds the same ids again, and the surface under the object goes on in the map."""
    gone = ids_of_objects(finished)[1]
    result = instascene("run", finished.folder, "--out", tmp_path, "--device", "cpu", "--remove", gone)
    assert result.exit_code == 0, result.output
    saved, before = load_map(tmp_path / "map.npz"), load_map(finished.out / "map.npz")
    assert set(saved.instances.ids) == set(before.instances.ids) - {gone}
    assert gone not in saved.labels and gone not in np.load(tmp_path / "instances.npz")["ids"]
    base_m = finished.scene.objects[1].vertices_m.mean(0)
    under = [
        (np.abs(m.gaussians.means_m.numpy() - (*base_m[:2], 0)) < (0.02, 0.02, 0.015)).all(-1).sum()
        for m in (before, saved)
    ]
    assert under[0] < 3 < 10 < under[1]


def test_a_map_that_was_finished_is_kept_when_what_follows_fails(finished: FinishedRun, tmp_path: Path) -> None:
    result = instascene("run", finished.folder, "--out", tmp_path, "--device", "cpu", "--remove", "999")
    assert result.exit_code == 1 and "no instance 999 in the map; it has [" in result.output
    before, saved = load_map(finished.out / "map.npz"), load_map(tmp_path / "map.npz")
    np.testing.assert_array_equal(saved.labels, before.labels)
