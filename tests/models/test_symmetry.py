"""Symmetries of half-seen objects: right ones found, wrong ones refuted, and what they add kept to hidden places."""

from functools import cache

import numpy as np
import pytest

from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.meshing import Mesh, RayCaster
from instascene_ros.models.closure import Seen, look_at_object
from instascene_ros.models.symmetric import with_symmetry
from instascene_ros.models.symmetry import Symmetry, SymmetrySearch
from instascene_ros.tools.scene_generator import shapes
from instascene_ros.tools.scene_generator.shapes import Shape
from instascene_ros.tools.scene_generator.trajectory import orbit
from tests.observations import UP, observation_of
from tests.scenes import place, tabletop

CONFIG = CompletionConfig(max_voxels=60_000)
SHAPES: dict[str, Shape] = {
    "bowl": shapes.bowl(0.06, 0.05),
    "vase": shapes.bottle(0.035, 0.14, 0.012),
    "hammer": shapes.hammer(0.18, 0.08),
    "box": shapes.box((0.10, 0.06, 0.08)),
}


@cache
def seen_of(name: str) -> tuple[Seen, Mesh]:
    """From one side, 60 degrees; x of the shape's frame is turned by 35 degrees."""
    poses = orbit(6, start_deg=-20, span_deg=60)
    scene = tabletop([place(SHAPES[name], 0, 0, 35)], width=200, poses=poses)
    true = scene.objects[1]
    mesh = Mesh(true.vertices_m.astype(np.float32), true.faces.astype(np.int32))
    return look_at_object(observation_of(scene, 1), CONFIG), mesh


def test_motions_leave_what_they_should_in_place() -> None:
    point = np.array([0.1, 0.2, 0.3])
    mirror = Symmetry("mirror", np.array([1.0, 0, 0]), point)
    (T,) = mirror.motions()
    np.testing.assert_allclose(T @ [0.15, 1, 2, 1], [0.05, 1, 2, 1])
    turn = Symmetry("revolution", UP, point).motions(np.array([np.pi / 2]))[0]
    np.testing.assert_allclose(turn @ [0.15, 0.2, 0.7, 1], [0.1, 0.25, 0.7, 1], atol=1e-12)
    np.testing.assert_allclose(turn @ [0.1, 0.2, 9, 1], [0.1, 0.2, 9, 1], atol=1e-12)


@pytest.mark.parametrize("name", ["bowl", "vase"])
def test_the_axis_of_a_turned_thing_is_found_from_one_side(name: str) -> None:
    seen, _ = seen_of(name)
    axes = [s for s in SymmetrySearch(seen, UP).best() if s.kind == "revolution"]
    assert len(axes) == 1 and axes[0].contradicted < 0.15
    assert abs(axes[0].axis @ UP) > 0.99
    assert np.linalg.norm(axes[0].point_m[:2]) < 0.005  # it stands at the origin


def test_a_hammer_mirrors_in_the_plane_along_its_handle() -> None:
    seen, _ = seen_of("hammer")
    planes = [s for s in SymmetrySearch(seen, UP).best() if s.kind == "mirror"]
    across = np.array([-np.sin(np.radians(35)), np.cos(np.radians(35)), 0])  # of the handle
    assert any(abs(s.axis @ across) > 0.98 and abs(s.point_m @ across) < 0.005 for s in planes)


def test_free_space_refutes_wrong_symmetries() -> None:
    seen, _ = seen_of("box")
    search = SymmetrySearch(seen, UP)
    middle = np.array([0.0, 0.0, 0.04])
    right = search.judged(Symmetry("mirror", np.array([np.cos(np.radians(35)), np.sin(np.radians(35)), 0]), middle))
    turned = search.judged(Symmetry("revolution", UP, middle))
    skewed = search.judged(Symmetry("mirror", np.array([1.0, 0, 0]), middle))
    beside = search.judged(Symmetry("mirror", np.array([0.82, 0.57, 0.0]), middle + [0.02, 0.0, 0.0]))
    assert right.holds and right.contradicted < 0.08
    assert not turned.holds and not skewed.holds and not beside.holds
    assert right.score > max(turned.score, skewed.score, beside.score)


def test_copies_fill_hidden_places_alone() -> None:
    seen, true = seen_of("box")
    toward_camera = np.array([np.cos(np.radians(35)), np.sin(np.radians(35)), 0])
    more = with_symmetry(seen, Symmetry("mirror", toward_camera, np.array([0.0, 0.0, 0.04])))
    assert more.evidence is seen.evidence  # what was seen stays as it is
    new_m = more.points_m[len(seen.points_m) :]
    assert len(new_m) > 0.1 * len(seen.points_m)
    assert (new_m @ toward_camera < 0.0).mean() > 0.9  # the back, which no camera saw
    assert np.percentile(RayCaster(true).distance_m(new_m), 90) < 0.006
