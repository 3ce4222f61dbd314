"""Entity masks from SAM 2 (Ravi et al., 2024) of the transformers library: of everything, or of what is clicked at."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from instascene_ros.core.config import NetworkConfig
from instascene_ros.core.errors import InvalidEditError
from instascene_ros.core.frame import Frame
from instascene_ros.core.mask_painting import overlaps, painted, suppressed
from instascene_ros.core.masks import Masks
from instascene_ros.models.hub_models import HubModel, sam2_network
from instascene_ros.models.network_images import at_image, network_input, working_size

USUAL_MODEL = "facebook/sam2.1-hiera-large"
USUAL_SIZE = {"height": 1024, "width": 1024}
STABILITY_STEP = 1.0  # logits by which the threshold is moved up and down


class Sam2Segmenter:
    """The image is encoded once; then it is asked what is at each point of a grid, many points at a time."""

    full_size = True

    def __init__(self, model: HubModel, config: NetworkConfig) -> None:
        self._model, self._config = model, config

    @classmethod
    def load(cls, config: NetworkConfig) -> "Sam2Segmenter":
        """Raises BackendUnavailableError: transformers, weights or device are missing."""
        return cls(sam2_network(config, USUAL_MODEL, USUAL_SIZE), config)

    @torch.inference_mode()
    def __call__(self, frame: Frame) -> Masks:
        height, width = frame.rgb.shape[:2]
        features, kept = self._encoded(frame), []
        for points in grid_points(self._config.points_per_side, height, width).split(self._config.points_per_batch):
            logits, scores = self._asked(features, points[:, None], frame)
            logits, scores = logits.flatten(0, 1), scores.flatten()
            good = (scores >= self._config.min_score) & (stability(logits) >= self._config.min_stability)
            kept.append((logits[good].half().cpu(), scores[good].cpu()))
        logits, scores = (torch.cat(column) for column in zip(*kept, strict=True))
        chosen = suppressed(*overlaps((logits > 0).numpy()), scores.numpy(), self._config.max_overlap)
        masks = at_image(logits[chosen].float(), height, width) > 0
        return painted(masks.numpy(), scores[chosen].numpy(), self._config)

    @torch.inference_mode()
    def at(self, frame: Frame, points_px: Sequence[tuple[float, float]]) -> Bool[np.ndarray, "H W"]:
        """The entity at one or more clicks (column, row), all on the same thing.

        Raises:
            InvalidEditError: no click, or one outside the image.
        """
        height, width = frame.rgb.shape[:2]
        outside = [p for p in points_px if not (0 <= p[0] < width and 0 <= p[1] < height)]
        if not points_px or outside:
            raise InvalidEditError(
                f"clicks {list(points_px)} on an image of {width}x{height} px; expected at least one, all inside"
            )
        logits, scores = self._asked(self._encoded(frame), torch.tensor(points_px)[None].float(), frame)
        best = logits[0, scores[0].argmax()]
        return (at_image(best[None], height, width)[0] > 0).cpu().numpy()

    def network_input(self, frame: Frame) -> Float[Tensor, "1 3 h w"]:
        """The image as the network takes it: stretched to a square."""
        size = working_size(self._model.size, *frame.rgb.shape[:2])
        return network_input(frame.rgb, *size, self._model.mean, self._model.std)

    def _encoded(self, frame: Frame) -> list[Tensor]:
        model = self._model
        return model.network.get_image_embeddings(self.network_input(frame).to(model.device, model.dtype))

    def _asked(
        self, features: list[Tensor], points_px: Float[Tensor, "P clicks 2"], frame: Frame
    ) -> tuple[Float32[Tensor, "P 3 h w"], Float32[Tensor, "P 3"]]:
        """Three masks (logits) for each of P prompts, from the finest to the coarsest thing there, and their scores."""
        model, (height, width) = self._model, frame.rgb.shape[:2]
        work_height, work_width = working_size(model.size, height, width)
        points = points_px * torch.tensor([work_width / width, work_height / height])
        output = model.network(
            image_embeddings=features, input_points=points[None].to(model.device, model.dtype),
            input_labels=torch.ones(1, *points.shape[:2], dtype=torch.int32, device=model.device),
            multimask_output=True,
        )  # fmt: skip
        return output.pred_masks[0].float(), output.iou_scores[0].float().clamp(0, 1)


def grid_points(per_side: int, height: int, width: int) -> Float32[Tensor, "P 2"]:
    """Centres (column, row) of `per_side` times `per_side` equal cells of an image, px."""
    across = (torch.arange(per_side) + 0.5) / per_side
    rows, columns = torch.meshgrid(across * height, across * width, indexing="ij")
    return torch.stack([columns, rows], -1).reshape(-1, 2)


def stability(logits: Float32[Tensor, "M h w"]) -> Float32[Tensor, " M"]:
    """IoU of each mask with a higher and with a lower threshold: low where its outline is not clear."""
    inner = (logits > STABILITY_STEP).sum((1, 2))
    outer = (logits > -STABILITY_STEP).sum((1, 2))
    return inner / outer.clamp(min=1)
