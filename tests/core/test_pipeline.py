"""The whole route on scenes whose answer is known: objects come out once each, with ids that stay."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scenes import place, tabletop, three_objects
from scipy.spatial import cKDTree

from instascene_ros.core.config import Config, MappingConfig
from instascene_ros.core.errors import InvalidFrameError, UnknownInstanceError
from instascene_ros.core.frame import Frame
from instascene_ros.core.instances import InstanceState
from instascene_ros.core.masks import Masks
from instascene_ros.core.pipeline import SceneMapper
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.tools.scene_generator import shapes

CONFIG = Config(mapping=MappingConfig(refine_steps=0))


@pytest.fixture(scope="module")
def scene():
    return tabletop(three_objects(), num_frames=14, width=160, noise_seed=1)


def mapped(frames: list[Frame]) -> SceneMapper:
    mapper = SceneMapper(CONFIG, make_rasterizer("cpu"))
    for frame in frames:
        mapper.process(frame)
    return mapper


def owners(mapper: SceneMapper, scene) -> dict[int, int]:
    """Published instance -> object whose surface most of its Gaussians lie on."""
    labels, means = mapper.labels(), mapper.gaussians.means_m.numpy()
    trees = {k: cKDTree(mesh.vertices_m) for k, mesh in scene.objects.items()}
    nearest = np.stack([tree.query(means)[0] for tree in trees.values()]).argmin(0) + 1
    return {int(i): int(np.bincount(nearest[labels == i]).argmax()) for i in mapper.instances.ids}


def confirmed(mapper: SceneMapper) -> set[int]:
    return set(mapper.instances.ids[mapper.instances.states == InstanceState.CONFIRMED].tolist())


def with_masks(frame: Frame, image: np.ndarray) -> Frame:
    return replace(frame, masks=Masks.from_image(image.astype(np.int32)))


def test_three_objects_come_out_once_each_and_the_table_does_not(scene) -> None:
    mapper = mapped(scene.frames)
    found = owners(mapper, scene)
    assert sorted(found[i] for i in confirmed(mapper)) == [1, 2, 3]
    labels = mapper.labels()
    on_table = mapper.gaussians.means_m.numpy()[:, 2] < 0.003
    assert (labels[on_table] > 0).mean() < 0.05
    for row, instance in enumerate(mapper.instances.ids):
        if int(instance) in confirmed(mapper):
            vertices = scene.objects[found[int(instance)]].vertices_m
            center = (vertices.min(0) + vertices.max(0)) / 2
            assert np.abs(mapper.instances.box_centers_m[row] - center).max() < 0.015


def test_ids_stay_while_the_camera_moves(scene) -> None:
    mapper = SceneMapper(CONFIG, make_rasterizer("cpu"))
    seen: dict[int, set[int]] = {}
    for frame in scene.frames:
        mapper.process(frame)
        for instance, owner in owners(mapper, scene).items():
            if instance in confirmed(mapper):
                seen.setdefault(owner, set()).add(instance)
    assert sorted(map(len, seen.values())) == [1, 1, 1]


def test_objects_that_some_masks_merge_and_some_split_still_come_apart_and_together() -> None:
    scene = tabletop([place(shapes.box((0.06, 0.06, 0.10)), -0.031), place(shapes.box((0.06, 0.06, 0.06)), 0.031)], 16)
    frames = []
    for index, (frame, ids) in enumerate(zip(scene.frames, scene.instances, strict=True)):
        image = np.where(ids > 0, ids, 9)
        if index < 3:  # both in one mask at the very start
            image = np.where(ids > 0, 1, 9)
        if index in (6, 7):  # object 1 in two masks
            columns = np.arange(ids.shape[1])[None, :]
            image = np.where((ids == 1) & (columns > np.nonzero((ids == 1).any(0))[0].mean()), 5, image)
        if index == 10:  # object 2 missing
            image = np.where(ids == 2, 0, image)
        frames.append(with_masks(frame, image))
    mapper = mapped(frames)
    assert sorted(owners(mapper, scene)[i] for i in confirmed(mapper)) == [1, 2]


def test_an_object_that_returns_after_a_long_absence_has_its_old_id(scene) -> None:
    mapper = mapped(scene.frames[:8])
    before = {i: o for i, o in owners(mapper, scene).items() if i in confirmed(mapper)}
    hidden = [with_masks(f, np.where(m == 2, 9, m)) for f, m in zip(scene.frames, scene.instances, strict=True)]
    for frame, ids in zip(hidden[8:11], scene.instances[8:11], strict=True):
        mapper.process(replace(frame, depth_m=np.where(ids == 2, 0, frame.depth_m).astype(np.float32)))
    for frame in scene.frames[11:]:
        mapper.process(frame)
    after = owners(mapper, scene)
    assert all(after[i] == owner for i, owner in before.items())


def test_frames_without_masks_map_but_name_nothing(scene) -> None:
    mapper = mapped([replace(f, masks=None) for f in scene.frames[:3]])
    assert len(mapper.gaussians) > 500 and len(mapper.instances) == 0


def test_empty_masks_are_no_error(scene) -> None:
    frame = scene.frames[0]
    mapper = mapped([replace(frame, masks=Masks.empty(frame.camera.height, frame.camera.width))])
    assert len(mapper.instances) == 0


def test_a_frame_without_usable_depth_is_refused_and_changes_nothing(scene) -> None:
    mapper = mapped(scene.frames[:2])
    before, count = mapper.gaussians.columns(), len(mapper.keyframes)
    frame = scene.frames[2]
    with pytest.raises(InvalidFrameError, match="no pixel has depth"):
        mapper.process(replace(frame, depth_m=np.zeros_like(frame.depth_m)))
    after = mapper.gaussians.columns()
    assert all(np.array_equal(before[name], after[name]) for name in before) and len(mapper.keyframes) == count


def test_depth_in_other_units_is_refused_with_its_median(scene) -> None:
    """Millimetres that call themselves metres: the commonest mistake of drivers."""
    frame = scene.frames[0]
    with pytest.raises(InvalidFrameError, match=r"the median is 1234 m: .*16UC1 is millimetres.*depth_scale"):
        mapped([replace(frame, depth_m=np.where(frame.depth_m > 0, 1234, 0).astype(np.float32))])


def test_reset_forgets_everything_and_voids_the_map_id(scene) -> None:
    mapper = mapped(scene.frames[:3])
    old = mapper.map_id
    mapper.reset()
    assert mapper.map_id != old and len(mapper.gaussians) == 0 and len(mapper.instances) == 0
    mapper.process(scene.frames[0])
    assert len(mapper.gaussians) > 0


def test_an_unknown_instance_is_named_together_with_those_that_exist(scene) -> None:
    mapper = mapped(scene.frames[:4])
    with pytest.raises(UnknownInstanceError, match=r"no instance 999 .* it has \["):
        mapper.observe(999)


def test_revisions_rise_only_when_an_instance_changed(scene) -> None:
    mapper = SceneMapper(CONFIG, make_rasterizer("cpu"))
    revisions: dict[int, int] = {}
    for frame in scene.frames:
        update = mapper.process(frame)
        now = dict(zip(update.instances.ids.tolist(), update.instances.revisions.tolist(), strict=True))
        for instance, revision in now.items():
            assert (revision > revisions.get(instance, 0)) == (instance in update.changed_ids)
        revisions |= now


def test_every_published_instance_has_points_also_after_its_gaussians_were_pruned(scene) -> None:
    mapper = mapped(scene.frames[:6])
    instance = int(mapper.instances.ids[0])
    own = torch.from_numpy(mapper.labels() == instance)
    mapper._mapper._keep(~own, mapper.gaussians)  # as if views had looked through it
    elsewhere = scene.frames[6]
    update = mapper.process(replace(elsewhere, masks=Masks.empty(elsewhere.camera.height, elsewhere.camera.width)))
    assert instance in update.removed_ids
    assert set(mapper.instances.ids.tolist()) == set(np.unique(mapper.labels()).tolist()) - {0}
