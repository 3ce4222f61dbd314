"""Crumbs are cleared, parts are kept, labels do not mix."""

import numpy as np
import torch

from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.crumbs import without_crumbs

CONFIG = TrackingConfig(link_radius_m=0.02)


def blob(center_m: tuple[float, float, float], count: int) -> np.ndarray:
    return (np.array(center_m) + np.random.default_rng(count).uniform(-0.02, 0.02, (count, 3))).astype(np.float32)


def cleared(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return without_crumbs(torch.from_numpy(points), torch.from_numpy(labels), CONFIG).numpy()


def test_a_far_crumb_is_cleared_and_a_real_second_part_is_kept() -> None:
    points = np.concatenate([blob((0, 0, 0), 200), blob((0.2, 0, 0), 5), blob((0, 0.2, 0), 100)])
    cleaned = cleared(points, np.full(305, 7))
    assert (cleaned[:200] == 7).all() and (cleaned[200:205] == 0).all() and (cleaned[205:] == 7).all()


def test_a_crumb_inside_another_object_is_still_a_crumb() -> None:
    points = np.concatenate([blob((0, 0, 0), 200), blob((0.2, 0, 0), 300), blob((0.2, 0, 0), 6)])
    labels = np.repeat([1, 2, 1], [200, 300, 6])
    cleaned = cleared(points, labels)
    assert (cleaned == np.repeat([1, 2, 0], [200, 300, 6])).all()


def test_nothing_labelled_stays_nothing() -> None:
    assert cleared(np.zeros((3, 3), np.float32), np.zeros(3, int)).tolist() == [0, 0, 0]
    assert cleared(np.zeros((0, 3), np.float32), np.zeros(0, int)).tolist() == []
