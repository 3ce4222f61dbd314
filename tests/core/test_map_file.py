"""Saved maps: what goes in comes out, and damage is told."""

import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import open3d as o3d
import pytest
import torch

from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.instances import Instances
from instascene_ros.core.map_file import SH_C0, SavedMap, load_map, save_map, write_splats


def a_map(n: int = 7, ids: tuple[int, ...] = (2, 5), merged: tuple[tuple[int, ...], ...] = ((1, 3), ())) -> SavedMap:
    rng, k = np.random.default_rng(0), len(ids)

    def random(*shape: int) -> np.ndarray:
        return rng.uniform(0.1, 0.9, shape).astype(np.float32)

    tensors = [torch.from_numpy(random(n, c)) for c in (3, 4, 2, 3)]
    gaussians = GaussianMap.from_surfels(tensors[0], tensors[1], tensors[2], torch.from_numpy(random(n)), tensors[3])
    gaussians.birth_ns += 1_700_000_000_000_000_001  # more digits than a float holds
    i32, i64 = np.arange(1, k + 1, dtype=np.int32), np.arange(1, k + 1, dtype=np.int64) << 60
    instances = Instances(
        np.array(ids, np.int32), i32, i32, random(k), random(k, 3), random(k, 4), random(k, 3), random(k, 3), i32, i32,
        i64, i64, np.full(k, np.nan, np.float32), merged, tuple(f"thing {i} ü" for i in ids),
    )  # fmt: skip
    labels = np.resize(np.array([*ids, 0], np.int32), n)
    return SavedMap("a-map-id", gaussians, labels, instances)


def assert_same(one: SavedMap, other: SavedMap) -> None:
    assert one.map_id == other.map_id
    assert (one.instances.merged_ids, one.instances.names) == (other.instances.merged_ids, other.instances.names)
    np.testing.assert_array_equal(one.labels, other.labels)
    for name, column in one.gaussians.columns().items():
        np.testing.assert_array_equal(column, other.gaussians.columns()[name], strict=True)
    for f in fields(Instances):
        if f.name not in ("merged_ids", "names"):
            np.testing.assert_array_equal(getattr(one.instances, f.name), getattr(other.instances, f.name), strict=True)


@pytest.mark.parametrize("saved", [a_map(), a_map(1, (9,), ((),)), a_map(3, (), ()), a_map(0, (), ())])
def test_a_map_comes_back_as_it_was_saved(saved: SavedMap, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "map.npz"
    assert save_map(path, saved) == path.stat().st_size
    assert_same(load_map(path), saved)
    assert [entry.name for entry in path.parent.iterdir()] == ["map.npz"], "a temporary file stayed behind"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_map_that_was_cut_short_is_refused(share: float, tmp_path: Path) -> None:
    path = tmp_path / "map.npz"
    save_map(path, a_map())
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InvalidSceneError, match="map.npz cannot be read as a saved map"):
        load_map(path)


