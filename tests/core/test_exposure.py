"""One scene under changing exposure gets one colour, that of the mean exposure."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from walls import WALL_CONFIG, looking_from, mapper, wall

from instascene_ros.core.exposure import Exposure
from instascene_ros.core.gaussian_map import GaussianMap

EXPOSURES = ((1.0, 1.0, 1.0), (1.25, 1.1, 0.9), (0.8, 0.9, 1.1))


def exposed(gains: tuple[float, float, float], stamp: int, x_m: float = 0.0):
    """A mottled wall under some exposure and white balance. Its pattern hangs in the world."""
    frame = wall(stamp_ns=stamp, T_world_camera=looking_from(x_m))
    u = np.arange(frame.camera.width) + frame.camera.fx * x_m
    pattern = 100 + 25 * np.sin(u * np.pi / 4)[None, :, None] * np.ones((frame.camera.height, 1, 3))
    return replace(frame, rgb=np.clip(np.rint(pattern * gains), 0, 255).astype(np.uint8))


def test_a_wall_under_three_exposures_has_the_colours_of_their_mean() -> None:
    one, gaussians = mapper(), GaussianMap.empty()
    for stamp in range(12):
        one.integrate(exposed(EXPOSURES[stamp % 3], stamp), gaussians)
    mean = np.exp(np.log(EXPOSURES).mean(axis=0)) * 100 / 255
    assert gaussians.colors.mean(dim=0).numpy() == pytest.approx(mean, abs=0.01)


def test_what_only_one_exposure_showed_fits_to_the_rest() -> None:
    one, gaussians = mapper(), GaussianMap.empty()
    for stamp in range(3):
        one.integrate(exposed(EXPOSURES[0], stamp), gaussians)
    one.integrate(exposed(EXPOSURES[1], 3, x_m=0.3), gaussians)  # a third of the view is new
    new = gaussians.birth_ns == 3
    assert new.sum() > 100
    ratio = gaussians.colors[new].mean(dim=0) / gaussians.colors[~new].mean(dim=0)
    assert ratio.numpy() == pytest.approx(np.ones(3), abs=0.04)


def test_the_gain_of_a_keyframe_is_measured_against_the_map_and_remembered() -> None:
    one, gaussians = mapper(WALL_CONFIG), GaussianMap.empty()
    one.integrate(exposed(EXPOSURES[0], 0), gaussians)
    brighter, _ = one.integrate(exposed((1.2, 1.2, 1.2), 1), gaussians)
    level = 1.2**0.5  # the map is now at the mean of the two exposures
    assert brighter.gain.numpy() == pytest.approx(np.full(3, level / 1.2), abs=0.01)
    forgotten = replace(brighter)
    assert one._exposure.restore(forgotten).gain.numpy() == pytest.approx(brighter.gain.numpy(), abs=1e-6)


def test_exposure_is_saved_and_restored() -> None:
    exposure = Exposure("cpu", 3)
    exposure._gains[7], exposure._level = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5, 1.0, 1.5])
    restored = Exposure.from_columns(exposure.columns(), "cpu")
    assert restored.num_keyframes == 3 and torch.equal(restored._gains[7], exposure._gains[7])
    assert torch.equal(restored._level, exposure._level)
    with pytest.raises(ValueError, match="2 gains for 2 keyframes"):
        Exposure.from_columns(exposure.columns() | {"stamps_ns": np.arange(2)}, "cpu")
