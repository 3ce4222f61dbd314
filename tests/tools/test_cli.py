"""The command line: bad arguments, interrupted and failing runs, and export."""

import json
from pathlib import Path

import numpy as np
import pytest
from bags import write_bag
from conftest import FinishedRun, instascene
from folders import write_scene, write_tum
from PIL import Image
from scenes import SyntheticScene

from instascene_ros.core import run_files
from instascene_ros.core.atomic_file import replacing
from instascene_ros.core.map_file import load_map
from instascene_ros.core.pipeline import SceneMapper
from instascene_ros.tools.options import RunOptions

Scene = tuple[SyntheticScene, Path]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--frames", "5"], "got '5'; expected A:B"),
        (["--frames", "8:3"], "expected 0 <= A < B"),
        (["--frames", "-3:"], "expected 0 <= A < B"),
        (["--frames", "50:60"], "has frames 0 to 9; none of them is left"),
        (["--every", "0"], "--every"),
        (["--width", "-5"], "--width"),
        (["--device", "tpu"], "got 'tpu'; expected auto, cpu or cuda"),
        (["--complete", "some"], "got 'some'; expected all, none, or ids such as 3,7"),
        (["--complete", "3,0"], "instance ids are above 0"),
        (["--masks", "masks_other"], "no masks 'masks_other'; it has: masks, masks_clean"),
        (
            ["--segmenter", "sam"],
            "no segmenter 'sam'; expected one of: geometric, detectron2, mask2former, sam2",
        ),
        (["--segmenter", "sam2", "--model", "/nowhere"], "cannot load Sam2Model from '/nowhere'"),
        (["--method", "magic"], "no completion method 'magic'; expected one of: auto, geometric"),
        (["--masks", "masks", "--segmenter", "geometric"], "give one of them"),
        (["--speed", "9"], "No such option"),
    ],
)
def test_bad_arguments_say_what_was_given_and_expected(
    words: list[str], told: str, small_scene: Scene, tmp_path: Path
) -> None:
    result = instascene("run", small_scene[1], "--out", tmp_path / "out", *words)
    assert result.exit_code == 2, result.output
    assert told in " ".join(result.output.split())
    assert not (tmp_path / "out").exists(), "something was written although the arguments are wrong"


def test_a_scene_that_is_none_is_a_bad_argument(tmp_path: Path, small_scene: Scene) -> None:
    for scene, told in ((tmp_path / "nowhere", "is not a folder"), (tmp_path, "holds no recorded scene")):
        result = instascene("run", scene, "--out", tmp_path / "out")
        assert (result.exit_code, told in result.output) == (2, True), result.output
    bare = write_scene(tmp_path / "bare", small_scene[0].frames[:1])
    result = instascene("run", bare, "--out", tmp_path / "out", "--views")
    assert (result.exit_code, "has no test views" in result.output) == (2, True), result.output


def test_frames_that_cannot_be_used_are_told_and_the_rest_is_mapped(small_scene: Scene, tmp_path: Path) -> None:
    folder = write_scene(tmp_path / "scene", small_scene[0].frames[:4], ["masks"])
    broken = folder / "color" / "000001.jpg"
    broken.write_bytes(broken.read_bytes()[:100])
    out = tmp_path / "out"
    result = instascene("run", folder, "--out", out, "--width", 80, "--complete", "77")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (out / "timeline.jsonl").read_text().splitlines()]
    assert ["dropped" in row for row in rows] == [False, True, False, False]
    assert "000001.jpg cannot be read as an image" in rows[1]["dropped"]
    assert json.loads((out / "run.json").read_text())["frames"] == {"used": 3, "dropped": 1}
    [row] = json.loads((out / "completed" / "objects.json").read_text())
    assert (row["id"], row["completed"]) == (77, False)
    assert "77" in row["reason"]
    assert row["reason"] in (out / "report.html").read_text().replace("&#39;", "'")


def test_a_scene_without_any_usable_frame_is_an_error(small_scene: Scene, tmp_path: Path) -> None:
    folder = write_scene(tmp_path / "scene", small_scene[0].frames[:2], ["masks"])
    for path in (folder / "depth").iterdir():
        path.write_bytes(b"")
    result = instascene("run", folder, "--out", tmp_path / "out")
    assert result.exit_code in (1, 2)
    assert "none of the 2 frames can be used" in result.output


def test_frames_and_every_choose_and_width_scales(small_scene: Scene, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = instascene("run", small_scene[1], "--out", out, "--frames", "2:9", "--every", 3, "--width", 64)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (out / "timeline.jsonl").read_text().splitlines()]
    assert [row["frame"] for row in rows] == [2, 5, 8]
    assert 0 < rows[-1]["gaussians"] < 3 * 64 * 48
    assert json.loads((out / "completed" / "objects.json").read_text()) == []


def test_a_tum_folder_runs_with_the_geometric_segmenter(small_scene: Scene, tmp_path: Path) -> None:
    folder = write_tum(tmp_path / "tum", small_scene[0].frames[:3])
    result = instascene("run", folder, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "out" / "run.json").read_text())["masks"] == "geometric segmenter"
    assert len(load_map(tmp_path / "out" / "map.npz").gaussians) > 100


