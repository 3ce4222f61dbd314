"""Mask2Former through the transformers library, with random weights that the test makes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", reason="transformers is not installed")

from tiny_networks import frame_of, save_mask2former

from instascene_ros.core.config import Config, NetworkConfig
from instascene_ros.core.errors import BackendUnavailableError
from instascene_ros.models import make_segmenter
from instascene_ros.models.mask2former import Mask2FormerSegmenter


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> NetworkConfig:
    folder = save_mask2former(tmp_path_factory.mktemp("mask2former"))
    return NetworkConfig(model=str(folder), device="cpu", min_score=0.0, min_area_px=10, max_overlap=1.0)


@pytest.mark.parametrize(("height", "width"), [(90, 120), (120, 90), (72, 72), (50, 200), (200, 50)])
def test_images_are_prepared_as_the_library_does(config: NetworkConfig, height: int, width: int) -> None:
    processor_class = pytest.importorskip("transformers.models.mask2former.image_processing_pil_mask2former")
    processor = processor_class.Mask2FormerImageProcessorPil.from_pretrained(config.model)
    frame = frame_of(height, width)
    theirs = processor(frame.rgb, return_tensors="pt")
    ours = Mask2FormerSegmenter.load(config).network_input(frame)
    assert ours.shape == theirs["pixel_values"].shape
    assert theirs["pixel_mask"].all(), "the library stretches one image alone, too"
    one_grey_level = 1 / 255 / 0.2
    assert (ours - theirs["pixel_values"]).abs().max() <= 1.01 * one_grey_level


def test_masks_are_the_networks_own(config: NetworkConfig) -> None:
    """Against the library's post-processing of classes and masks, query by query."""
    from transformers import Mask2FormerForUniversalSegmentation

    segmenter, frame = Mask2FormerSegmenter.load(config), frame_of(90, 120)
    masks, scores = segmenter.entities(frame)
    network = Mask2FormerForUniversalSegmentation.from_pretrained(config.model).eval()
    with torch.no_grad():
        output = network(pixel_values=segmenter.network_input(frame))
    up = torch.nn.functional.interpolate(output.masks_queries_logits, (90, 120), mode="bilinear")[0]
    np.testing.assert_array_equal(masks, (up > 0).numpy())
    for mask, score, probability, logits in zip(
        masks, scores, output.class_queries_logits[0].softmax(-1), up, strict=True
    ):
        sure = logits.sigmoid()[mask].mean() if mask.any() else 0.0
        assert score == pytest.approx(float(probability[:-1].sum() * sure), abs=1e-5)


def test_the_frame_gets_masks_of_its_size(config: NetworkConfig) -> None:
    masks = make_segmenter("mask2former", Config(networks=config))(frame_of(60, 81))
    assert masks.labels.shape == (60, 81)
    assert len(masks) >= 1
    assert set(np.unique(masks.labels)) <= set(range(len(masks) + 1))
    unsure = make_segmenter("mask2former", Config(networks=replace(config, min_score=1.0)))(frame_of(60, 81))
    assert len(unsure) == 0 and not unsure.labels.any()


def test_half_precision_gives_much_the_same(config: NetworkConfig) -> None:
    frame = frame_of(90, 120)
    full, _ = Mask2FormerSegmenter.load(config).entities(frame)
    half, _ = Mask2FormerSegmenter.load(replace(config, precision="bfloat16")).entities(frame)
    assert (full == half).mean() > 0.9


def test_weights_that_are_not_there_are_told_in_words(config: NetworkConfig, tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailableError, match=r"cannot load .* from .*nowhere.*networks.model"):
        Mask2FormerSegmenter.load(replace(config, model=str(tmp_path / "nowhere")))
    with pytest.raises(BackendUnavailableError, match="expected auto or one of float32, float16, bfloat16"):
        Mask2FormerSegmenter.load(replace(config, precision="int8"))
    with pytest.raises(BackendUnavailableError, match="expected one of auto, cpu, cuda"):
        Mask2FormerSegmenter.load(replace(config, device="tpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_told_in_words(config: NetworkConfig) -> None:
    with pytest.raises(BackendUnavailableError, match="torch finds no GPU"):
        Mask2FormerSegmenter.load(replace(config, device="cuda"))
