"""Our own network of a ring: geometry and rendering against known answers, and back from disk as a RingPipeline."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.geometry import inverse, transform
from instascene_ros.core.views import CLOSING, Rig
from instascene_ros.models.diffusers_prior import load_model, write_ring_index
from instascene_ros.models.ring_evidence import evidence_of
from instascene_ros.models.ring_geometry import RingShape, cell_centers, sampled
from instascene_ros.models.ring_rendering import images_of_volume
from instascene_ros.models.ring_volume import RingVolume, RingVolumeConfig
from instascene_ros.tools.prior_training.pool import mirror

TINY = RingVolumeConfig(
    num_class_embeds=4, size_px=16, cells=16, channels=(16, 16), blocks=1, image_channels=16, carried=2, depths=4
)
ROWS = torch.arange(4)
BALL_RADII = 0.6


def tiny() -> RingVolume:
    """With weights that do something in every layer."""
    torch.manual_seed(0)
    network = RingVolume(TINY)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network.eval()


def ball(cells: int = 64) -> torch.Tensor:
    """Logits that fall off evenly through the surface of a ball."""
    distance = cell_centers(cells).norm(dim=-1).reshape(1, 1, cells, cells, cells) - BALL_RADII
    return torch.cat([-20 * distance, torch.full((1, 3, *distance.shape[2:]), 0.25)], 1)


def test_a_cell_counts_as_inside_from_the_probability_that_is_asked_for() -> None:
    network, images = tiny(), torch.randn(4, 13, 16, 16, generator=torch.Generator().manual_seed(3))
    sigma = torch.full((1,), 0.9)
    logits = network.volume(images, sigma, ROWS)
    network.settings = replace(TINY, inside_from=0.25)
    shown = network.clean(images, sigma, ROWS)
    likely = torch.cat([logits[:, :1] + math.log(3), logits[:, 1:]], 1)
    torch.testing.assert_close(shown, images_of_volume(likely, TINY.shape, ROWS.tolist())[0])


def test_what_closes_the_ring_shows_the_same_volume_and_is_not_looked_at() -> None:
    network, images = tiny(), torch.randn(14, 13, 16, 16, generator=torch.Generator().manual_seed(3))
    sigma, looks = torch.full((2,), 0.9), images.unflatten(0, (2, 7))[:, :4].flatten(0, 1)
    ring = network.clean(looks, sigma, ROWS.repeat(2), rings=2).unflatten(0, (2, 4))
    logits = network.volume(looks, sigma, ROWS, rings=2)
    network.settings = replace(TINY, closing=((-30.0, 2), (85.0, 1)))
    shown = network.clean(images, sigma, torch.arange(7).repeat(2), rings=2).unflatten(0, (2, 7))
    torch.testing.assert_close(shown[:, :4], ring)
    below, above = (replace(TINY.shape, elevation_deg=e, views=v) for e, v in network.settings.closing)
    torch.testing.assert_close(shown[:, 4:6], images_of_volume(logits, below, [0, 1]))
    torch.testing.assert_close(shown[:, 6:], images_of_volume(logits, above, [0]))
    some = network.clean(images[[0, 2, 5]], sigma[:1], torch.tensor([0, 2, 5]))
    assert some.shape == (3, 5, 16, 16)
    with pytest.raises(torch.OutOfMemoryError, match="needs views of the ring"):
        network.clean(images[5:6], sigma[:1], torch.tensor([5]))


def test_a_mirrored_network_tells_the_mirror_image_of_a_mirror_image() -> None:
    network = tiny()
    network.settings = replace(TINY, mirrored=True)
    images, sigma = torch.randn(4, 13, 16, 16, generator=torch.Generator().manual_seed(3)), torch.full((1,), 0.9)
    shown = network.clean(images, sigma, ROWS)
    torch.testing.assert_close(network.clean(mirror(images[None])[0], sigma, ROWS), mirror(shown[None])[0])
    some = torch.tensor([0, 1, 2])  # views may be missing, as where memory is short
    assert network.clean(images[some], sigma, some).isfinite().all()


@pytest.mark.parametrize("elevation_deg, views", [(30.0, 16), *CLOSING])
def test_the_ring_stands_where_the_rig_stands(elevation_deg: float, views: int) -> None:
    shape = RingShape(elevation_deg=elevation_deg, views=views)
    places = torch.tensor([[0.3, -0.2, 0.5], [-0.4, 0.1, -0.6]])
    center_m, radius_m, front = np.array([0.4, 0.1, 0.2]), 0.1, np.array([0.0, 2.0, 1.0])
    R_world_ring = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # x is the level part of `front`
    world_m = center_m + radius_m * places.numpy() @ R_world_ring.T
    cameras = Rig.rings(((elevation_deg, views),), 64).cameras(center_m, radius_m, np.array([0, 0, 1.0]), front)
    for (camera, T_world_camera), seen in zip(cameras, shape.project(places), strict=True):
        local = transform(inverse(T_world_camera), world_m)
        pixels = local[:, :2] / local[:, 2:] * camera.fx + camera.cx
        np.testing.assert_allclose(seen[:, :2].numpy(), pixels, atol=1e-3)
        np.testing.assert_allclose(seen[:, 2].numpy(), 4 - local[:, 2] / radius_m, atol=1e-4)


def test_a_pixel_shows_the_place_that_projects_into_it() -> None:
    shape = RingShape()
    nearness = torch.rand(shape.views, shape.size_px**2) - 0.5
    places = shape.place(nearness)
    for view in range(shape.views):
        seen = shape.project(places[view])[view]
        at = torch.arange(shape.size_px**2)
        torch.testing.assert_close(seen[:, 0], (at % shape.size_px).float(), atol=2e-3, rtol=0)
        torch.testing.assert_close(seen[:, 1], (at // shape.size_px).float(), atol=2e-3, rtol=0)
        torch.testing.assert_close(seen[:, 2], nearness[view], atol=1e-5, rtol=0)


def test_a_volume_is_sampled_along_the_axes_it_is_said_to_have() -> None:
    at = cell_centers(8).reshape(8, 8, 8, 3).permute(3, 0, 1, 2)[None]
    places = torch.tensor([[[0.1, -0.3, 0.5]]])
    torch.testing.assert_close(sampled(at, places)[0, :, 0], places[0, 0])


def test_a_ball_looks_like_one() -> None:
    shape = RingShape()
    images = images_of_volume(ball(), shape, list(range(shape.views)))[0]
    silhouette = images[:, 4] > 0
    sine = BALL_RADII / shape.distance_radii
    radius_px = shape.focal_px * sine / math.sqrt(1 - sine**2)
    np.testing.assert_allclose(silhouette.sum((1, 2)), math.pi * radius_px**2, rtol=0.02)
    middle = images[:, :, 31:33, 31:33].mean((2, 3))
    torch.testing.assert_close(middle[:, 3], torch.full((16,), BALL_RADII), atol=0.01, rtol=0)
    torch.testing.assert_close(middle[:, :3], torch.full((16, 3), 0.25))
    assert (images[:, 3][~silhouette] == -1).all()


def test_what_a_ring_knows_of_a_ball_is_told_at_the_right_places() -> None:
    shape = RingShape()
    seen = images_of_volume(ball(), shape, list(range(shape.views))).flatten(3)
    known = torch.ones_like(seen[:, :, :1])
    bounds = torch.where(seen[:, :, 4:] > 0, torch.tensor([1.0, -1.0])[:, None], -1.0)
    images = torch.cat([torch.zeros_like(seen), seen, known, bounds], 2)
    centers = cell_centers(24)
    told = evidence_of(images, *shape.landing(centers), shape.project(centers)[..., 2])[0]
    behind, shown, ahead, close, *_, empty, _, _ = told
    away = centers.norm(dim=-1) - BALL_RADII
    within = centers.norm(dim=-1) < 0.95
    assert (behind[away < -0.3] == 1).all() and (shown[away < -0.3] > 0).all()
    assert (empty[within & (away > 0.2)] == 1).all()
    assert (empty[away < -0.1] == 0).all() and (ahead[away < -0.15] < 0.05).all()
    from_above = centers[:, 2] > -0.2
    assert close[(away.abs() < 0.02) & from_above].min() > close[(away.abs() > 0.15) & within].max()


@torch.no_grad()
def test_each_view_sees_the_others_of_its_ring_and_no_other_ring() -> None:
    network, images = tiny(), torch.randn(8, TINY.in_channels, 16, 16)
    rows, timestep = ROWS.repeat(2), torch.tensor(500.0)
    changed = images.clone()
    changed[1] = torch.randn(TINY.in_channels, 16, 16)
    before, after = (network(x, timestep, rows, rings=2)[0] for x in (images, changed))
    moved = (before - after).abs().amax((1, 2, 3)) > 1e-6
    assert moved.tolist() == [True] * 4 + [False] * 4


@torch.no_grad()
def test_a_step_along_the_flow_to_no_noise_arrives_at_the_clean_images() -> None:
    network, images = tiny(), torch.randn(4, TINY.in_channels, 16, 16)
    sigma = torch.tensor(0.4)
    flow = network(images, 1000 * sigma, ROWS)[0]
    torch.testing.assert_close(images[:, :5] - sigma * flow, network.clean(images, sigma[None], ROWS))


@torch.no_grad()
def test_a_part_of_the_ring_is_enough() -> None:
    network, images = tiny(), torch.randn(4, TINY.in_channels, 16, 16)
    assert network(images[1::2], torch.tensor(900.0), ROWS[1::2])[0].shape == (2, 5, 16, 16)


def test_a_folder_of_it_loads_as_a_ring_model(tmp_path: Path) -> None:
    import diffusers

    network = RingVolume(replace(TINY, closing=((-30.0, 2),)))
    network.save_pretrained(tmp_path / "denoiser")
    diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, shift_terminal=0.15).save_pretrained(tmp_path / "scheduler")
    rig = Rig.rings(((30.0, 4), (-30.0, 2)), 16)
    write_ring_index(tmp_path, "RingVolume", "FlowMatchEulerDiscreteScheduler", rig, 3)
    model = load_model(CompletionConfig(model=str(tmp_path), device="cpu"), "cpu")
    assert (model.num_steps, len(model.rig), model.exact) == (3, 6, True)
    again = RingVolume.from_pretrained(tmp_path / "denoiser")
    assert again.settings == network.settings
    for one, other in zip(network.state_dict().values(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)
