"""AP of instances: known answers, and agreement with the evaluation tool beside the repository where there is one."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.tools.instance_metric import Reference, average_precision


def scene_of(folder: Path, rng: np.random.Generator) -> tuple[Path, np.ndarray, np.ndarray]:
    """Three balls of 10 cm on a table as ground truth, with the points and objects of its reference."""
    objects = np.repeat([1, 2, 3], 400)
    directions = rng.normal(size=(1200, 3))
    points = 0.05 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    points += np.array([[-0.2, 0, 0.06], [0, 0, 0.06], [0.2, 0, 0.06]])[objects - 1]
    table = np.c_[rng.uniform(-0.3, 0.3, (800, 2)), np.zeros(800)]
    points, objects = np.concatenate([points, table]), np.concatenate([objects, np.zeros(800, int)])
    weight = np.where(objects > 0, 1.0, 1.7)
    np.savez(folder / "reference.npz", points=points, instance=objects, weight=weight)
    return folder, points, objects


def test_precision_and_recall_by_hand() -> None:
    iou = np.array([[0.9, 0.0, 0.0], [0.0, 0.6, 0.0], [0.55, 0.0, 0.0], [0.0, 0.0, 0.3]])
    confident_first = np.array([0.9, 0.8, 0.7, 0.1])
    # Two of three objects found before the first error.
    assert average_precision(iou, confident_first, 0.5) == pytest.approx(2 / 3)
    # All scores equal: precision 2/4 times recall 2/3.
    assert average_precision(iou, np.ones(4), 0.5) == pytest.approx(2 / 4 * 2 / 3)
    assert average_precision(iou, confident_first, 0.95) == 0.0
    assert average_precision(iou, confident_first, 0.25) == pytest.approx(2 / 3 + 1 / 3 * 3 / 4)
    assert average_precision(np.zeros((0, 3)), np.zeros(0), 0.5) == 0.0


def test_the_truth_scores_one_and_a_merge_costs_what_it_should(tmp_path: Path) -> None:
    folder, points, objects = scene_of(tmp_path, np.random.default_rng(0))
    reference = Reference.open(folder)
    ids = np.array([0, 7, 5, 9])[objects]
    perfect = reference.score(points, ids, dict.fromkeys((5, 7, 9), 1.0))
    assert perfect.ap == perfect.ap50 == perfect.mean_best_iou == 1.0 and perfect.num_objects == 3
    merged = reference.score(points, np.where(ids == 5, 7, ids), {7: 0.4, 9: 0.9})
    # Object 3 is whole, the pair has IoU 1/2 with each: it counts at 0.5 alone.
    assert merged.ap50 == pytest.approx(2 / 3) and merged.ap == pytest.approx((2 / 3 + 9 * 1 / 3) / 10)
    with_table = np.where(objects == 0, 4, ids)
    assert reference.score(points, with_table, {4: 1.0, 5: 1.0, 7: 1.0, 9: 1.0}) == perfect  # background is not scored
    nothing = reference.score(np.zeros((0, 3)), np.zeros(0, int), {})
    assert nothing.ap == nothing.mean_best_iou == 0.0 and nothing.num_predicted == 0


def test_a_scene_without_ground_truth_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSceneError, match="reference.npz"):
        Reference.open(tmp_path)


@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_the_evaluation_tool(tmp_path: Path, tool: ModuleType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    folder, points, objects = scene_of(tmp_path, rng)
    predicted = points + rng.normal(0, 0.002 + 0.004 * rng.random(), points.shape)
    labels = np.where(objects > 0, objects + 10, 0)
    labels[rng.random(len(labels)) < 0.3] = rng.integers(0, 14)
    labels[(objects == 1) & (points[:, 0] > rng.uniform(-0.25, -0.15))] = 20  # a split
    labels[(objects == 0) & (points[:, 0] > 0.1)] = 21  # table
    scores = {int(i): float(rng.choice([0.2, 0.5, 0.9])) for i in np.unique(labels)}
    ours = Reference.open(folder).score(predicted, labels, scores)
    theirs = tool.eval_instances(str(folder), predicted, labels, scores)
    ones = tool.eval_instances(str(folder), predicted, labels)
    expected = (theirs["AP"], theirs["AP50"], theirs["AP25"], ones["AP"], ones["AP50"], theirs["mean_best_iou"])
    found = (ours.ap, ours.ap50, ours.ap25, ours.ap_ones, ours.ap50_ones, ours.mean_best_iou)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert (ours.num_objects, ours.num_predicted) == (theirs["n_gt"], theirs["n_pred"])
