"""An object that is removed leaves what was behind it: seen by other views, or continued from around it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scenes import SyntheticScene, camera_of_width, place, tabletop
from scipy import ndimage
from scipy.spatial import cKDTree

from instascene_ros.core.config import Config, MappingConfig
from instascene_ros.core.inpainting import continued
from instascene_ros.core.map_file import SavedMap
from instascene_ros.core.pipeline import SceneMapper
from instascene_ros.core.removal import sight_of
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.core.rendering.render import Rendering, render
from instascene_ros.core.views import look_at
from instascene_ros.models.inpainting import OpenCvInpainter
from instascene_ros.tools.scene_generator import shapes

CONFIG = Config(mapping=MappingConfig(refine_steps=2))
UP = np.array([0.0, 0.0, 1.0])
SIDE_M = 0.10


def test_a_linear_image_is_continued_exactly_and_only_known_pixels_have_a_say() -> None:
    v, u = np.mgrid[:30, :40]
    plane = 0.3 + 0.02 * u - 0.01 * v
    hole = (u > 8) & (u < 25) & (v > 5) & (v < 22)
    wrong = (u >= 25) & (u < 30) & (v > 5) & (v < 22)  # another surface that touches the hole
    filled = continued(np.where(hole | wrong, 9.0, plane), ~hole & ~wrong, hole)
    # Without a say on one side the continuation is level there, so exact only for what does not change along u.
    np.testing.assert_allclose(continued(np.where(hole, 9.0, plane), ~hole, hole)[hole], plane[hole], atol=1e-9)
    assert np.abs(filled[hole] - plane[hole]).max() < 0.25 and filled[hole].max() < 1.2
    np.testing.assert_array_equal(filled[wrong], 9.0)


def test_a_hole_that_touches_nothing_known_stays_unknown() -> None:
    hole = np.zeros((9, 9), bool)
    hole[:3, :3], hole[6:, 6:] = True, True
    known = np.zeros((9, 9), bool)
    known[:, 4] = True
    known[3, :3] = True
    filled = continued(np.full((9, 9), 2.0), known, hole)
    np.testing.assert_allclose(filled[:3, :3], 2.0)
    assert np.isnan(filled[6:, 6:]).all()
    np.testing.assert_array_equal(continued(np.ones((4, 4)), np.ones((4, 4), bool), np.zeros((4, 4), bool)), 1.0)


def test_opencv_keeps_a_colour_that_is_the_same_all_around() -> None:
    rgb = np.full((40, 40, 3), (200, 120, 40), np.uint8)
    hole = np.zeros((40, 40), bool)
    hole[10:25, 12:30] = True
    spoiled = np.where(hole[..., None], 0, rgb).astype(np.uint8)
    filled = OpenCvInpainter()(spoiled, hole)
    assert np.abs(filled.astype(int) - rgb).max() <= 2


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    """A cube that stands on the table with a can beside it, seen from 270 degrees around."""
    cube = place(shapes.box((SIDE_M, SIDE_M, SIDE_M)), 0.0, 0.0)
    return tabletop([cube, place(shapes.can(0.03, 0.12), 0.0, 0.14)], num_frames=10, width=160, noise_seed=2)


@pytest.fixture(scope="module")
def full(scene: SyntheticScene) -> SavedMap:
    mapper = SceneMapper(CONFIG, make_rasterizer("cpu"))
    for frame in scene.frames:
        mapper.process(frame)
    return mapper.snapshot()


def restored(full: SavedMap, inpainter: OpenCvInpainter | None) -> SceneMapper:
    mapper = SceneMapper(CONFIG, make_rasterizer("cpu"), None, inpainter)
    mapper.restore(full)
    return mapper


def instance_of(mapper: SceneMapper, scene: SyntheticScene, target: int) -> int:
    labels, means_m = mapper.labels(), mapper.gaussians.means_m.numpy()
    on_it = cKDTree(scene.objects[target].vertices_m).query(means_m)[0] < 0.03
    return int(np.bincount(labels[on_it & (labels > 0)]).argmax())


def from_above(mapper: SceneMapper) -> Rendering:
    T_world_camera = look_at(np.array([-0.25, -0.05, 0.6]), np.zeros(3), UP)
    return render(mapper.rasterizer, mapper.gaussians, camera_of_width(160), T_world_camera)


def footprint() -> tuple[np.ndarray, np.ndarray]:
    """Pixels of that view on the square of table that the cube stood on, well inside; and the table's depth, m."""
    camera, T_world_camera = camera_of_width(160), look_at(np.array([-0.25, -0.05, 0.6]), np.zeros(3), UP)
    directions = camera.rays() @ T_world_camera[:3, :3].T
    table_m = -T_world_camera[2, 3] / directions[..., 2]
    hit = T_world_camera[:3, 3] + directions * table_m[..., None]
    return (np.abs(hit[..., :2]) < SIDE_M / 2 - 0.01).all(-1) & (directions[..., 2] < 0), table_m