def test_a_bag_gives_the_map_that_its_folder_gives(small_scene: Scene, tmp_path: Path) -> None:
    """With its masks, as a folder's are taken; topics are chosen by name, or told."""
    frames = small_scene[0].frames[:4]
    bag, counts = write_bag(tmp_path / "bag", "mcap", frames), []
    folder = write_scene(tmp_path / "scene", frames, ["masks"])
    for scene, more in ((bag, ()), (folder, ()), (bag, ("--topics", "pose=/camera/color/image"))):
        out = tmp_path / f"out{len(counts)}"
        result = instascene("run", scene, "--out", out, "--width", 80, *more)
        counts.append(result.exit_code or len(load_map(out / "map.npz").gaussians))
        if not result.exit_code:
            assert json.loads((out / "run.json").read_text())["masks"] == "recorded masks"
    assert counts[0] == pytest.approx(counts[1], rel=0.02), "JPEG colours differ a little"
    assert (counts[2], "is of type sensor_msgs/msg/Image; expected geometry_msgs" in result.output) == (2, True)
    result = instascene("run", folder, "--out", tmp_path / "out", "--topics", "color=/a")
    assert (result.exit_code, "is no rosbag2" in result.output) == (2, True)


def test_ctrl_c_keeps_what_is_whole(small_scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SceneMapper, "observe", interrupted)
    out = tmp_path / "out"
    result = instascene("run", small_scene[1], "--out", out, "--frames", ":3", "--width", 80, "--complete", "1")
    assert result.exit_code == 130
    assert "interrupted; complete in" in result.output
    assert len(load_map(out / "map.npz").gaussians) > 0
    assert json.loads((out / "completed" / "objects.json").read_text()) == []
    assert sorted(path.name for path in out.iterdir()) == [
        "completed", "instances.npz", "map.npz", "map.ply", "timeline.jsonl",
    ]  # fmt: skip
    assert not list(out.rglob("*.tmp*"))


def test_a_full_disk_is_told(small_scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "map.npz")

    monkeypatch.setattr("instascene_ros.tools.run.save_map", full_disk)
    result = instascene("run", small_scene[1], "--out", tmp_path / "out", "--frames", ":1", "--width", 80)
    assert result.exit_code == 1
    assert "cannot write to map.npz: No space left on device; free some space" in " ".join(result.output.split())


def test_an_out_that_is_a_file_is_told(small_scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    result = instascene("run", small_scene[1], "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "File exists" in result.output
    assert (tmp_path / "out").read_text() == "a file"


def test_a_failed_write_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "timeline.jsonl"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert path.name == run_files.TIMELINE
    assert list(tmp_path.iterdir()) == [path]


def test_export_writes_what_the_run_wrote(finished: FinishedRun, tmp_path: Path) -> None:
    ply, npz = tmp_path / "a.ply", tmp_path / "a.npz"
    result = instascene("export", finished.out / "map.npz", "--ply", ply, "--instances", npz)
    assert result.exit_code == 0, result.output
    assert ply.read_bytes() == (finished.out / "map.ply").read_bytes()
    one, other = np.load(npz), np.load(finished.out / "instances.npz")
    assert all(np.array_equal(one[name], other[name]) for name in ("points", "instance", "ids", "scores"))


def test_export_refuses_a_truncated_map_and_an_empty_wish(finished: FinishedRun, tmp_path: Path) -> None:
    short = tmp_path / "short.npz"
    short.write_bytes((finished.out / "map.npz").read_bytes()[:-2000])
    result = instascene("export", short, "--ply", tmp_path / "a.ply")
    assert result.exit_code == 2
    assert "cannot be read as a saved map" in result.output
    assert not (tmp_path / "a.ply").exists()
    result = instascene("export", finished.out / "map.npz")
    assert (result.exit_code, "nothing to write" in result.output) == (2, True)


def test_the_command_is_told_as_it_would_be_typed() -> None:
    options = RunOptions(Path("a scene"), Path("out"), complete="1,2", views=True)
    assert options.command() == "instascene run 'a scene' --out out --complete 1,2 --views"


def test_one_frame_can_be_segmented_to_look_at_it(small_scene: Scene, tmp_path: Path) -> None:
    labels = tmp_path / "masks" / "frame.png"
    result = instascene("segment", small_scene[1], "--out", labels, "--frame", 3)
    assert result.exit_code == 0, result.output
    stored = np.asarray(Image.open(labels))
    with Image.open(labels.with_name("frame_colors.png")) as picture:
        assert stored.shape == picture.size[::-1] and len(np.unique(stored)) > 3
    result = instascene("segment", small_scene[1], "--out", labels, "--click", "10,20")
    assert result.exit_code == 2 and "takes no clicks; use --segmenter sam2" in " ".join(result.output.split())
    for words, told in ((["--frame", 99], "--frame is 99"), (["--click", "10"], "expected COLUMN,ROW")):
        result = instascene("segment", small_scene[1], "--out", labels, *words)
        assert result.exit_code == 2 and told in " ".join(result.output.split())
