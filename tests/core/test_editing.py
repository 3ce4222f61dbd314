"""Edits happen whole or not at all, last through later frames, and survive being saved."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scenes import SyntheticScene, place, tabletop, three_objects
from scipy.spatial import cKDTree

from instascene_ros.core.association_state import columns_of, tracker_from
from instascene_ros.core.config import Config, MappingConfig
from instascene_ros.core.errors import InvalidEditError, UnknownInstanceError
from instascene_ros.core.instances import InstanceState
from instascene_ros.core.pipeline import SceneMapper
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.tools.scene_generator import shapes

CONFIG = Config(mapping=MappingConfig(refine_steps=0))


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return tabletop(three_objects(), num_frames=12, width=160, noise_seed=1)


def after(scene: SyntheticScene, count: int) -> SceneMapper:
    mapper = SceneMapper(CONFIG, make_rasterizer("cpu"))
    for frame in scene.frames[:count]:
        mapper.process(frame)
    return mapper


def owners(mapper: SceneMapper, scene: SyntheticScene) -> dict[int, set[int]]:
    """Confirmed instance -> the objects that a fifth of its Gaussians each lie on."""
    labels, means = mapper.labels(), mapper.gaussians.means_m.numpy()
    nearest = np.stack([cKDTree(m.vertices_m).query(means)[0] for m in scene.objects.values()]).argmin(0) + 1
    shares = {
        int(i): np.bincount(nearest[labels == i], minlength=4) / (labels == i).sum() for i in mapper.instances.ids
    }
    confirmed = mapper.instances.ids[mapper.instances.states == InstanceState.CONFIRMED].tolist()
    return {i: set(np.nonzero(shares[i] > 0.2)[0].tolist()) for i in confirmed}


def id_of(mapper: SceneMapper, scene: SyntheticScene, target: int) -> int:
    return next(i for i, found in owners(mapper, scene).items() if found == {target})


def test_a_merge_keeps_the_first_id_for_good_although_every_later_view_shows_two_objects(scene) -> None:
    mapper = after(scene, 6)
    first, second = id_of(mapper, scene, 2), id_of(mapper, scene, 1)
    assert mapper.merge([first, second]) == (first, second)
    assert second not in mapper.instances.ids and (mapper.labels() != second).all()
    for frame in scene.frames[6:]:
        mapper.process(frame)
    assert owners(mapper, scene)[first] == {1, 2}
    assert second in mapper.instances.merged_ids[mapper.instances.ids.tolist().index(first)]
    assert len(owners(mapper, scene)) == 2


def test_a_removed_instance_takes_its_gaussians_along_and_comes_back_under_a_new_id(scene) -> None:
    mapper = after(scene, 6)
    gone, used = id_of(mapper, scene, 3), max(mapper.instances.ids)
    labels, count = mapper.labels(), len(mapper.gaussians)
    assert mapper.remove([gone]) == (gone,)
    assert len(mapper.gaussians) <= count - (labels == gone).sum()
    assert gone not in mapper.instances.ids and gone not in mapper.labels()
    for frame in scene.frames[6:]:
        assert gone not in mapper.process(frame).instances.ids
    assert id_of(mapper, scene, 3) > used


def test_a_name_is_a_new_revision_lasts_and_passes_to_the_instance_that_absorbs(scene) -> None:
    mapper = after(scene, 6)
    mug, box = id_of(mapper, scene, 3), id_of(mapper, scene, 1)
    row = mapper.instances.ids.tolist().index(mug)
    before = mapper.instances.revisions[row]
    assert mapper.rename(mug, "my mug") == (mug,)
    assert (mapper.instances.names[row], mapper.instances.revisions[row]) == ("my mug", before + 1)
    mapper.process(scene.frames[6])
    assert mapper.instances.names[mapper.instances.ids.tolist().index(mug)] == "my mug"
    mapper.merge([box, mug])
    assert mapper.instances.names[mapper.instances.ids.tolist().index(box)] == "my mug"


@pytest.mark.parametrize(
    ("edit", "error", "told"),
    [
        (lambda m: m.merge([int(m.instances.ids[0]), 999]), UnknownInstanceError, r"no instance 999 .* it has \["),
        (lambda m: m.remove([int(m.instances.ids[0]), 998, 999]), UnknownInstanceError, "no instance 998, 999"),
        (lambda m: m.rename(999, "x"), UnknownInstanceError, "no instance 999"),
        (lambda m: m.merge([int(m.instances.ids[0])] * 2), InvalidEditError, "at least two different"),
    ],
)
def test_an_edit_that_cannot_be_done_changes_nothing(
    scene, edit: Callable[[SceneMapper], object], error: type[Exception], told: str
) -> None:
    mapper = after(scene, 3)
    before, labels = mapper.instances, mapper.labels()
    with pytest.raises(error, match=told):
        edit(mapper)
    assert mapper.instances is before and np.array_equal(mapper.labels(), labels)


def test_a_merged_object_is_published_whatever_its_size() -> None:
    far = tabletop([place(shapes.box((0.08, 0.08, 0.1)), -0.2), place(shapes.box((0.08, 0.08, 0.1)), 0.2)], 6)
    config = replace(CONFIG, tracking=replace(CONFIG.tracking, max_object_size_m=0.3))
    mapper = SceneMapper(config, make_rasterizer("cpu"))
    for frame in far.frames:
        mapper.process(frame)
    first, second = mapper.instances.ids.tolist()
    mapper.merge([first, second])
    mapper.process(far.frames[0])
    assert mapper.instances.ids.tolist() == [first]
    assert mapper.instances.box_sizes_m[0].max() == pytest.approx(0.48, abs=0.02)


def test_association_goes_on_from_its_columns_as_if_it_had_never_stopped(scene) -> None:
    one, other = after(scene, 6), after(scene, 6)
    ids = other.instances.ids.tolist()
    for mapper in (one, other):
        mapper.merge([ids[1], ids[0]])
        mapper.rename(ids[2], "mug")
    columns = {name: column.copy() for name, column in columns_of(other._tracker).items()}
    other._tracker = tracker_from(columns, CONFIG.tracking, other.gaussians)
    for frame in scene.frames[6:]:
        one.process(frame)
        other.process(frame)
    assert np.array_equal(one.labels(), other.labels())
    assert one.instances.names == other.instances.names and one.instances.merged_ids == other.instances.merged_ids
    assert np.array_equal(one.instances.scores, other.instances.scores)