@pytest.fixture(scope="module")
def emptied(scene: SyntheticScene, full: SavedMap) -> SceneMapper:
    mapper = restored(full, OpenCvInpainter())
    mapper.remove([instance_of(mapper, scene, 1)])
    return mapper


def test_without_an_inpainter_the_hole_stays(scene: SyntheticScene, full: SavedMap) -> None:
    mapper = restored(full, None)
    mapper.remove([instance_of(mapper, scene, 1)])
    rendering = from_above(mapper)
    inside, _ = footprint()
    assert rendering.alpha.numpy()[inside].mean() < 0.3


def test_the_table_goes_on_under_a_removed_cube(emptied: SceneMapper) -> None:
    rendering = from_above(emptied)
    inside, table_m = footprint()
    assert rendering.alpha.numpy()[inside].mean() > 0.9
    error_m = np.abs(rendering.depth_m.numpy() - table_m)[inside & (rendering.alpha.numpy() > 0.5)]
    assert np.median(error_m) < 0.004 and np.percentile(error_m, 95) < 0.012
    around = (rendering.alpha.numpy() > 0.9) & ~inside & (np.abs(rendering.depth_m.numpy() - table_m) < 0.01)
    table_rgb = np.median(rendering.rgb.numpy()[around], axis=0)
    assert np.abs(np.median(rendering.rgb.numpy()[inside], axis=0) - table_rgb).max() < 0.1


def test_invented_surfels_have_no_confidence_and_no_instance(emptied: SceneMapper) -> None:
    points_m, invented = emptied.gaussians.means_m.numpy(), (emptied.gaussians.confidence == 0).numpy()
    inside = (np.abs(points_m[:, :2]) < SIDE_M / 2 - 0.015).all(-1) & (np.abs(points_m[:, 2]) < 0.02)
    assert inside.sum() > 20 and invented[inside].mean() > 0.9
    assert (emptied.labels()[invented] == 0).all()
    assert (np.abs(points_m[invented][:, 2]) < 0.02).mean() > 0.95  # nothing is invented in mid-air, nor on the can


def test_what_is_remembered_says_nothing_more_where_it_showed_the_object(
    scene: SyntheticScene, full: SavedMap, emptied: SceneMapper
) -> None:
    """Else refinement would paint the cube onto the table, and completion take it for an obstacle."""
    originals = restored(full, None).keyframes
    assert len(emptied.keyframes) == len(originals) > 3
    for before, after in zip(originals, emptied.keyframes, strict=True):
        index = next(i for i, frame in enumerate(scene.frames) if frame.stamp_ns == after.stamp_ns)
        cube, can = (scene.instances[index] == k for k in (1, 2))
        inner = ndimage.binary_erosion(can, iterations=4)
        assert after.valid[cube].mean() < 0.005  # single pixels at noisy corners
        assert (after.depth_m == before.depth_m)[inner].mean() > 0.95  # all but its rim beside the cube's


def test_masks_are_forgotten_with_the_depth(scene: SyntheticScene, full: SavedMap, emptied: SceneMapper) -> None:
    gone = next(i for i in full.instances.ids if i not in emptied.instances.ids)
    surfels = full.gaussians.select(torch.from_numpy(full.labels == gone))
    for frame, instances in zip(scene.frames, scene.instances, strict=True):
        sight = sight_of(surfels, frame, emptied.rasterizer)
        assert sight is not None
        forgotten = sight.forgotten.masks
        assert forgotten is not None and (forgotten.labels[instances == 1] > 0).mean() < 0.005
        inner = ndimage.binary_erosion(instances == 2, iterations=4)
        assert (forgotten.labels == frame.masks.labels)[inner].mean() > 0.95


def test_the_rest_of_the_scene_stays_as_it_was(scene: SyntheticScene, full: SavedMap, emptied: SceneMapper) -> None:
    can = instance_of(emptied, scene, 2)
    before_m = full.gaussians.means_m.numpy()[full.labels == can]
    after_m = emptied.gaussians.means_m.numpy()[emptied.labels() == can]
    assert can in full.instances.ids and len(before_m) == len(after_m)
    assert np.linalg.norm(after_m - before_m, axis=1).max() < 0.002


def test_what_is_seen_there_later_replaces_what_was_invented(
    scene: SyntheticScene, full: SavedMap, emptied: SceneMapper
) -> None:
    """The cube was still there: after some views of it the map shows it again, under a new id."""
    mapper = restored(emptied.snapshot(), None)
    for step, frame in enumerate(scene.frames):
        mapper.process(replace(frame, stamp_ns=10**12 + step))
    assert instance_of(mapper, scene, 1) > full.instances.ids.max()
    inside, table_m = footprint()
    assert (from_above(mapper).depth_m.numpy() < table_m - 0.02)[inside].mean() > 0.95
