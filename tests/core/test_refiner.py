"""Refining a whole scene: what it puts right, that ids stay, and that mapping goes on afterwards."""

from dataclasses import replace

import numpy as np
import pytest
from scenes import SyntheticScene, tabletop, three_objects
from scipy.spatial import cKDTree

from instascene_ros.core.config import Config, MappingConfig, RefinementConfig
from instascene_ros.core.errors import CancelledError, InvalidEditError
from instascene_ros.core.masks import Masks
from instascene_ros.core.offline.refiner import Refiner
from instascene_ros.core.pipeline import SceneMapper
from instascene_ros.core.rendering import make_rasterizer

CONFIG = Config(mapping=MappingConfig(refine_steps=0), refinement=RefinementConfig(steps=20))


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return tabletop(three_objects(), num_frames=14, width=160, noise_seed=1)


def mapped(scene: SyntheticScene, num_merged: int = 0) -> SceneMapper:
    """The scene mapped with masks in which the first `num_merged` views take objects 1 and 2 for one."""
    mapper = SceneMapper(CONFIG, make_rasterizer("cpu"))
    for index, (frame, truth) in enumerate(zip(scene.frames, scene.instances, strict=True)):
        labels = np.where(truth > 0, truth, frame.masks.labels + 10)
        if index < num_merged:
            labels[truth == 2] = 1
        mapper.process(replace(frame, masks=Masks.from_image(labels)))
    return mapper


@pytest.fixture
def mapper(scene: SyntheticScene) -> SceneMapper:
    """The scene mapped with good masks."""
    return mapped(scene)


def refined(mapper: SceneMapper) -> SceneMapper:
    mapper.adopt(Refiner(mapper.unrefined(), mapper.rasterizer, mapper.config).run())
    return mapper


def ious(mapper: SceneMapper, scene: SyntheticScene) -> dict[int, tuple[int, float]]:
    """For each true object, the published id that overlaps it most, and the IoU over Gaussians on its surface."""
    means, labels = mapper.gaussians.means_m.numpy(), mapper.labels()
    distances = np.stack([cKDTree(mesh.vertices_m).query(means)[0] for mesh in scene.objects.values()])
    truth = np.where((distances.min(axis=0) < 0.012) & (means[:, 2] > 0.008), distances.argmin(axis=0) + 1, 0)
    found = {}
    for k in scene.objects:
        candidates = {}
        for i in mapper.instances.ids.tolist():
            either = ((labels == i) | (truth == k)) & (means[:, 2] > 0.008)
            candidates[i] = float(((labels == i) & (truth == k))[either].mean())
        found[k] = max(candidates.items(), key=lambda item: item[1])
    return found


def test_refining_a_good_map_keeps_its_ids_and_is_no_worse(scene: SyntheticScene, mapper: SceneMapper) -> None:
    before = ious(mapper, scene)
    after = ious(refined(mapper), scene)
    assert {k: i for k, (i, _) in after.items()} == {k: i for k, (i, _) in before.items()}
    assert all(after[k][1] >= before[k][1] - 0.02 for k in scene.objects)
    assert min(iou for _, iou in after.values()) > 0.8


def test_refining_parts_what_early_views_had_merged(scene: SyntheticScene) -> None:
    mapper = mapped(scene, num_merged=4)
    after = ious(refined(mapper), scene)
    assert len({i for i, _ in after.values()}) == 3
    assert min(iou for _, iou in after.values()) > 0.75


