"""Support surfaces and rooms are told from objects by shape, not by size alone."""

import numpy as np
import pytest
from jaxtyping import Float

from instascene_ros.core.background import is_background
from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.shape import Samples

Surface = tuple[Float[np.ndarray, "P 3"], Float[np.ndarray, "P 3"]]  # points, outward normals
RNG = np.random.default_rng(0)


def sheet(width_m: float, depth_m: float, normal: str = "+z", at_m: tuple[float, float, float] = (0, 0, 0)) -> Surface:
    """A rectangle around `at_m`; its normal is a signed axis."""
    axis, count = "xyz".index(normal[1]), round(np.clip(width_m * depth_m * 2e4, 300, 20_000))
    points = np.insert(RNG.uniform(-0.5, 0.5, (count, 2)) * [width_m, depth_m], axis, 0.0, axis=1)
    points[:, axis] += RNG.normal(0, 0.002, count)
    return points + at_m, np.tile(np.eye(3)[axis] * (1 if normal[0] == "+" else -1), (count, 1))


def together(*surfaces: Surface) -> Surface:
    points, normals = zip(*surfaces, strict=True)
    return np.concatenate(points), np.concatenate(normals)


def box(width_m: float, depth_m: float, height_m: float) -> Surface:
    """The faces that a camera walking around it sees: top and four sides."""
    w, d, h = width_m / 2, depth_m / 2, height_m / 2
    sides = [sheet(depth_m, height_m, s + "x", (x, 0, 0)) for s, x in (("+", w), ("-", -w))]
    ends = [sheet(width_m, height_m, s + "y", (0, y, 0)) for s, y in (("+", d), ("-", -d))]
    return together(sheet(width_m, depth_m, "+z", (0, 0, h)), *sides, *ends)


def tray() -> Surface:
    """A serving tray: a flat bottom with a rim seen from inside and outside."""
    rim = [sheet(0.3, 0.04, s + "x", (x, 0, 0.02)) for x in (-0.22, 0.22) for s in "+-"]
    return together(sheet(0.44, 0.3), *rim)


def verdict(surface: Surface, config: TrackingConfig | None = None, seen_whole: bool = True) -> bool:
    order = RNG.permutation(len(surface[0]))[:1024]
    points, normals = (a[order].astype(np.float32)[None] for a in surface)
    samples = Samples(points, normals, np.ones((1, len(order)), bool))
    return bool(is_background(samples, np.array([seen_whole]), config or TrackingConfig())[0])


@pytest.mark.parametrize(
    ("name", "surface"),
    [
        ("table top", sheet(1.2, 0.9)),
        ("the part of a table that was seen so far", sheet(0.8, 0.4)),
        ("wall", sheet(4, 2.5, "-y")),
        ("table with what stands on it in the same mask", together(sheet(1.2, 0.9), box(0.2, 0.2, 0.2))),
        ("corner of a room: floor and two walls", together(
            sheet(2, 2, "+z", (0, 0, -1)), sheet(2, 2, "+x", (-1, 0, 0)), sheet(2, 2, "-x", (1, 0, 0)),
        )),
        ("wardrobe", box(1.2, 0.6, 2.2)),
    ],
)  # fmt: skip
def test_support_surfaces_and_rooms_are_background(name: str, surface: Surface) -> None:
    assert verdict(surface), name


@pytest.mark.parametrize(
    ("name", "surface"),
    [
        ("mug", box(0.08, 0.08, 0.1)),
        ("large moving box", box(0.8, 0.6, 0.6)),
        ("its top and two sides, all that was seen", together(
            sheet(0.8, 0.6, "+z", (0, 0, 0.3)), sheet(0.8, 0.6, "+y", (0, 0.3, 0)), sheet(0.6, 0.6, "+x", (0.4, 0, 0)),
        )),
        ("placemat", sheet(0.45, 0.3)),
        ("tray", tray()),
        ("broom handle", box(1.2, 0.03, 0.03)),
        ("metre rule", sheet(1.0, 0.04)),
    ],
)  # fmt: skip
def test_objects_are_objects_whatever_their_size(name: str, surface: Surface) -> None:
    assert not verdict(surface), name


def test_a_piece_of_floor_that_the_image_always_cuts_off_is_background_and_a_box_is_not() -> None:
    assert verdict(sheet(0.4, 0.3), seen_whole=False)
    assert not verdict(box(0.3, 0.2, 0.2), seen_whole=False)


def test_the_parameters_decide() -> None:
    mat = sheet(0.45, 0.3)
    assert verdict(mat, TrackingConfig(max_flat_size_m=0.35))
    assert not verdict(sheet(1.2, 0.9), TrackingConfig(max_flat_size_m=1.3))
    assert not verdict(box(1.2, 0.6, 1.4), TrackingConfig(max_object_size_m=2.0))


def test_nothing_is_nothing() -> None:
    none = np.zeros((0, 1, 3), np.float32)
    samples = Samples(none, none, np.zeros((0, 1), bool))
    assert is_background(samples, np.zeros(0, bool), TrackingConfig()).shape == (0,)
