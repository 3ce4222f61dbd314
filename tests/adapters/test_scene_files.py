"""A scene in a folder: what is saved comes back, and whatever goes wrong, what was there stays whole."""

import errno
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from instascene_ros.adapters import scene_files
from instascene_ros.adapters.error_codes import InvalidRequestError, NoMapError
from instascene_ros.adapters.scene_files import MAP, StoredScene, load_scene, path_of, save_scene
from instascene_ros.core.completed_file import StampedObject, load_completed, save_completed
from instascene_ros.core.errors import InstasceneError, InvalidSceneError
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.instances import Instances
from instascene_ros.core.map_file import SavedMap
from instascene_ros.core.objects import CompletedObject


def instances(*ids: int) -> Instances:
    def column(like: np.ndarray) -> np.ndarray:
        return np.zeros((len(ids), *like.shape[1:]), like.dtype)

    empty = Instances.empty()
    arrays = {
        f.name: column(getattr(empty, f.name)) for f in fields(Instances) if f.name not in ("merged_ids", "names")
    }
    return Instances(**arrays | {"ids": np.array(ids, np.int32)}, merged_ids=((),) * len(ids))


def saved_map(map_id: str, *ids: int, num_gaussians: int = 5) -> SavedMap:
    n = num_gaussians
    gaussians = GaussianMap.from_surfels(
        torch.zeros(n, 3),
        torch.tensor([[1.0, 0, 0, 0]] * n),
        torch.full((n, 2), 0.01),
        torch.full((n,), 0.5),
        torch.rand(n, 3),
    )
    return SavedMap(map_id, gaussians, np.zeros(n, np.int32), instances(*ids), {"a": np.arange(3)})


def completed(map_id: str, instance_id: int) -> StampedObject:
    one = CompletedObject(
        map_id=map_id, instance_id=instance_id, instance_revision=4,
        vertices_m=np.eye(3, dtype=np.float32), faces=np.array([[0, 1, 2]], np.int32),
        colors=np.full((3, 3), 9, np.uint8), observed=np.array([True, False, True]), T_world_object=np.eye(4),
        size_m=np.ones(3, np.float32), watertight=True, confidence=0.5, observed_fraction=0.25, method="geometric",
        seed=2**64 - 1,
    )  # fmt: skip
    return StampedObject(one, 123, 0.5)


def same(a: StampedObject, b: StampedObject) -> bool:
    pairs = [(getattr(a.completed, f.name), getattr(b.completed, f.name)) for f in fields(CompletedObject)]
    return all(np.array_equal(x, y) for x, y in pairs) and (a.stamp_ns, a.processing_s) == (b.stamp_ns, b.processing_s)


def test_map_and_objects_come_back(tmp_path: Path) -> None:
    scene = StoredScene(saved_map("m1", 1, 2), [completed("m1", 2)])
    num_bytes = save_scene(tmp_path / "new" / "place", scene, overwrite=False)
    assert num_bytes == sum(path.stat().st_size for path in (tmp_path / "new" / "place").iterdir())
    loaded = load_scene(tmp_path / "new" / "place")
    assert loaded.saved.map_id == "m1" and loaded.saved.instances.ids.tolist() == [1, 2]
    assert len(loaded.objects) == 1 and same(loaded.objects[0], scene.objects[0])
    assert load_scene(tmp_path / "new" / "place" / MAP).saved.map_id == "m1"


def test_a_map_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    save_scene(tmp_path, StoredScene(saved_map("m1", 1), [completed("m1", 1)]), overwrite=False)
    with pytest.raises(InvalidRequestError, match="exists: set overwrite"):
        save_scene(tmp_path, StoredScene(saved_map("m2"), []), overwrite=False)
    assert load_scene(tmp_path).saved.map_id == "m1"
    save_scene(tmp_path, StoredScene(saved_map("m2", 1), []), overwrite=True)
    assert load_scene(tmp_path).saved.map_id == "m2" and load_scene(tmp_path).objects == []
    assert [path.name for path in tmp_path.iterdir()] == [MAP]


