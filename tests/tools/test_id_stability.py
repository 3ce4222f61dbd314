"""Id figures on timelines whose answer can be counted by hand."""

import numpy as np
import pytest
import torch

from instascene_ros.core.camera import Camera
from instascene_ros.core.frame import Frame
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.tools.bench_ids import WatchedMap, truth_of
from instascene_ros.tools.id_stability import IdTimeline, Snapshot


def timeline(*labels: list[int], truth: list[int], objects: set[int]) -> IdTimeline:
    """Ten Gaussians whose labels change from keyframe to keyframe; frames 0, 5, 10, ..."""
    found, alive = IdTimeline(), np.zeros(0, bool)
    for index, row in enumerate(labels):
        found.add(Snapshot(5 * index, np.array(row), np.array(truth), frozenset(objects), alive))
        alive = np.ones(len(row), bool)
    return found


def test_switches_fragments_and_waits_are_counted_per_object() -> None:
    one, two, both = [3] * 4 + [7] * 4 + [0] * 2, [5] * 4 + [7] * 4 + [0] * 2, [3, 3, 5, 5] + [7] * 4 + [0] * 2
    found = timeline(one, two, both, one, truth=[1] * 4 + [2] * 4 + [0] * 2, objects={1, 2})
    figures = found.figures()
    assert figures["switches per object"] == 2 / 2  # 3 -> 5 -> (no match) -> 3, and none of object 2
    assert figures["matched share"] == 7 / 8 and figures["fragments per object"] == 9 / 8
    assert figures["frames to last id change"] == (15 + 0) / 2
    after = found.figures({5: 3})
    assert (after["switches per object"], after["matched share"], after["fragments per object"]) == (0, 1, 1)


def test_a_label_that_leaks_over_half_the_background_is_no_match() -> None:
    found = timeline([3] * 10, truth=[1] * 4 + [0] * 6, objects={1})
    assert found.figures()["matched share"] == 0


def test_churn_counts_survivors_only_and_only_once_things_have_settled() -> None:
    found, labels = IdTimeline(), np.array([1, 1, 2, 2])
    for index in range(13):
        found.add(Snapshot(index, labels, np.full(4, -1), frozenset(), np.ones(4 if index else 0, bool)))
    changed = np.array([1, 2, 2, 9])  # the third Gaussian is gone, so rows 0, 1 and 3 live on; one of them changed
    found.add(Snapshot(13, changed, np.full(4, -1), frozenset(), np.array([True, True, False, True])))
    assert found.figures()["churn max %"] == pytest.approx(100 / 3)
    assert found.figures()["churn mean %"] == pytest.approx(100 / 3 / 3)


def surfels(xs: list[float], z_m: float = 1.0) -> GaussianMap:
    n = len(xs)
    means = torch.tensor([[x, 0.0, z_m] for x in xs])
    return GaussianMap.from_surfels(
        means, torch.tensor([[1.0, 0, 0, 0]]).repeat(n, 1), torch.full((n, 2), 0.01), torch.full((n,), 0.9), means * 0
    )


def test_a_watched_map_knows_which_of_its_gaussians_have_lived_on() -> None:
    watched = WatchedMap.empty()
    watched.append(surfels([0, 1, 2, 3]))
    assert watched.survivors().tolist() == []
    watched.append(surfels([4, 5]))
    watched.keep(torch.tensor([True, False, True, True, False, True]))
    watched.keep(torch.tensor([True, True, False, True]))
    assert watched.survivors().tolist() == [True, False, True, False]
    assert watched.means_m[:, 0].tolist() == [0, 2, 5] and watched.survivors().tolist() == [True] * 3


def test_truth_is_projected_onto_what_the_frame_shows() -> None:
    camera = Camera(100, 100, 10, 0, 21, 1)
    depth = np.full((1, 21), 1.0, np.float32)
    depth[0, 15] = 0.5  # something in front of the third Gaussian
    frame = Frame(0, camera, np.zeros((1, 21, 3), np.uint8), depth, np.eye(4))
    objects = np.arange(21)[None] // 10
    assert truth_of(surfels([-0.05, 0.0, 0.05, 0.3, 0.099]), frame, objects).tolist() == [0, 1, -1, -1, 2]
