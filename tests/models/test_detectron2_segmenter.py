"""detectron2 through the adapter's own protocol: outputs as its models give them, and words where it is missing."""

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from jaxtyping import UInt8
from tiny_networks import frame_of
from torch import Tensor

from instascene_ros.core.config import Config, NetworkConfig
from instascene_ros.core.errors import BackendUnavailableError
from instascene_ros.models import make_segmenter
from instascene_ros.models.detectron2_segmenter import Detectron2Segmenter, entities_of

HEIGHT, WIDTH = 48, 64
CONFIG = NetworkConfig(min_area_px=400)  # 4 px on these images


@dataclass
class Instances:
    """The fields that detectron2's structure of this name has for one image."""

    pred_masks: Tensor
    scores: Tensor
    pred_classes: Tensor

    def has(self, name: str) -> bool:
        return getattr(self, name, None) is not None


def boxes(*corners: tuple[int, int, int, int]) -> Tensor:
    masks = torch.zeros(len(corners), HEIGHT, WIDTH, dtype=torch.bool)
    for mask, (top, left, bottom, right) in zip(masks, corners, strict=True):
        mask[top:bottom, left:right] = True
    return masks


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32])
def test_instances_are_painted_best_on_top(dtype: torch.dtype) -> None:
    """CropFormer's outputs: masks as numbers, classes all 0."""
    masks = boxes((0, 0, 30, 40), (10, 20, 40, 60), (40, 0, 48, 10)).to(dtype)
    seen: list[UInt8[np.ndarray, "H W 3"]] = []

    def predict(rgb: UInt8[np.ndarray, "H W 3"]) -> dict[str, Instances]:
        seen.append(rgb)
        return {"instances": Instances(masks, torch.tensor([0.7, 0.9, 0.4]), torch.zeros(3))}

    frame = frame_of(HEIGHT, WIDTH)
    found = Detectron2Segmenter(predict, CONFIG)(frame)
    np.testing.assert_array_equal(seen[0], frame.rgb)
    assert found.scores.tolist() == pytest.approx([0.7, 0.9])
    assert (found.labels[10:40, 20:60] == 2).all()
    assert (found.labels[:10, :40] == 1).all()
    assert not found.labels[40:].any()  # 0.4 is not sure enough


def test_no_instances_are_no_masks() -> None:
    nothing = Instances(boxes(), torch.zeros(0), torch.zeros(0))
    found = Detectron2Segmenter(lambda _: {"instances": nothing}, CONFIG)(frame_of(HEIGHT, WIDTH))
    assert len(found) == 0 and found.labels.shape == (HEIGHT, WIDTH)


def test_a_panoptic_segmentation_brings_surfaces_too() -> None:
    image = torch.zeros(HEIGHT, WIDTH, dtype=torch.int32)
    image[20:], image[25:40, 10:30] = 7, 3  # a table, and a thing on it
    segments = [
        {"id": 7, "isthing": False, "category_id": 2, "area": 1492},
        {"id": 3, "isthing": True, "score": 0.8, "category_id": 5, "instance_id": 0},
    ]
    thing = Instances(boxes((25, 10, 40, 30)), torch.tensor([0.8]), torch.zeros(1))
    outputs = {"sem_seg": torch.zeros(4, HEIGHT, WIDTH), "instances": thing, "panoptic_seg": (image, segments)}
    found = Detectron2Segmenter(lambda _: outputs, CONFIG)(frame_of(HEIGHT, WIDTH))
    assert sorted(found.scores.tolist()) == pytest.approx([0.8, 1.0])
    assert not found.labels[:20].any()
    assert len({found.labels[30, 20], found.labels[30, 50], 0}) == 3


def test_a_model_of_another_kind_is_refused_in_words() -> None:
    boxes_only = Instances(None, torch.ones(1), torch.zeros(1))  # type: ignore[arg-type]
    for outputs in ({"sem_seg": torch.zeros(4, 4, 4)}, {"instances": boxes_only}, {}):
        with pytest.raises(BackendUnavailableError, match="expected instances with masks, or panoptic_seg"):
            entities_of(outputs)


@pytest.mark.skipif(find_spec("detectron2") is not None, reason="detectron2 is installed")
def test_without_detectron2_the_line_to_install_it_is_told() -> None:
    with pytest.raises(BackendUnavailableError, match=r"git\+https://github.com/facebookresearch/detectron2"):
        make_segmenter("detectron2", Config())