def test_a_flipped_byte_inside_a_column_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "map.npz"
    saved = a_map()
    save_map(path, saved)
    content = bytearray(path.read_bytes())
    content[content.index(saved.gaussians.columns()["means_m"].tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(InvalidSceneError, match="CRC"):
        load_map(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 99}, "version 99; update"),
        ({"format": "another"}, "format is 'another'"),
        ({"labels": np.zeros(3, np.int32)}, "3 labels for 7"),
        ({"labels": np.zeros(7, np.float32)}, "column labels is float32"),
        ({"gaussians.colors": np.zeros((6, 3), np.float32)}, "different lengths"),
        ({"gaussians.quats_wxyz": np.zeros((7, 3), np.float32)}, "quats_wxyz is float32"),
        ({"gaussians.means_m": np.full((7, 3), np.nan, np.float32)}, "no finite means_m"),
        ({"instances.merged_counts": np.array([1, 0], np.int32)}, "merged ids"),
        ({"map_id": np.array([{}], dtype=object)}, "allow_pickle"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(change: dict, told: str, tmp_path: Path) -> None:
    path = tmp_path / "map.npz"
    save_map(path, a_map())
    with np.load(path) as file:
        stored = dict(file)
    np.savez(path, **{**stored, **change})
    with pytest.raises(InvalidSceneError, match=told):
        load_map(path)


def test_a_missing_map_and_a_missing_column_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSceneError, match="No such file"):
        load_map(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", points=np.zeros(3))
    with pytest.raises(InvalidSceneError, match="format"):
        load_map(tmp_path / "other.npz")


def test_a_failed_save_leaves_the_older_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "map.npz"
    save_map(path, a_map())

    def full_disk(file: Path, **_: object) -> None:
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_map(path, a_map(3))
    assert_same(load_map(path), a_map())
    assert [entry.name for entry in tmp_path.iterdir()] == ["map.npz"]


def rewritten(path: Path, change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """The same archive with the bytes of some members changed."""
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, content in members.items():
            new.writestr(name, change(name, content))


def test_a_map_of_version_1_still_loads(tmp_path: Path) -> None:
    path, saved = tmp_path / "map.npz", a_map()
    save_map(path, saved)
    with np.load(path) as file:
        stored = dict(file)
    stored["merged_flat"] = stored.pop("instances.merged.flat")
    old = {("instances.merged_flat" if name == "merged_flat" else name): column for name, column in stored.items()}
    np.savez(path, **{**old, "version": 1})
    assert_same(load_map(path), saved)
    assert load_map(path).state is None


def test_a_shape_that_the_file_does_not_hold_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "map.npz"
    save_map(path, a_map())
    rewritten(path, lambda _, content: content.replace(b"(7, 3), }             ", b"(7000000000, 3), }    "))
    assert_refused_within(path, 1_000_000, "claims float32.7000000000, 3")


def test_a_zip_bomb_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "map.npz"
    save_map(path, replace(a_map(), state={"zeros": np.zeros(30_000_000, np.uint8)}))
    rewritten(path, lambda _, content: content, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    assert_refused_within(path, 1_000_000, "columns claim 300.* bytes but the file has")


def assert_refused_within(path: Path, most_bytes: int, told: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InvalidSceneError, match=told):
            load_map(path)
        assert tracemalloc.get_traced_memory()[1] < most_bytes
    finally:
        tracemalloc.stop()


def test_random_damage_is_refused_or_harmless_and_takes_no_memory(tmp_path: Path) -> None:
    path, saved, rng = tmp_path / "map.npz", replace(a_map(), state={"a": np.arange(5)}), np.random.default_rng(7)
    save_map(path, saved)
    content = path.read_bytes()
    refused = 0
    tracemalloc.start()
    for _ in range(600):
        damaged = bytearray(content)
        for at in rng.integers(0, len(content), rng.integers(1, 4)):
            length = int(rng.integers(1, 5))
            damaged[at : at + length] = rng.integers(0, 256, length, np.uint8).tobytes()
        path.write_bytes(damaged[: int(rng.integers(1, len(damaged)))] if rng.random() < 0.2 else damaged)
        try:
            found = load_map(path)
        except InvalidSceneError:
            refused += 1
        else:  # what no checksum covers: times, flags, names
            assert len(found.gaussians) == 7 and found.labels.tolist() == saved.labels.tolist()
    assert refused > 400
    assert tracemalloc.get_traced_memory()[1] < 20 * len(content) + 1_000_000
    tracemalloc.stop()


def test_splats_hold_what_viewers_expect(tmp_path: Path) -> None:
    gaussians = a_map().gaussians
    write_splats(tmp_path / "map.ply", gaussians)
    header, body = (tmp_path / "map.ply").read_bytes().split(b"end_header\n")
    lines = header.decode().splitlines()
    assert lines[:3] == ["ply", "format binary_little_endian 1.0", "element vertex 7"]
    names = [line.split()[2] for line in lines[3:]]
    assert " ".join(names) == (
        "x y z nx ny nz f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3"
    )
    table = dict(zip(names, np.frombuffer(body, "<f4").reshape(7, len(names)).T, strict=True))
    np.testing.assert_array_equal(np.stack([table[a] for a in "xyz"], -1), gaussians.means_m)
    colors = 0.5 + SH_C0 * np.stack([table[f"f_dc_{k}"] for k in range(3)], -1)
    np.testing.assert_allclose(colors, gaussians.colors, atol=1e-6)
    np.testing.assert_allclose(1 / (1 + np.exp(-table["opacity"])), gaussians.opacities, atol=1e-6)
    scales_m = np.exp(np.stack([table[f"scale_{k}"] for k in range(3)], -1))
    np.testing.assert_allclose(scales_m[:, :2], gaussians.scales_m, rtol=1e-5)
    np.testing.assert_allclose(scales_m[:, 2], 1e-5, rtol=1e-4)
    quats = np.stack([table[f"rot_{k}"] for k in range(4)], -1)
    np.testing.assert_allclose(np.linalg.norm(quats, axis=-1), 1, atol=1e-6)
    cosine = (quats * gaussians.quats_wxyz.numpy()).sum(-1) / gaussians.quats_wxyz.norm(dim=-1).numpy()
    np.testing.assert_allclose(cosine, 1, atol=1e-6)


def test_open3d_reads_the_splats(tmp_path: Path) -> None:
    """A reader that others wrote; it makes metres of the scales."""
    gaussians = a_map(40).gaussians
    write_splats(tmp_path / "map.ply", gaussians)
    read = {name: value.numpy() for name, value in o3d.t.io.read_point_cloud(str(tmp_path / "map.ply")).point.items()}
    assert {"positions", "normals", "f_dc", "opacity", "scale", "rot"} <= read.keys()
    np.testing.assert_array_equal(read["positions"], gaussians.means_m)
    np.testing.assert_array_equal(read["opacity"][:, 0], gaussians.opacity_logits)
    np.testing.assert_allclose(read["scale"][:, :2], gaussians.scales_m, rtol=1e-5)
    np.testing.assert_allclose(0.5 + SH_C0 * read["f_dc"], gaussians.colors, atol=1e-6)
    unit_quats = torch.nn.functional.normalize(gaussians.quats_wxyz, dim=-1)
    np.testing.assert_allclose(read["rot"], unit_quats, atol=1e-6)


def test_an_empty_map_is_a_ply_without_vertices(tmp_path: Path) -> None:
    write_splats(tmp_path / "map.ply", GaussianMap.empty())
    assert b"element vertex 0\n" in (tmp_path / "map.ply").read_bytes()
