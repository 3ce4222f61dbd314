"""Scenes of boxes and spheres on a table, ray-cast with depth noise: the right number of masks in the right place."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from jaxtyping import Bool, Float32, Float64, Int32, UInt8

from instascene_ros.core.camera import Camera
from instascene_ros.core.config import SegmentationConfig
from instascene_ros.core.frame import Frame
from instascene_ros.core.masks import Masks
from instascene_ros.core.protocols import Segmenter
from instascene_ros.models.geometric_segmenter import GeometricSegmenter

CAMERA = Camera(262.5, 262.5, 159.5, 119.5, 320, 240)
TABLE_COLOR, RED, BLUE = (150, 140, 130), (190, 40, 40), (40, 60, 190)


@dataclass(frozen=True)
class Box:
    """Axis-aligned in the world, where the table top is z = 0."""

    low_m: tuple[float, float, float]
    high_m: tuple[float, float, float]
    color: tuple[int, int, int] = RED

    def hits_m(
        self, origin: Float64[np.ndarray, "3"], rays: Float64[np.ndarray, "H W 3"]
    ) -> Float64[np.ndarray, "H W"]:
        with np.errstate(divide="ignore"):
            slabs = np.stack([(np.array(side) - origin) / rays for side in (self.low_m, self.high_m)])
        enter, leave = slabs.min(0).max(-1), slabs.max(0).min(-1)
        return np.where((enter <= leave) & (enter > 0), enter, np.inf)


@dataclass(frozen=True)
class Ball:
    center_m: tuple[float, float, float]
    radius_m: float
    color: tuple[int, int, int] = RED

    def hits_m(
        self, origin: Float64[np.ndarray, "3"], rays: Float64[np.ndarray, "H W 3"]
    ) -> Float64[np.ndarray, "H W"]:
        offset = origin - np.array(self.center_m)
        a, b = (rays**2).sum(-1), (rays @ offset)
        inside = b**2 - a * (offset @ offset - self.radius_m**2)
        return np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, np.inf)


TABLE = Box((-2.0, -2.0, -0.05), (2.0, 2.0, 0.0), TABLE_COLOR)


def looking_at_table(eye_m: tuple[float, float, float]) -> Float64[np.ndarray, "4 4"]:
    """T_world_camera of a camera at `eye_m` that looks at the world's origin, image top up."""
    forward = -np.array(eye_m) / np.linalg.norm(eye_m)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    T = np.eye(4)
    T[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    T[:3, 3] = eye_m
    return T


def seen(
    *things: Box | Ball, eye_m: tuple[float, float, float] = (0.0, -0.55, 0.5)
) -> tuple[Frame, Int32[np.ndarray, "H W"]]:
    """A noisy frame of the things on the table, and which one each pixel shows (0 = table, 1..)."""
    rng = np.random.default_rng(1)
    T = looking_at_table(eye_m)
    rays = CAMERA.rays().astype(np.float64) @ T[:3, :3].T
    hits = np.stack([thing.hits_m(T[:3, 3], rays) for thing in (TABLE, *things)])
    nearest = hits.argmin(0).astype(np.int32)
    depth_m = hits.min(0)
    depth_m = np.where(np.isfinite(depth_m), depth_m, 0)
    depth_m = np.where(depth_m > 0, depth_m + 0.001 * rng.standard_normal(depth_m.shape), 0).astype(np.float32)
    rgb = np.array([thing.color for thing in (TABLE, *things)], np.uint8)[nearest]
    rgb = np.clip(rgb + 3 * rng.standard_normal(rgb.shape), 0, 255).astype(np.uint8)
    return Frame(0, CAMERA, rgb, depth_m, T), nearest


def overlap(masks: Masks, thing: Bool[np.ndarray, "H W"]) -> float:
    """IoU of the best mask."""
    ious = [(thing & (masks.labels == k)).sum() / (thing | (masks.labels == k)).sum() for k in range(1, len(masks) + 1)]
    return float(max(ious, default=0.0))


def things(masks: Masks) -> list[int]:
    """Labels of what is no plane: the table fills most of the image here."""
    pixels = np.bincount(masks.labels.ravel(), minlength=len(masks) + 1)[1:]
    return (np.flatnonzero(pixels < masks.labels.size / 3) + 1).tolist()


@pytest.fixture(scope="module")
def segment() -> GeometricSegmenter:
    return GeometricSegmenter(SegmentationConfig())


BOX = Box((-0.05, -0.04, 0.0), (0.05, 0.04, 0.09))
BALL = Ball((0.0, 0.0, 0.05), 0.05)
BOOK = Box((-0.1, -0.08, 0.0), (0.1, 0.08, 0.012), BLUE)


@pytest.mark.parametrize("thing", [BOX, BALL, BOOK], ids=["box", "ball", "book"])
def test_one_thing_on_a_table_is_one_mask(segment: GeometricSegmenter, thing: Box | Ball) -> None:
    frame, truth = seen(thing)
    masks = segment(frame)
    assert len(things(masks)) == 1
    assert overlap(masks, truth == 1) > 0.85


@pytest.mark.parametrize("eye_m", [(0.0, -0.4, 0.8), (0.5, 0.3, 0.45), (-0.7, 0.0, 0.4)])
def test_the_view_does_not_matter(segment: GeometricSegmenter, eye_m: tuple[float, float, float]) -> None:
    frame, truth = seen(BOX, eye_m=eye_m)
    masks = segment(frame)
    assert len(things(masks)) == 1
    assert overlap(masks, truth == 1) > 0.8


def test_things_apart_are_apart(segment: GeometricSegmenter) -> None:
    frame, truth = seen(
        Box((-0.2, -0.04, 0.0), (-0.12, 0.04, 0.06)),
        Ball((0.0, 0.1, 0.04), 0.04),
        Box((0.1, -0.1, 0.0), (0.2, 0.0, 0.03)),
    )
    masks = segment(frame)
    assert len(things(masks)) == 3
    assert min(overlap(masks, truth == k) for k in (1, 2, 3)) > 0.75


def test_touching_boxes_of_two_colours_are_two(segment: GeometricSegmenter) -> None:
    frame, truth = seen(
        Box((-0.1, -0.04, 0.0), (0.0, 0.04, 0.06), RED),
        Box((0.0, -0.02, 0.0), (0.1, 0.06, 0.08), BLUE),
        eye_m=(0.1, -0.5, 0.5),
    )
    masks = segment(frame)
    assert min(overlap(masks, truth == k) for k in (1, 2)) > 0.75


def test_concave_crease_cuts_without_colour(segment: GeometricSegmenter) -> None:
    """A small box on a large one, both red: only the crease between them tells."""
    frame, truth = seen(Box((-0.1, -0.09, 0.0), (0.1, 0.09, 0.06)), Box((-0.04, -0.02, 0.06), (0.04, 0.05, 0.13)))
    masks = segment(frame)
    assert overlap(masks, truth == 2) > 0.7
    on_top = masks.labels[truth == 2]
    below = masks.labels[truth == 1]
    assert np.bincount(on_top).argmax() != np.bincount(below[below > 0]).argmax()


def test_convex_edges_do_not_cut(segment: GeometricSegmenter) -> None:
    """Three faces of a box seen from a corner are one mask."""
    frame, truth = seen(Box((-0.07, -0.07, 0.0), (0.07, 0.07, 0.12)), eye_m=(0.4, -0.4, 0.5))
    assert overlap(segment(frame), truth == 1) > 0.85


def test_an_empty_table_is_the_only_entity(segment: GeometricSegmenter) -> None:
    frame, _ = seen()
    masks = segment(frame)
    assert len(masks) == 1
    assert (masks.labels == 1).mean() > 0.95


def test_the_table_is_one_entity_around_its_things(segment: GeometricSegmenter) -> None:
    """What had no mask would take on the label of what is beside it, view by view, until the table were a thing."""
    frame, truth = seen(BOX)
    masks = segment(frame)
    table = masks.labels[truth == 0]
    assert np.bincount(table).max() > 0.95 * len(table)
    assert masks.scores[np.bincount(table).argmax() - 1] == 1
    assert np.bincount(table).argmax() not in things(masks)


def test_pattern_of_the_table_is_no_thing(segment: GeometricSegmenter) -> None:
    frame, _ = seen()
    checks = (np.indices(frame.depth_m.shape) // 20).sum(0) % 2 == 0
    rgb = np.where(checks[..., None], np.uint8(30), np.uint8(230)) * np.ones(3, np.uint8)
    assert things(segment(replace(frame, rgb=rgb))) == []


def test_a_corner_of_the_floor_is_no_thing(segment: GeometricSegmenter) -> None:
    """What is flat and only seen beyond the table's edge is background, however little of it is seen."""
    frame, truth = seen(BOX)
    beyond = np.zeros(truth.shape, bool)
    beyond[:30, :40] = True
    depth_m = np.where(beyond, np.float32(2.4), frame.depth_m)
    assert len(things(segment(replace(frame, depth_m=depth_m)))) == 1


def test_world_without_z_up_gives_the_same_masks(segment: GeometricSegmenter) -> None:
    """Many recordings start at the identity: the world is the first camera."""
    frame, truth = seen(BOX)
    masks = segment(replace(frame, T_world_camera=np.eye(4)))
    assert len(things(masks)) == 1
    assert overlap(masks, truth == 1) > 0.85


def test_masks_lie_where_the_frame_is_large(segment: GeometricSegmenter) -> None:
    """Pixel sizes in the configuration scale with the image."""
    frame, truth = seen(BOX)
    big = Frame(
        0,
        CAMERA.scaled_to_width(640),
        frame.rgb.repeat(2, 0).repeat(2, 1),
        frame.depth_m.repeat(2, 0).repeat(2, 1),
        frame.T_world_camera,
    )
    masks = segment(big)
    assert masks.labels.shape == (480, 640)
    assert overlap(masks, truth.repeat(2, 0).repeat(2, 1) == 1) > 0.8


def test_small_holes_in_depth_are_filled(segment: GeometricSegmenter) -> None:
    frame, truth = seen(BOX)
    holes = np.zeros(truth.shape, bool)
    holes[100:140:12, 130:190:12] = True
    holes &= truth == 1
    assert holes.any()
    masks = segment(replace(frame, depth_m=np.where(holes, 0, frame.depth_m).astype(np.float32)))
    assert (masks.labels[holes] > 0).mean() > 0.9


def test_same_frame_same_masks(segment: GeometricSegmenter) -> None:
    frame, _ = seen(BOX, BALL)
    first, second = segment(frame), segment(frame)
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.scores, second.scores)


def test_scores_are_probabilities_and_labels_dense(segment: GeometricSegmenter) -> None:
    frame, _ = seen(Box((-0.1, -0.04, 0.0), (0.0, 0.04, 0.06)), Box((0.0, -0.03, 0.0), (0.1, 0.05, 0.09), BLUE))
    masks = segment(frame)
    assert ((masks.scores >= 0) & (masks.scores <= 1)).all()
    assert sorted(np.unique(masks.labels)) == list(range(len(masks) + 1))


def bare_frame(depth_m: Float32[np.ndarray, "H W"], rgb: UInt8[np.ndarray, "H W 3"] | None = None) -> Frame:
    height, width = depth_m.shape
    if rgb is None:
        rgb = np.full((height, width, 3), 128, np.uint8)
    return Frame(0, Camera(100.0, 100.0, width / 2, height / 2, width, height), rgb, depth_m, np.eye(4))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 3), (48, 64)])
def test_without_depth_there_are_no_masks(segment: GeometricSegmenter, shape: tuple[int, int]) -> None:
    masks = segment(bare_frame(np.zeros(shape, np.float32)))
    assert len(masks) == 0
    assert masks.labels.shape == shape


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 3), (48, 64), (240, 320)])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0, 1e-4, 60.0])
def test_odd_depth_gives_masks_of_its_size(segment: GeometricSegmenter, shape: tuple[int, int], bad: float) -> None:
    depth_m = np.ones(shape, np.float32)
    depth_m[::3, ::2] = bad
    masks = segment(bare_frame(depth_m))
    assert masks.labels.shape == shape
    assert np.isfinite(masks.scores).all()


def test_it_is_a_segmenter(segment: GeometricSegmenter) -> None:
    assert isinstance(segment, Segmenter)
