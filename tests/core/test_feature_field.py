"""The contrastive field on hand-made traces: the loss by its definition, and defects of the released code avoided."""

import numpy as np
import pytest
import torch
from scenes import tabletop, three_objects
from traced import traced

from instascene_ros.core.config import Config, MappingConfig, RefinementConfig
from instascene_ros.core.offline.coarse_objects import CoarseObjects
from instascene_ros.core.offline.contrastive import prototype_loss
from instascene_ros.core.offline.feature_field import blended, spatial_classes, train_features
from instascene_ros.core.offline.feature_instances import (
    instances_by_density,
    instances_by_mean,
    similarity_to_objects,
)
from instascene_ros.core.offline.mask_clusters import MaskClusters
from instascene_ros.core.offline.traced_views import TracedViews
from instascene_ros.core.offline.verdicts import Verdicts
from instascene_ros.core.pipeline import SceneMapper
from instascene_ros.core.rendering import make_rasterizer

CONFIG = RefinementConfig(min_mask_gaussians=5, steps=300, samples=8 * 256, many_samples=8 * 256)


def objects_of(views: TracedViews, num_objects: int, each: int) -> CoarseObjects:
    """The coarse objects of traces in which object k is Gaussians k * each to (k + 1) * each."""
    means_m = np.repeat(np.arange(num_objects), each)[:, None] * np.ones((1, 3), np.float32)
    verdicts = Verdicts.of(views, CONFIG)
    return CoarseObjects.of(views, verdicts, MaskClusters.of(verdicts, CONFIG), means_m.astype(np.float32), CONFIG)


def naive_loss(features: np.ndarray, classes: np.ndarray) -> float:
    """Method 1.6, class by class and sample by sample."""
    present = np.unique(classes)
    means = {k: features[classes == k].mean(axis=0) for k in present}
    phi = {}
    for k in present:
        own = features[classes == k]
        spread = np.linalg.norm(own - means[k], axis=1).mean()
        phi[k] = np.clip(10 * spread / np.log(len(own) + 1000), 0.5, 1.0)
    total = 0.0
    for feature, own in zip(features, classes, strict=True):
        logits = np.array([feature @ means[k] / phi[k] for k in present])
        total += np.log(np.exp(logits).sum()) - feature @ means[own] / phi[own]
    return total


def test_loss_is_that_of_the_paper() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 16)).astype(np.float32)
    features[:80] += 3.0  # one tight class: its temperature is at the floor, those of the others above
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    classes = np.concatenate([np.zeros(80, int), rng.integers(2, 5, 120)])  # class 1 is absent
    loss = prototype_loss(torch.from_numpy(features), torch.from_numpy(classes), 7)
    assert loss.item() == pytest.approx(naive_loss(features, classes), rel=1e-4)


def test_samples_without_a_class_change_neither_loss_nor_gradients() -> None:
    features = torch.nn.functional.normalize(torch.randn(60, 16), dim=1).requires_grad_()
    classes = torch.randint(1, 4, (60,))
    some = torch.where(torch.arange(60) < 40, classes, -1)
    loss = prototype_loss(features, some, 5)
    assert loss.item() == pytest.approx(prototype_loss(features[:40], classes[:40], 5).item(), rel=1e-5)
    loss.backward()
    assert torch.isfinite(features.grad).all() and (features.grad[40:] == 0).all()
    assert prototype_loss(features, torch.full((60,), -1), 5).item() == 0.0


