"""Solids whose convex parts are known."""

import sys

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from instascene_ros.core.convex_parts import convex_parts, load_coacd
from instascene_ros.core.errors import BackendUnavailableError
from instascene_ros.core.meshing import Mesh, is_watertight

OUTLINE_M = np.array([(0, 0), (0.2, 0), (0.2, 0.05), (0.05, 0.05), (0.05, 0.2), (0, 0.2)])
HEIGHT_M, VOLUME_M3 = 0.1, 0.00175


def an_l() -> Mesh:
    """Two boxes at a right angle, as one solid."""
    n = len(OUTLINE_M)
    vertices_m = np.concatenate([np.c_[OUTLINE_M, np.full(n, z)] for z in (0, HEIGHT_M)])
    cap = np.array([(0, k, k + 1) for k in range(1, n - 1)])
    low, after = np.arange(n), (np.arange(n) + 1) % n
    sides = np.concatenate([np.stack([low, after, after + n], 1), np.stack([low, after + n, low + n], 1)])
    return Mesh(vertices_m.astype(np.float32), np.concatenate([cap[:, ::-1], cap + n, sides]).astype(np.int32))


def test_an_l_is_two_boxes() -> None:
    pytest.importorskip("coacd")
    parts = convex_parts(an_l(), max_parts=10)
    assert len(parts) == 2 and sum(part.volume_m3 for part in parts) == pytest.approx(VOLUME_M3, rel=0.01)
    for part in parts:
        assert is_watertight(part)
        assert part.volume_m3 == pytest.approx(ConvexHull(part.vertices_m.astype(np.float64)).volume, rel=1e-3)
    again = convex_parts(an_l(), max_parts=10)
    np.testing.assert_array_equal(again[0].vertices_m, parts[0].vertices_m)


def test_one_part_is_the_hull() -> None:
    pytest.importorskip("coacd")
    [part] = convex_parts(an_l(), max_parts=1)
    assert part.volume_m3 == pytest.approx(ConvexHull(an_l().vertices_m.astype(np.float64)).volume, rel=0.01)


def test_without_the_library_the_line_to_run_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coacd", None)
    with pytest.raises(BackendUnavailableError, match="pip install coacd"):
        load_coacd()
