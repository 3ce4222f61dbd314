"""A scene that is saved and restored goes on as if nothing had happened, and damage changes nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scenes import tabletop, three_objects

from instascene_ros.core.config import Config
from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.map_file import SavedMap, load_map, save_map
from instascene_ros.core.pipeline import SceneMapper
from instascene_ros.core.rendering import make_rasterizer


def new_mapper() -> SceneMapper:
    return SceneMapper(Config(), make_rasterizer("cpu"))


@pytest.fixture(scope="module")
def frames():
    return tabletop(three_objects(), num_frames=12, width=120, noise_seed=3).frames


@pytest.fixture(scope="module")
def mapped(frames) -> SavedMap:
    """After nine frames, with gradient steps, so that the optimiser has a state."""
    mapper = new_mapper()
    for frame in frames[:9]:
        mapper.process(frame)
    return mapper.snapshot()


def everything(mapper: SceneMapper) -> dict[str, np.ndarray]:
    saved = mapper.snapshot()
    instances = {f"instances.{name}": np.array(value) for name, value in vars(saved.instances).items()}
    instances["instances.merged_ids"] = np.array(str(saved.instances.merged_ids))
    instances["instances.names"] = np.array(saved.instances.names, np.str_)
    head = {"map_id": np.array(saved.map_id), "labels": saved.labels}
    return {**saved.gaussians.columns(), **instances, **head, **(saved.state or {})}


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, column in one.items():
        np.testing.assert_array_equal(column, other[name], strict=True, err_msg=name)


def test_saved_loaded_and_saved_again_is_the_same_bit_for_bit(mapped, tmp_path: Path) -> None:
    save_map(tmp_path / "one.npz", mapped)
    mapper = new_mapper()
    mapper.restore(load_map(tmp_path / "one.npz"))
    save_map(tmp_path / "two.npz", mapper.snapshot())
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "two.npz") as two:
        assert_same(dict(one), dict(two))
        assert len(one["state.association.records.id"]) >= 3
        assert one["state.mapper.keyframes.pixels.rgb"].shape == (9 * 120 * 90, 3)


def test_the_next_frames_come_out_as_without_the_detour(frames, tmp_path: Path) -> None:
    straight, before = new_mapper(), new_mapper()
    for frame in frames[:6]:
        straight.process(frame)
        before.process(frame)
    save_map(tmp_path / "map.npz", before.snapshot())
    after = new_mapper()
    after.restore(load_map(tmp_path / "map.npz"))
    straight.map_id = after.map_id  # which is random, and kept by the restored scene
    assert after.map_id == before.map_id
    for frame in frames[6:]:
        expected, found = straight.process(frame), after.process(frame)
        assert (found.changed_ids, found.removed_ids) == (expected.changed_ids, expected.removed_ids)
        assert_same(everything(straight), everything(after))


def test_ids_of_a_restored_scene_are_never_used_again(frames, mapped) -> None:
    mapper = new_mapper()
    mapper.restore(mapped)
    used = int(mapped.state["association.next"][1])
    before = set(mapper.instances.ids.tolist())
    for frame in frames[9:]:
        mapper.process(frame)
    assert all(i in before or i >= used for i in mapper.instances.ids.tolist())


def test_objects_of_a_restored_scene_can_be_observed(mapped) -> None:
    mapper = new_mapper()
    mapper.restore(mapped)
    observation = mapper.observe(int(mapped.instances.ids[0]))
    assert len(observation.views) > 2 and observation.map_id == mapped.map_id


def test_a_snapshot_does_not_change_with_the_scene(frames, mapped) -> None:
    mapper = new_mapper()
    mapper.restore(mapped)
    snapshot = mapper.snapshot()
    before = {name: column.copy() for name, column in {**snapshot.gaussians.columns(), **snapshot.state}.items()}
    for frame in frames[9:]:
        mapper.process(frame)
    assert_same(before, {**snapshot.gaussians.columns(), **snapshot.state})


def test_a_map_without_state_is_shown_but_not_gone_on_from(frames, mapped) -> None:
    mapper = new_mapper()
    mapper.process(frames[0])
    before = everything(mapper)
    with pytest.raises(InvalidSceneError, match="can be shown but not gone on from"):
        mapper.restore(replace(mapped, state=None))
    assert_same(everything(mapper), before)


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("association.next", lambda c: np.array([2**40, c[1]]), "next segment and instance"),
        ("association.next", lambda c: np.array([1, c[1]]), "votes from 0 to"),
        ("association.next", lambda c: np.array([c[0], 1]), "segments.instance from"),
        ("association.segments.instance", lambda c: c[:-1], "different lengths"),
        ("association.pairs.counts", lambda c: c * np.nan, "not finite"),
        ("association.pairs.segments", lambda c: c + 999, "pairs.segments from"),
        ("association.aliases.ids", lambda c: np.array([(1, 2), (2, 1)]), "in a circle"),
        ("association.records.id", lambda c: np.roll(c + 1, 1), "has no record|have no record|were given out"),
        ("catalogue.shapes.axes", lambda c: c[:, :2], "column shapes.axes"),
        ("catalogue.entries.instance", lambda c: c.astype(np.float32), "column entries.instance"),
        ("mapper.keyframes.views.camera", lambda c: c * 1e6, "pixels for keyframes of"),
        ("mapper.keyframes.views.camera", lambda c: c * np.nan, "not finite"),
        ("mapper.keyframes.views.T_world_camera", lambda c: c * 2, "not a rigid transform"),
        ("mapper.keyframes.views.num_masks", lambda c: c + 1, "scores of masks for"),
        ("mapper.keyframes.pixels.mask", lambda c: c + 999, "has no score"),
        ("mapper.num_remembered", lambda c: np.array(99), "99 remembered"),
        ("mapper.optimizer.steps", lambda c: c[:-1], ""),
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(name, change, told, frames, mapped) -> None:
    mapper = new_mapper()
    mapper.process(frames[0])
    before = everything(mapper)
    with pytest.raises(InvalidSceneError, match=f"is damaged: .*{told}"):
        mapper.restore(replace(mapped, state={**mapped.state, name: change(mapped.state[name])}))
    if name != "mapper.keyframes.pixels.mask":  # which older maps have not
        with pytest.raises(InvalidSceneError, match="is missing"):
            mapper.restore(replace(mapped, state={k: v for k, v in mapped.state.items() if k != name}))
    assert_same(everything(mapper), before)


def test_a_map_from_before_masks_were_saved_is_gone_on_from_without_them(frames, mapped) -> None:
    mapper = new_mapper()
    mapper.restore(replace(mapped, state={k: v for k, v in mapped.state.items() if "mask" not in k}))
    assert [frame.masks for frame in mapper.keyframes] == [None] * len(mapper.keyframes)
    mapper.process(frames[9])
    assert set(mapped.instances.ids) <= set(mapper.instances.ids)


def test_votes_for_segments_that_never_were_are_refused(mapped) -> None:
    gaussians = mapped.gaussians.copied()
    gaussians.vote_ids[0, 0] = 2**30
    with pytest.raises(InvalidSceneError, match="votes from 0 to 1073741824"):
        new_mapper().restore(replace(mapped, gaussians=gaussians))
