"""Recorded masks, and choosing models by name."""

import numpy as np
import pytest

from instascene_ros.core.camera import Camera
from instascene_ros.core.config import Config
from instascene_ros.core.errors import BackendUnavailableError
from instascene_ros.core.frame import Frame
from instascene_ros.core.masks import Masks
from instascene_ros.core.protocols import Prior, Segmenter
from instascene_ros.models import NETWORKS, PRIORS, SEGMENTERS, make_prior, make_segmenter
from instascene_ros.models.recorded import RecordedMasks


def a_frame(masks: Masks | None) -> Frame:
    rgb, depth_m = np.zeros((3, 4, 3), np.uint8), np.ones((3, 4), np.float32)
    return Frame(0, Camera(4.0, 4.0, 1.5, 1.0, 4, 3), rgb, depth_m, np.eye(4), masks)


def test_recorded_masks_are_handed_on_and_missing_ones_are_none() -> None:
    masks = Masks.from_image(np.arange(12, dtype=np.int32).reshape(3, 4) // 6)
    assert RecordedMasks()(a_frame(masks)) is masks
    empty = RecordedMasks()(a_frame(None))
    assert len(empty) == 0
    assert empty.labels.shape == (3, 4)


def test_every_name_makes_a_model() -> None:
    assert all(isinstance(make_segmenter(name, Config()), Segmenter) for name in SEGMENTERS if name not in NETWORKS)
    priors = [make_prior(name, Config()) for name in PRIORS]
    assert all(isinstance(prior, Prior) for prior in priors)
    assert [prior.name for prior in priors] == list(PRIORS)


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(BackendUnavailableError, match="no segmenter 'sam'; expected one of: geometric, .*recorded"):
        make_segmenter("sam", Config())
    with pytest.raises(BackendUnavailableError, match="no completion method 'magic'; expected one of: auto, geometric"):
        make_prior("magic", Config())