def test_blending_sampled_pixels_is_what_rasterising_gives() -> None:
    scene = tabletop(three_objects(), num_frames=2, width=80)
    rasterizer = make_rasterizer("cpu")
    mapper = SceneMapper(Config(mapping=MappingConfig(refine_steps=0)), rasterizer)
    for frame in scene.frames:
        mapper.process(frame)
    gaussians, frame = mapper.gaussians, mapper.keyframes[1]
    views = TracedViews.of(mapper.keyframes, gaussians, rasterizer, min_trace_weight=1e-6)
    features = torch.nn.functional.normalize(torch.randn(len(gaussians), 16), dim=1)
    image = rasterizer(gaussians, features, frame.camera, frame.T_world_camera).features
    second = int(views.contributors.first_pixel[1])
    pixels = torch.randint(0, 80 * 60, (500,))
    found = blended(features, views.contributors, pixels + second)
    torch.testing.assert_close(found, image.reshape(-1, 16)[pixels], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("num_objects", [2, 20])
def test_field_separates_objects(num_objects: int) -> None:
    """Also the first (defect 1 of method 1.7), and also more of them than there are dimensions (defect 2)."""
    each = 30
    masks = [list(range(k * each, (k + 1) * each)) for k in range(num_objects)]
    views = traced(num_objects * each, [masks] * 4)
    objects = objects_of(views, num_objects, each)
    assert objects.num_objects == num_objects
    features = train_features(views, objects, CONFIG)
    similarity = similarity_to_objects(features, objects.members).numpy()
    own = similarity[objects.members].reshape(num_objects, each)
    others = np.where(objects.members, -1.0, similarity).max(axis=1)
    assert own.min() > 0.9 > others.max()
    assert (instances_by_mean(features, objects.members, 0.9) == objects.members).all()


def test_every_object_is_supervised_under_its_own_number() -> None:
    """The released code leaves object 0 out in 3D and pulls object k to the prototype of k - 1 there."""
    views = traced(90, [[list(range(30)), list(range(30, 60)), list(range(60, 90))]] * 3)
    objects = objects_of(views, 3, 30)
    classes = spatial_classes(views, objects)
    assert sorted(np.unique(classes)) == [0, 1, 2]
    mask_class = objects.object_of_mask[:3] - 1
    assert [classes[0], classes[30], classes[60]] == mask_class.tolist()


def test_pixels_of_masks_of_several_objects_teach_nothing() -> None:
    """A merged mask in one of five views: both objects stay apart."""
    a, b = list(range(30)), list(range(30, 60))
    views = traced(60, [[a + b], *[[a, b]] * 4])
    objects = objects_of(views, 2, 30)
    assert not objects.trusted[0] and objects.num_objects == 2
    features = train_features(views, objects, CONFIG)
    assert float(features[0] @ features[45]) < 0.5


def test_no_masks_no_training() -> None:
    views = traced(10, [[], []])
    features = train_features(views, objects_of(views, 1, 10), CONFIG)
    assert features.shape == (10, 16) and torch.isfinite(features).all()


def test_density_finds_two_clusters_without_being_told_of_objects() -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(16, dtype=np.float32)[[0] * 300 + [5] * 300]
    features = centres + rng.normal(0, 0.01, centres.shape).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    means_m = rng.uniform(0, 1, (600, 3)).astype(np.float32)
    found = instances_by_density(features, means_m)
    assert (found[:300] == found[0]).mean() > 0.97 and (found[300:] == found[300]).mean() > 0.97
    assert found[0] != found[300] and found[0] > 0
    assert (instances_by_density(features[:5], means_m[:5]) == 0).all()


def test_density_finds_small_objects_among_more_points_than_it_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instascene_ros.core.offline.feature_instances.MAX_POINTS", 3500)
    rng, step_m = np.random.default_rng(0), 0.008
    table = np.stack(np.meshgrid(np.arange(75), np.arange(75), 0), axis=-1).reshape(-1, 3) * step_m
    cup = np.stack(np.meshgrid(np.arange(10), np.arange(10), 10), axis=-1).reshape(-1, 3) * step_m
    kinds = np.array([0] * len(table) + [5] * len(cup) + [9] * len(cup))
    features = np.eye(16, dtype=np.float32)[kinds] + rng.normal(0, 0.01, (len(kinds), 16)).astype(np.float32)
    means_m = np.concatenate([table, cup + [0.1, 0.1, 0], cup + [0.4, 0.4, 0]]).astype(np.float32)
    found = instances_by_density(features / np.linalg.norm(features, axis=1, keepdims=True), means_m)
    most = [np.bincount(found[kinds == kind]).argmax() for kind in (0, 5, 9)]
    assert len({*most}) == 3 and 0 not in most
    assert all((found[kinds == kind] == label).mean() > 0.9 for kind, label in zip((0, 5, 9), most, strict=True))
