"""The map keeps within its bounds, says what it refuses, and its cost follows the view, not time."""

import logging
from dataclasses import replace

import numpy as np
import torch
from walls import WALL_CONFIG, looking_from, mapper, wall

from instascene_ros.core import mapper as mapper_module
from instascene_ros.core.gaussian_map import GaussianMap


def test_what_the_camera_has_left_behind_is_dropped_beyond_the_crop_radius() -> None:
    one, gaussians = mapper(replace(WALL_CONFIG, crop_radius_m=2.0)), GaussianMap.empty()
    for stamp in range(12):
        one.integrate(wall(stamp_ns=stamp, T_world_camera=looking_from(0.5 * stamp)), gaussians)
    assert gaussians.means_m[:, 0].min() > 3.0 - 2.0  # the oldest of the six newest cameras stands at 3 m
    assert gaussians.means_m[:, 0].max() > 5.5
    assert len(one._optimizer.columns()["steps"]) == len(gaussians)


def test_no_crop_radius_drops_nothing() -> None:
    one, gaussians = mapper(), GaussianMap.empty()
    for stamp in range(12):
        one.integrate(wall(stamp_ns=stamp, T_world_camera=looking_from(0.5 * stamp)), gaussians)
    assert gaussians.means_m[:, 0].min() < 0


def test_a_full_map_gives_up_what_it_is_least_sure_of_and_out_of_view(caplog) -> None:
    limit = 1200
    one, gaussians = mapper(replace(WALL_CONFIG, max_gaussians=limit)), GaussianMap.empty()
    one.integrate(wall(), gaussians)
    sure = len(gaussians) // 2
    gaussians.confidence[:sure], gaussians.confidence[sure:] = 5.0, 0.3
    before = gaussians.means_m[:sure].clone()
    with caplog.at_level(logging.WARNING):
        one.integrate(wall(stamp_ns=1, T_world_camera=looking_from(5.0)), gaussians)
    assert len(gaussians) == limit
    assert torch.equal(gaussians.means_m[:sure], before)  # what is sure stays
    assert (gaussians.birth_ns == 1).sum() == limit - sure - (gaussians.birth_ns[sure:] == 0).sum()
    assert one.num_refused == 0 and not caplog.records


def test_what_does_not_fit_is_refused_counted_and_told_once(caplog) -> None:
    one, gaussians = mapper(replace(WALL_CONFIG, max_gaussians=100)), GaussianMap.empty()
    with caplog.at_level(logging.WARNING):
        one.integrate(wall(), gaussians)
        refused = one.num_refused
        one.integrate(wall(stamp_ns=1), gaussians)
    assert len(gaussians) == 100 and refused > 300 and one.num_refused > refused
    (record,) = caplog.records
    assert "mapping.max_gaussians" in record.message


def test_a_keyframe_costs_as_many_renders_and_steps_however_long_the_map_runs(monkeypatch) -> None:
    counts = []
    one, gaussians = mapper(replace(WALL_CONFIG, refine_steps=4, max_keyframes=10)), GaussianMap.empty()
    for name in ("render", "refine"):
        original = getattr(mapper_module, name)

        def counted(*args, original=original, name=name, **named):
            counts[-1][name] = counts[-1].get(name, 0) + (len(args[1]) if name == "refine" else 1)
            return original(*args, **named)

        monkeypatch.setattr(mapper_module, name, counted)
    for stamp in range(30):
        counts.append({})
        one.integrate(wall(stamp_ns=stamp, T_world_camera=looking_from(0.02 * (stamp % 5))), gaussians)
    assert all(count == {"render": 2, "refine": 4} for count in counts[1:])
    assert len(one.keyframes) == 10
    assert len(one._exposure._gains) == 10


def test_refinement_visits_old_keyframes_too() -> None:
    one, gaussians = mapper(replace(WALL_CONFIG, refine_steps=2)), GaussianMap.empty()
    visited = set()
    for stamp in range(40):
        one.integrate(wall(stamp_ns=stamp, T_world_camera=looking_from(0.01 * stamp)), gaussians)
        visited |= {view.frame.stamp_ns for view in one._views_to_refine()} - {stamp}
    old = np.array(sorted(visited))
    assert len(old) > 10 and old.min() < 8


def test_a_full_map_whose_surfels_split_while_the_camera_moves_on_stays_whole() -> None:
    """What is split in a keyframe, what is seeded there and what makes room for it are rows of one map."""
    rgb = np.full((48, 64, 3), 128, np.uint8)
    rgb[:] = np.where((np.arange(64) // 4 % 2)[None, :, None], 200, 60)
    config = replace(WALL_CONFIG, seed_stride_px=4, refine_steps=1, max_gaussians=400)
    one, gaussians = mapper(config), GaussianMap.empty()
    for stamp in range(24):
        one.integrate(wall(stamp_ns=stamp, rgb=rgb, T_world_camera=looking_from(0.1 * stamp)), gaussians)
        assert len(one._optimizer.columns()["steps"]) == len(gaussians) <= 400
