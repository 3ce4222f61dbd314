"""What clearly stands off a support surface is none of it, whatever its masks say."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scenes import place, tabletop
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from instascene_ros.core.config import Config, MappingConfig, TrackingConfig
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.masks import Masks
from instascene_ros.core.pipeline import SceneMapper
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.core.support_plane import MIN_TOLERANCE_M, Plane, plane_of, strike_votes
from instascene_ros.core.votes import cast, winning_segments
from instascene_ros.tools.scene_generator import shapes

CONFIG = TrackingConfig()
LEVEL = Plane(np.array([0.0, 0.0, 1.0]), 0.5, 0.005)


def sheet(sigma_m: float, num_above: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A tilted square metre with noise, some points up to 20 cm above it, and its normal."""
    rng = np.random.default_rng(4)
    local = np.column_stack([rng.uniform(-0.5, 0.5, (500, 2)), rng.normal(0, sigma_m, 500)])
    local[:num_above, 2] = rng.uniform(0.0, 0.2, num_above)
    R = Rotation.from_euler("xyz", (20, -35, 70), degrees=True).as_matrix()
    return (local @ R.T + (1.0, -2.0, 0.3)).astype(np.float32), R[:, 2]


@pytest.mark.parametrize("sigma_m", [0.0002, 0.001, 0.003])
@pytest.mark.parametrize("num_above", [0, 100])
def test_the_plane_of_a_table_is_found_under_what_stands_on_it(sigma_m: float, num_above: int) -> None:
    points_m, normal = sheet(sigma_m, num_above)
    plane = plane_of(points_m, CONFIG)
    assert plane is not None
    assert np.degrees(np.arccos(abs(plane.normal @ normal))) < 0.7
    assert abs(abs(plane.offset_m) - abs(np.array([1.0, -2.0, 0.3]) @ normal)) < 0.002
    assert max(3 * sigma_m, MIN_TOLERANCE_M) * 0.99 < plane.tolerance_m < max(6 * sigma_m, MIN_TOLERANCE_M) * 1.01


def test_what_is_not_flat_has_no_plane() -> None:
    assert plane_of(np.random.default_rng(0).uniform(-0.5, 0.5, (400, 3)).astype(np.float32), CONFIG) is None


def surfels(heights_m: list[float]) -> GaussianMap:
    n = len(heights_m)
    means_m = torch.tensor([(0.01 * k, 0.0, h) for k, h in enumerate(heights_m)])
    quats = torch.tensor([[1.0, 0, 0, 0]]).repeat(n, 1)
    return GaussianMap.from_surfels(means_m, quats, torch.full((n, 2), 0.01), torch.full((n,), 0.9), torch.zeros(n, 3))


def test_votes_for_the_table_are_taken_back_from_what_stands_on_it_and_no_others() -> None:
    gaussians = surfels([0.5, 0.503, 0.497, 0.5, 0.52])
    rows = torch.arange(5)
    cast(gaussians, rows, torch.full((5, 1), 1), torch.full((5, 1), 2.0))  # the table's mask, all over
    cast(gaussians, rows[4:], torch.tensor([[2]]), torch.tensor([[0.5]]))  # the object's, seen less
    off = strike_votes(gaussians, [LEVEL], [[1]], 3, CONFIG)
    assert off.tolist() == [False, False, False, False, True]
    assert winning_segments(gaussians)[0].tolist() == [1, 1, 1, 1, 2]
    assert gaussians.vote_weights[4].sum() == 0.5


def test_an_object_that_was_taken_for_part_of_the_table_keeps_its_votes() -> None:
    """Views have not told its segment (2) from the table's (1) yet: both belong to the instance with the plane."""
    gaussians = surfels([0.5, 0.5, 0.5, 0.51, 0.55, 0.6])
    cast(gaussians, torch.arange(6), torch.tensor([1, 1, 1, 2, 2, 2])[:, None], torch.ones(6, 1))
    strike_votes(gaussians, [LEVEL], [[1, 2]], 3, CONFIG)
    assert winning_segments(gaussians)[0].tolist() == [1, 1, 1, 2, 2, 2]


def test_feet_of_objects_are_theirs_although_masks_of_the_table_run_over_them() -> None:
    """In two views of three the table's mask takes the rims of the objects: it has most of the votes for their feet."""
    objects = [place(shapes.box((0.10, 0.06, 0.12)), -0.10, 0.0, 20), place(shapes.can(0.033, 0.11), 0.06, 0.05)]
    scene = tabletop(objects, num_frames=15, width=160, noise_seed=5)
    mapper = SceneMapper(Config(mapping=MappingConfig(refine_steps=0)), make_rasterizer("cpu"))
    for index, (frame, truth) in enumerate(zip(scene.frames, scene.instances, strict=True)):
        eroded = truth > 0
        if index % 3:
            eroded = ndimage.binary_erosion(eroded, iterations=index % 3)
        mapper.process(replace(frame, masks=Masks.from_image(np.where(eroded, truth, 9))))
    points_m, labels = mapper.gaussians.means_m.numpy(), mapper.labels()
    distances_m = np.stack([cKDTree(mesh.vertices_m).query(points_m)[0] for mesh in scene.objects.values()])
    foot = (distances_m.min(axis=0) < 0.008) & (points_m[:, 2] > 0.008) & (points_m[:, 2] < 0.035)
    on = [(distances_m[k] < 0.008) & (labels > 0) for k in (0, 1)]
    owner = [int(np.bincount(labels[on[k]]).argmax()) for k in (0, 1)]
    assert owner[0] != owner[1]
    assert (labels == np.take(owner, distances_m.argmin(0)))[foot].mean() > 0.95
