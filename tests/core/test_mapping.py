"""The mapper: seeds where the map explains nothing, sharpens what it knows, gives up what is seen through."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scenes import camera_of_width, place, tabletop

from instascene_ros.core.config import MappingConfig
from instascene_ros.core.frame import Frame
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.keyframe import Keyframe
from instascene_ros.core.mapper import Mapper
from instascene_ros.core.masks import Masks
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.core.rendering.render import render
from instascene_ros.core.seeding import seed_surfels
from instascene_ros.tools.scene_generator import shapes

CONFIG = MappingConfig(refine_steps=0, depth_noise_m=0.001)


def wall(distance_m: float = 1.0, width: int = 64, **changes: object) -> Frame:
    """A grey wall straight ahead."""
    camera = camera_of_width(width)
    size = (camera.height, camera.width)
    rgb = np.full((*size, 3), 128, np.uint8)
    return replace(Frame(0, camera, rgb, np.full(size, distance_m, np.float32), np.eye(4)), **changes)


def mapper(config: MappingConfig = CONFIG) -> Mapper:
    return Mapper(config, make_rasterizer("cpu"), min_trace_weight=0.1)


def test_seeds_lie_on_the_surface_face_the_camera_and_cover_the_image() -> None:
    frame, gaussians = wall(), GaussianMap.empty()
    _, rendering = mapper().integrate(frame, gaussians)
    inside = (slice(4, -4), slice(4, -4))
    assert torch.allclose(gaussians.means_m[:, 2], torch.tensor(1.0), atol=1e-5)
    assert torch.allclose(gaussians.normals[:, 2].abs(), torch.tensor(1.0), atol=1e-4)
    assert rendering.alpha[inside].min() > 0.7
    assert torch.allclose(rendering.depth_m[inside], torch.tensor(1.0), atol=1e-3)
    assert torch.allclose(
        rendering.rgb[inside] / rendering.alpha[inside][..., None], torch.tensor(128 / 255), atol=1e-3
    )


def test_a_second_look_from_the_same_place_adds_nothing() -> None:
    one, gaussians = mapper(), GaussianMap.empty()
    one.integrate(wall(), gaussians)
    before = len(gaussians)
    one.integrate(wall(stamp_ns=1), gaussians)
    assert len(gaussians) - before < 0.02 * before


def test_no_seed_crosses_a_depth_edge_or_a_mask_border() -> None:
    frame = wall()
    depth_m = frame.depth_m.copy()
    depth_m[:, 32:] = 1.5
    masks = Masks.from_image(np.repeat([1, 2], 24)[:, None].repeat(64, axis=1).astype(np.int32))
    keyframe = Keyframe(replace(frame, depth_m=depth_m, masks=masks), CONFIG, "cpu")
    seeds = seed_surfels(keyframe, torch.ones(frame.depth_m.shape, dtype=torch.bool))
    camera = frame.camera
    u = camera.fx * seeds.means_m[:, 0] / seeds.means_m[:, 2] + camera.cx
    v = camera.fy * seeds.means_m[:, 1] / seeds.means_m[:, 2] + camera.cy
    sigma_px = camera.fx * seeds.scales_m.amin(dim=1) / seeds.means_m[:, 2]  # seen head-on
    assert ((u - 31.5).abs() > 1).all()  # none on pixels that may mix two depths
    assert ((v - 23.5).abs() > 1.2 * sigma_px).all()


def test_noise_averages_out_over_views() -> None:
    rng = np.random.default_rng(0)
    one, gaussians = mapper(), GaussianMap.empty()
    errors = []
    for stamp in range(16):
        noisy = (1 + rng.normal(0, 0.002, (48, 64))).astype(np.float32)
        _, rendering = one.integrate(wall(stamp_ns=stamp, depth_m=noisy), gaussians)
        errors.append(float((rendering.depth_m[4:-4, 4:-4] - 1).std()))
    assert errors[-1] < 0.6 * errors[0]


def test_what_the_camera_looks_through_is_given_up() -> None:
    one, gaussians = mapper(), GaussianMap.empty()
    one.integrate(wall(1.0), gaussians)  # something stood there
    for stamp in range(1, 8):
        one.integrate(wall(1.5, stamp_ns=stamp), gaussians)  # and is gone
    assert (gaussians.means_m[:, 2] > 1.4).float().mean() > 0.98


def test_an_object_put_in_front_is_mapped() -> None:
    one, gaussians = mapper(), GaussianMap.empty()
    one.integrate(wall(1.5), gaussians)
    depth_m = np.full((48, 64), 1.5, np.float32)
    depth_m[16:32, 24:40] = 1.0
    one.integrate(wall(stamp_ns=1, depth_m=depth_m), gaussians)
    rendering = render(one.rasterizer, gaussians, wall().camera, np.eye(4))
    assert torch.allclose(rendering.depth_m[20:28, 28:36], torch.tensor(1.0), atol=5e-3)


def test_gradient_steps_bring_colours_closer() -> None:
    frame = tabletop([place(shapes.box((0.1, 0.1, 0.1)))], num_frames=1).frames[0]
    losses = []
    for steps in (0, 20):
        gaussians = GaussianMap.empty()
        one = mapper(replace(CONFIG, refine_steps=steps, fine_stride_px=2))
        one.integrate(frame, gaussians)
        one.refine(gaussians)
        rgb = render(one.rasterizer, gaussians, frame.camera, frame.T_world_camera).rgb
        losses.append(float((rgb - torch.from_numpy(frame.rgb / np.float32(255))).abs()[frame.valid].mean()))
    assert losses[1] < 0.9 * losses[0]


def test_the_steps_of_a_keyframe_are_done_once_when_asked_for_or_before_the_next() -> None:
    maps = []
    for asked in (0, 1, 3):
        one, gaussians = mapper(replace(CONFIG, refine_steps=2)), GaussianMap.empty()
        for stamp in range(3):
            one.integrate(wall(1.0 + 0.001 * stamp, stamp_ns=stamp), gaussians)
            for _ in range(asked):
                one.refine(gaussians)
        one.refine(gaussians)
        maps.append(torch.cat([gaussians.means_m, gaussians.colors, gaussians.log_scales], dim=1))
    assert torch.equal(maps[0], maps[1]) and torch.equal(maps[1], maps[2])


def test_keyframes_follow_motion_or_time() -> None:
    one, gaussians = mapper(replace(CONFIG, keyframe_max_gap=3)), GaussianMap.empty()
    assert one.is_keyframe(wall())
    one.integrate(wall(), gaussians)
    assert [one.is_keyframe(wall()) for _ in range(3)] == [False, False, True]
    moved = np.eye(4)
    moved[0, 3] = 1.1 * CONFIG.keyframe_translation_m
    one.integrate(wall(), gaussians)
    assert one.is_keyframe(wall(T_world_camera=moved))


def test_masks_that_come_at_last_make_a_keyframe_and_those_after_them_do_not() -> None:
    one, gaussians, masks = mapper(), GaussianMap.empty(), Masks.from_image(np.ones((48, 64), np.int32))
    for last, this, expected in ((None, masks, True), (Masks.empty(48, 64), masks, True), (masks, masks, False)):
        one.integrate(wall(masks=last), gaussians)
        assert one.is_keyframe(wall(masks=this)) == expected
    assert not one.is_keyframe(wall())


@pytest.mark.parametrize("limit", [4, 7])
def test_remembered_keyframes_are_bounded_and_keep_the_first_and_the_last(limit: int) -> None:
    one, gaussians = mapper(replace(CONFIG, max_keyframes=limit)), GaussianMap.empty()
    for index in range(12):
        pose = np.eye(4)
        pose[0, 3] = 0.01 * index
        one.integrate(wall(stamp_ns=index, T_world_camera=pose), gaussians)
    stamps = [k.stamp_ns for k in one.keyframes]
    assert len(stamps) == limit and stamps[0] == 0 and stamps[-1] == 11


def test_the_map_stops_growing_at_its_limit() -> None:
    gaussians = GaussianMap.empty()
    mapper(replace(CONFIG, max_gaussians=100)).integrate(wall(), gaussians)
    assert len(gaussians) == 100


def test_frames_that_show_no_surface_leave_the_map_empty_and_mapping_goes_on() -> None:
    one, gaussians = mapper(replace(CONFIG, refine_steps=4)), GaussianMap.empty()
    depth_m = np.zeros((48, 64), np.float32)
    depth_m[10, 10] = 1.0  # a single pixel has no normal
    for stamp in range(8):
        _, rendering = one.integrate(wall(stamp_ns=stamp, depth_m=depth_m), gaussians)
    assert len(gaussians) == 0 and not rendering.alpha.any()
    one.integrate(wall(stamp_ns=9), gaussians)
    assert len(gaussians) > 500
    for stamp in range(10, 18):  # and when all of it has gone again
        one.integrate(wall(CONFIG.max_depth_m + 1, stamp_ns=stamp), gaussians)
    assert len(gaussians) == 0
