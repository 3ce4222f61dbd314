"""The rendering benchmark measures what it says."""

import itertools

import numpy as np
import pytest

from instascene_ros.core.camera import Camera
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.core.rendering.render import render
from instascene_ros.tools.bench_rendering import bench_rendering, wavy_wall


def test_the_wall_fills_the_view() -> None:
    camera = Camera(40.0, 40.0, 23.5, 17.5, 48, 36)
    rendering = render(make_rasterizer("cpu"), wavy_wall(4000, camera), camera, np.eye(4))
    assert rendering.alpha.mean() > 0.95
    assert rendering.depth_m[rendering.alpha > 0.9].min() > 0.7 and rendering.depth_m.max() < 2.3


def test_times_are_those_of_the_clock() -> None:
    ticks = itertools.count(0.0, 0.002)  # every look at the clock is 2 ms after the one before
    times = bench_rendering(make_rasterizer("cpu"), 32, 200, repeats=2, clock=lambda: next(ticks))
    for spread in (times.forward_ms, times.traced_ms, times.trained_ms):
        assert (spread.median, spread.p10, spread.p90) == pytest.approx((2.0, 2.0, 2.0))
    assert times.num_surfels == 200 and 0 < times.pairs_per_px < 9
