"""Confidence falls with what was not seen and with thinness; doubts are said in words."""

from dataclasses import replace

import numpy as np
import pytest

from instascene_ros.core.confidence import confidence, doubts
from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.meshing import Mesh
from instascene_ros.core.objects import ObjectObservation
from instascene_ros.tools.scene_generator import shapes
from instascene_ros.tools.scene_generator.trajectory import orbit
from tests.observations import observation_of
from tests.scenes import place, tabletop

CONFIG = CompletionConfig()


def box(*size_m: float) -> Mesh:
    made = shapes.box(size_m, 0.001).mesh
    return Mesh(made.vertices_m.astype(np.float32), made.faces.astype(np.int32))


@pytest.fixture(scope="module")
def seen() -> ObjectObservation:
    scene = tabletop([place(shapes.box((0.08, 0.08, 0.08)))], width=100, poses=orbit(5, span_deg=90))
    return observation_of(scene, 1)


def test_confidence_is_the_share_of_volume_that_a_typical_error_leaves() -> None:
    cube = confidence(box(0.1, 0.1, 0.1), 1.0, 0.17)
    assert cube == pytest.approx(np.exp(-0.0015 * 6 / 0.1), abs=0.01)  # area over volume of a cube is 6 / side
    assert confidence(box(0.1, 0.1, 0.1), 0.3, 0.17) < cube
    assert confidence(box(0.1, 0.1, 0.005), 1.0, 0.14) < 0.6 * cube
    assert 0 <= confidence(Mesh(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]], np.int32)), 0.0, 0.1) <= 1


def test_what_was_seen_well_leaves_no_doubt(seen: ObjectObservation) -> None:
    assert doubts(seen, box(0.08, 0.08, 0.08), 0.5, CONFIG) == ""


def test_poor_reconstructions_are_told_in_words(seen: ObjectObservation) -> None:
    whole = box(0.08, 0.08, 0.08)
    assert "seen in 2 views" in doubts(replace(seen, views=seen.views[:2]), whole, 0.5, CONFIG)
    narrow = doubts(replace(seen, views=seen.views[:1] * 5), whole, 0.5, CONFIG)
    assert "all 5 views are within 0 degrees" in narrow and narrow.endswith("look at it again")
    assert "10% of its surface" in doubts(seen, whole, 0.1, CONFIG)
    elsewhere = Mesh(whole.vertices_m + np.float32(0.1), whole.faces)
    assert "views contradict 100% of the points" in doubts(seen, elsewhere, 0.5, CONFIG)