def test_refining_merges_under_the_older_id_and_says_so(scene: SyntheticScene, mapper: SceneMapper) -> None:
    """An object whose Gaussians were given to two ids becomes one; clients can follow the absorbed id."""
    whole = ious(mapper, scene)[1][0]
    tracker, gaussians = mapper._tracker, mapper.gaussians
    rows = np.nonzero(mapper.labels() == whole)[0]
    half = rows[gaussians.means_m.numpy()[rows, 0] > np.median(gaussians.means_m.numpy()[rows, 0])]
    segment, other = tracker.next_segment, tracker.identities.next_id
    tracker.next_segment, tracker.identities.next_id = segment + 1, other + 1
    gaussians.vote_ids[half, 0], gaussians.vote_weights[half, 0] = segment, 1e6
    tracker.identities.instance_of[segment] = other
    tracker.identities.segments_of[other] = [segment]
    refined(mapper)
    row = mapper.instances.ids.tolist().index(whole)
    assert other in mapper.instances.merged_ids[row]
    assert other not in mapper.instances.ids


def test_mapping_goes_on_from_what_was_refined(scene: SyntheticScene, mapper: SceneMapper) -> None:
    refined(mapper)
    before = {k: i for k, (i, _) in ious(mapper, scene).items()}
    for frame in scene.frames[:6]:
        mapper.process(replace(frame, stamp_ns=frame.stamp_ns + 10**10))
    after = ious(mapper, scene)
    assert {k: i for k, (i, _) in after.items()} == before
    assert min(iou for _, iou in after.values()) > 0.75


def test_what_a_user_merged_stays_merged(scene: SyntheticScene, mapper: SceneMapper) -> None:
    ids = [i for i, _ in ious(mapper, scene).values()]
    mapper.merge(ids[:2])
    mapper.rename(ids[0], "both")
    labels = mapper.labels()
    refined(mapper)
    row = mapper.instances.ids.tolist().index(ids[0])
    assert mapper.instances.names[row] == "both"
    assert (mapper.labels()[labels == ids[0]] == ids[0]).mean() > 0.98


def test_cancelled_between_steps_it_leaves_the_map_alone(mapper: SceneMapper) -> None:
    steps: list[str] = []
    labels = mapper.labels()
    refiner = Refiner(mapper.unrefined(), mapper.rasterizer, mapper.config)
    with pytest.raises(CancelledError, match="training features"):
        refiner.run(lambda step, _: steps.append(step), cancelled=lambda: "training features" in steps)
    assert steps[0] == "tracing" and "associating" in steps
    assert (mapper.labels() == labels).all()


def test_a_map_that_changed_meanwhile_is_refused(scene: SyntheticScene, mapper: SceneMapper) -> None:
    refinement = Refiner(mapper.unrefined(), mapper.rasterizer, mapper.config).run()
    mapper.process(replace(scene.frames[0], stamp_ns=10**11))
    labels = mapper.labels()
    with pytest.raises(InvalidEditError, match="pause"):
        mapper.adopt(refinement)
    assert (mapper.labels() == labels).all()


def test_an_empty_map_can_be_refined() -> None:
    mapper = SceneMapper(CONFIG, make_rasterizer("cpu"))
    assert len(refined(mapper).instances) == 0


def test_a_map_without_masks_says_so(scene: SyntheticScene) -> None:
    mapper = SceneMapper(CONFIG, make_rasterizer("cpu"))
    for frame in scene.frames[:2]:
        mapper.process(replace(frame, masks=Masks.empty(120, 160)))
    with pytest.raises(InvalidEditError, match="none of the 2 remembered keyframes has masks"):
        Refiner(mapper.unrefined(), mapper.rasterizer, mapper.config).run()


def test_a_restored_map_is_refined_as_the_one_that_was_saved(scene: SyntheticScene) -> None:
    """Its views keep their masks."""
    one = mapped(scene, num_merged=5)
    other = SceneMapper(CONFIG, make_rasterizer("cpu"))
    other.restore(one.snapshot())
    assert all(
        np.array_equal(a.masks.labels, b.masks.labels) for a, b in zip(one.keyframes, other.keyframes, strict=True)
    )
    np.testing.assert_array_equal(refined(other).labels(), refined(one).labels())
    assert other.instances.ids.tolist() == one.instances.ids.tolist()