def test_objects_of_another_map_or_of_no_instance_are_not_loaded(tmp_path: Path) -> None:
    save_scene(tmp_path, StoredScene(saved_map("m1", 1), [completed("m1", 1), completed("m1", 7)]), overwrite=False)
    assert [one.completed.instance_id for one in load_scene(tmp_path).objects] == [1]


def fail_with(number: int) -> Callable[..., int]:
    def fail(*_: object) -> int:
        raise OSError(number, "No space left on device")

    return fail


@pytest.mark.parametrize("step", ["save_map", "save_completed"])
def test_a_full_disk_is_said_and_the_older_map_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    save_scene(tmp_path, StoredScene(saved_map("m1", 1), [completed("m1", 1)]), overwrite=False)
    monkeypatch.setattr(scene_files, step, fail_with(errno.ENOSPC))
    with pytest.raises(InstasceneError, match="No space left on device.*MB are free"):
        save_scene(tmp_path, StoredScene(saved_map("m2", 1), [completed("m2", 1)]), overwrite=True)
    older = load_scene(tmp_path)
    assert older.saved.map_id == "m1" and len(older.objects) == 1


def test_a_full_device_is_said() -> None:
    """The real thing: every write to /dev/full fails."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(InstasceneError, match="cannot be saved"):
        save_scene(Path("/dev/full/map"), StoredScene(saved_map("m1"), []), overwrite=True)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("{root}/map", "{root}/map"),
        ("file://{root}/map", "{root}/map"),
        ("file://localhost{root}/a%20b", "{root}/a b"),
        ("{root}/x/../map", "{root}/map"),
    ],
)
def test_paths_and_file_urls_below_the_root(tmp_path: Path, url: str, expected: str) -> None:
    assert str(path_of(url.format(root=tmp_path), str(tmp_path))) == expected.format(root=tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "map",
        "file:map",
        "http://x/y",
        "file://host/map",
        "/etc",
        "{root}/../other",
        "{root}/link/map",
        "{root}\0/x",
        "{root}/loop",
    ],
)
def test_other_places_are_refused(tmp_path: Path, url: str) -> None:
    (tmp_path / "link").symlink_to("/etc")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InvalidRequestError):
        path_of(url.format(root=tmp_path), str(tmp_path))


@given(st.text(max_size=40))
def test_any_url_is_a_path_below_the_root_or_refused(url: str) -> None:
    with suppress(InvalidRequestError):
        assert path_of(url, "/tmp").is_relative_to("/tmp")


def test_what_is_not_there_or_not_a_map_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoMapError, match="there is no map at"):
        load_scene(tmp_path)
    (tmp_path / MAP).write_bytes(b"not a map")
    with pytest.raises(InvalidSceneError, match="cannot be read as a saved map"):
        load_scene(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_damaged_objects_are_whole_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "objects.npz"
    save_completed(path, [completed("m", 1), completed("m", 2)])
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    with suppress(InvalidSceneError):
        assert [one.completed.instance_id for one in load_completed(path)] == [1, 2]


@pytest.mark.parametrize(
    "broken",
    [
        {"faces": np.array([[0, 1, 3]], np.int32)},
        {"faces": np.array([[-1, 1, 2]], np.int32)},
        {"vertices_m": np.full((3, 3), np.nan, np.float32)},
        {"size_m": np.ones(2, np.float32)},
    ],
)
def test_objects_that_would_break_a_client_are_refused(tmp_path: Path, broken: dict[str, np.ndarray]) -> None:
    one = completed("m", 1)
    for name, value in broken.items():
        object.__setattr__(one.completed, name, value)
    save_completed(tmp_path / "o.npz", [one])
    with pytest.raises(InvalidSceneError):
        load_completed(tmp_path / "o.npz")


def test_a_replaced_map_id_is_kept_out_of_file_names(tmp_path: Path) -> None:
    """An id from a file is not trusted in a path."""
    hostile = "../../evil"
    save_scene(tmp_path, StoredScene(saved_map(hostile, 1), [completed(hostile, 1)]), overwrite=False)
    assert sorted(path.parent for path in tmp_path.rglob("*.npz")) == [tmp_path, tmp_path]
    assert load_scene(tmp_path).objects[0].completed.map_id == hostile
    assert replace(load_scene(tmp_path).saved, map_id="new").map_id == "new"
