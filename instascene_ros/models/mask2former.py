"""Entity masks from Mask2Former (Cheng et al., CVPR 2022) of the transformers library, class names left aside."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from instascene_ros.core.config import NetworkConfig
from instascene_ros.core.frame import Frame
from instascene_ros.core.mask_painting import painted
from instascene_ros.core.masks import Masks
from instascene_ros.models.hub_models import HubModel, mask2former_network
from instascene_ros.models.network_images import at_image, network_input, working_size

USUAL_MODEL = "facebook/mask2former-swin-large-coco-panoptic"
USUAL_SIZE = {"shortest_edge": 800, "longest_edge": 1333}
DIVISOR = 32  # height and width that the network takes are multiples of it


class Mask2FormerSegmenter:
    """Every query is an entity: as sure as it is not "nothing", times how sure its pixels are."""

    full_size = True

    def __init__(self, model: HubModel, config: NetworkConfig) -> None:
        self._model, self._config = model, config

    @classmethod
    def load(cls, config: NetworkConfig) -> "Mask2FormerSegmenter":
        """Raises BackendUnavailableError: transformers, weights or device are missing."""
        return cls(mask2former_network(config, USUAL_MODEL, USUAL_SIZE), config)

    def __call__(self, frame: Frame) -> Masks:
        masks, scores = self.entities(frame)
        return painted(masks, scores, self._config)

    @torch.inference_mode()
    def entities(self, frame: Frame) -> tuple[Bool[np.ndarray, "M H W"], Float32[np.ndarray, " M"]]:
        """Masks that are surely something, and may overlap, with their scores."""
        model, (height, width) = self._model, frame.rgb.shape[:2]
        output = model.network(pixel_values=self.network_input(frame).to(model.device, model.dtype))
        something = 1 - output.class_queries_logits[0].float().softmax(-1)[:, -1]
        kept = something >= self._config.min_score  # how sure the pixels are can only lower it
        logits = at_image(output.masks_queries_logits[0][kept].float(), height, width)
        masks = logits > 0
        sure = (logits.sigmoid() * masks).sum((1, 2)) / masks.sum((1, 2)).clamp(min=1)
        return masks.cpu().numpy(), (something[kept] * sure).cpu().numpy()

    def network_input(self, frame: Frame) -> Float[Tensor, "1 3 h w"]:
        """The image as the network takes it: stretched a little, to multiples of its coarsest grid."""
        height, width = working_size(self._model.size, *frame.rgb.shape[:2])
        height, width = height + -height % DIVISOR, width + -width % DIVISOR
        return network_input(frame.rgb, height, width, self._model.mean, self._model.std)
