"""Boxes and observed fractions of known shapes."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from test_background import RNG, Surface, box

from instascene_ros.core.shape import Samples, boxes, observed_fraction

UP = np.array([0.0, 0.0, 1.0])


def samples(surface: Surface) -> Samples:
    order = RNG.permutation(len(surface[0]))[:1024]
    points, normals = (a[order].astype(np.float32)[None] for a in surface)
    return Samples(points, normals, np.ones((1, len(order)), bool))


def turned(surface: Surface, rotation: Rotation, at_m: tuple[float, float, float] = (0, 0, 0)) -> Surface:
    return rotation.apply(surface[0]) + at_m, rotation.apply(surface[1])


@pytest.mark.parametrize("yaw_deg", [0, 25, 90, 140])
def test_a_box_on_a_table_has_an_upright_box_of_its_size(yaw_deg: float) -> None:
    known = turned(box(0.2, 0.1, 0.3), Rotation.from_euler("z", yaw_deg, degrees=True), (1, 2, 0.15))
    center_m, axes, size_m = boxes(samples(known), UP, [None])[0]
    assert axes[:, 2] == pytest.approx(UP, abs=1e-6) and np.linalg.det(axes) == pytest.approx(1, abs=1e-5)
    assert center_m == pytest.approx([1, 2, 0.15], abs=0.006)
    assert size_m == pytest.approx([0.2, 0.1, 0.3], abs=0.012)


def test_a_leaning_board_has_a_tilted_box() -> None:
    known = turned(box(0.3, 0.02, 0.4), Rotation.from_euler("xz", [35, 20], degrees=True))
    _, axes, size_m = boxes(samples(known), UP, [None])[0]
    assert np.sort(size_m) == pytest.approx([0.02, 0.3, 0.4], abs=0.02)
    assert np.linalg.det(axes) == pytest.approx(1, abs=1e-5)


def test_a_known_shape_lends_its_axes_and_what_is_not_valid_does_not_count() -> None:
    one = samples(box(0.2, 0.1, 0.3))
    padded = Samples(
        *(np.concatenate([a, a + 9], axis=1) for a in (one.points_m, one.normals)), np.arange(2048)[None] < 1024
    )
    fitted = boxes(one, UP, [None])[0]
    for a, b in zip(boxes(padded, UP, [None])[0], fitted, strict=True):
        assert a == pytest.approx(b, abs=1e-5)


def seen(faces: list[tuple[float, tuple[int, int, int]]]) -> float:
    """Observed fraction of some faces (area, normal)."""
    flux = sum(area * np.array(normal) for area, normal in faces)
    return observed_fraction(sum(area for area, _ in faces), np.array(flux, np.float32))


X, Y, TOP = (1.0, (1, 0, 0)), (1.0, (0, 1, 0)), (1.0, (0, 0, 1))


def test_the_unseen_side_of_an_object_seen_all_around_is_its_underside() -> None:
    around = [X, (1.0, (-1, 0, 0)), Y, (1.0, (0, -1, 0)), TOP]
    assert seen(around) == pytest.approx(5 / 6)
    assert seen([*around, (1.0, (0, 0, -1))]) == pytest.approx(1)


def test_fewer_faces_are_a_smaller_fraction() -> None:
    assert seen([X]) == pytest.approx(0.5)  # a wall: as much again must close it
    assert seen([X]) < seen([X, Y]) < seen([X, Y, TOP]) < 0.65
    assert observed_fraction(0.0, np.zeros(3, np.float32)) == 0
