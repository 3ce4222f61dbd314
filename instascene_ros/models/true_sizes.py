"""Published networks at their true size with random weights: what one takes can be told without its weights."""

import torch

from instascene_ros.models.hub_models import class_called


def mask2former_swin_large() -> torch.nn.Module:
    """As published for COCO panoptic: Swin-L, 200 queries. CropFormer's Swin-L sibling has the same parts.

    Raises:
        BackendUnavailableError: transformers is missing.
    """
    backbone = class_called("SwinConfig")(
        embed_dim=192, depths=[2, 2, 18, 2], num_heads=[6, 12, 24, 48], window_size=12, image_size=384,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = class_called("Mask2FormerConfig")(backbone_config=backbone, num_queries=200, num_labels=133)
    return class_called("Mask2FormerForUniversalSegmentation")(config)


def sam2_hiera_large() -> torch.nn.Module:
    """As published: hiera-L at 1024 px.

    Raises:
        BackendUnavailableError: transformers is missing.
    """
    backbone = class_called("Sam2HieraDetConfig")(
        hidden_size=144, num_attention_heads=2, blocks_per_stage=[2, 6, 36, 4],
        embed_dim_per_stage=[144, 288, 576, 1152], num_attention_heads_per_stage=[2, 4, 8, 16],
        window_size_per_stage=[8, 4, 16, 8], global_attention_blocks=[23, 33, 43],
    )  # fmt: skip
    channels = [1152, 576, 288, 144]
    vision = class_called("Sam2VisionConfig")(backbone_config=backbone, backbone_channel_list=channels)
    return class_called("Sam2Model")(class_called("Sam2Config")(vision_config=vision))
