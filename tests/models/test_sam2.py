"""SAM 2 through the transformers library, with random weights that the test makes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("transformers", reason="transformers is not installed")

from tiny_networks import frame_of, save_mask2former, save_sam2

from instascene_ros.core.config import Config, NetworkConfig
from instascene_ros.core.errors import BackendUnavailableError, InvalidEditError
from instascene_ros.models import make_segmenter
from instascene_ros.models.hub_models import HubModel
from instascene_ros.models.sam2 import Sam2Segmenter, grid_points, stability

HEIGHT, WIDTH = 96, 128


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> NetworkConfig:
    folder = save_sam2(tmp_path_factory.mktemp("sam2"))
    return NetworkConfig(
        model=str(folder), device="cpu", min_score=0.0, min_stability=0.0, min_area_px=10, points_per_side=4,
        points_per_batch=5,
    )  # fmt: skip


def test_images_are_prepared_as_the_library_does(config: NetworkConfig) -> None:
    pytest.importorskip("torchvision", reason="the library's own preparation needs torchvision")
    from transformers import Sam2ImageProcessor

    for height, width in ((96, 128), (200, 150), (64, 64)):
        frame = frame_of(height, width)
        theirs = Sam2ImageProcessor.from_pretrained(config.model)(frame.rgb, return_tensors="pt")["pixel_values"]
        ours = Sam2Segmenter.load(config).network_input(frame)
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() <= 1.01 / 255 / 0.2  # one grey level


def test_the_frame_gets_masks_of_its_size(config: NetworkConfig) -> None:
    segment = make_segmenter("sam2", Config(networks=config))
    masks = segment(frame_of(60, 81))
    assert masks.labels.shape == (60, 81) and len(masks) >= 1
    np.testing.assert_array_equal(segment(frame_of(60, 81)).labels, masks.labels)


def test_batches_of_points_do_not_matter(config: NetworkConfig) -> None:
    frame = frame_of(HEIGHT, WIDTH)
    some = Sam2Segmenter.load(config)(frame)
    all_at_once = Sam2Segmenter.load(replace(config, points_per_batch=100))(frame)
    assert (some.labels == all_at_once.labels).mean() > 0.99  # sums of other order


def test_a_click_is_asked_like_the_library_asks(config: NetworkConfig) -> None:
    from transformers import Sam2Model

    segmenter, frame = Sam2Segmenter.load(config), frame_of(HEIGHT, WIDTH)
    mask = segmenter.at(frame, [(32.0, 24.0), (64.0, 48.0)])
    with torch.no_grad():
        output = Sam2Model.from_pretrained(config.model).eval()(
            pixel_values=segmenter.network_input(frame),
            input_points=torch.tensor([[[[32.0, 32.0], [64.0, 64.0]]]]),  # on the square image of 128 px
            input_labels=torch.ones(1, 1, 2, dtype=torch.int32),
        )
    best = output.pred_masks[0, 0, output.iou_scores[0, 0].argmax()]
    theirs = torch.nn.functional.interpolate(best[None, None], (HEIGHT, WIDTH), mode="bilinear")[0, 0] > 0
    assert (mask == theirs.numpy()).mean() > 0.999


@pytest.mark.parametrize("clicks", [[], [(128.0, 5.0)], [(5.0, 5.0), (-1.0, 0.0)]])
def test_clicks_outside_are_refused(config: NetworkConfig, clicks: Sequence[tuple[float, float]]) -> None:
    with pytest.raises(InvalidEditError, match="image of 128x96 px"):
        Sam2Segmenter.load(config).at(frame_of(HEIGHT, WIDTH), clicks)


def test_weights_of_another_network_are_refused(config: NetworkConfig, tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailableError, match="nowhere"):
        Sam2Segmenter.load(replace(config, model=str(tmp_path / "nowhere")))
    with pytest.raises(BackendUnavailableError, match="Sam2Model"):
        Sam2Segmenter.load(replace(config, model=str(save_mask2former(tmp_path))))


def test_grid_and_stability_have_known_answers() -> None:
    torch.testing.assert_close(
        grid_points(2, 40, 60), torch.tensor([[15.0, 10.0], [45.0, 10.0], [15.0, 30.0], [45.0, 30.0]])
    )
    logits = torch.full((3, 10, 10), -5.0)
    logits[1, :4] = 5.0  # clear
    logits[2, :4], logits[2, 4:8] = 5.0, 0.5  # half of it in doubt
    torch.testing.assert_close(stability(logits), torch.tensor([0.0, 1.0, 0.5]))


@dataclass
class KnownNetwork:
    """Two things side by side, the left one with a part; what is asked about comes back, and is written down."""

    asked: list[Tensor] = field(default_factory=list)

    def get_image_embeddings(self, pixels: Tensor) -> list[Tensor]:
        return [pixels]

    def __call__(
        self, image_embeddings: list[Tensor], input_points: Tensor, input_labels: Tensor, multimask_output: bool
    ) -> SimpleNamespace:
        self.asked.append(input_points[0, :, 0])
        logits = torch.full((1, input_points.shape[1], 3, 32, 32), -8.0)
        scores = torch.zeros(1, input_points.shape[1], 3)
        for k, (x, y) in enumerate(input_points[0, :, 0].tolist()):
            left = x < 64
            if left and y < 64:
                logits[0, k, 0, :16, :16], scores[0, k, 0] = 8.0, 0.6  # the part
            logits[0, k, 1, :, :16] = 8.0 if left else -8.0
            logits[0, k, 1, :, 16:] = -8.0 if left else 8.0
            scores[0, k, 1] = 0.9
            logits[0, k, 2], scores[0, k, 2] = 0.2, 0.8  # everything, but on the brink
        return SimpleNamespace(pred_masks=logits, iou_scores=scores)


def test_everything_is_the_finest_stable_masks_once_each() -> None:
    network = KnownNetwork()
    model = HubModel(
        network, {"height": 128, "width": 128}, [0.5] * 3, [0.5] * 3, torch.device("cpu"), torch.float32
    )  # fmt: skip
    masks = Sam2Segmenter(model, NetworkConfig(points_per_side=4, points_per_batch=6))(frame_of(HEIGHT, WIDTH))
    assert [len(points) for points in network.asked] == [6, 6, 4]
    torch.testing.assert_close(torch.cat(network.asked), grid_points(4, 128, 128))
    assert sorted(masks.scores.tolist()) == pytest.approx([0.6, 0.9, 0.9])
    part, rest, right = masks.labels[10, 10], masks.labels[80, 10], masks.labels[50, 100]
    assert len({part, rest, right}) == 3
    for label, region in ((part, np.s_[:46, :62]), (rest, np.s_[50:, :62]), (right, np.s_[:, 66:])):
        assert (masks.labels[region] == label).all()
