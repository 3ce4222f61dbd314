"""Published networks at their true size with random weights: what one takes can be told without its weights."""

import torch


def mask2former_swin_large() -> torch.nn.Module:
    """As published for COCO panoptic: Swin-L, 200 queries. CropFormer's Swin-L sibling has the same parts."""
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

    backbone = SwinConfig(
        embed_dim=192, depths=[2, 2, 18, 2], num_heads=[6, 12, 24, 48], window_size=12, image_size=384,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    return Mask2FormerForUniversalSegmentation(
        Mask2FormerConfig(backbone_config=backbone, num_queries=200, num_labels=133)
    )


def sam2_hiera_large() -> torch.nn.Module:
    """As published: hiera-L at 1024 px."""
    from transformers import Sam2Config, Sam2HieraDetConfig, Sam2Model, Sam2VisionConfig

    backbone = Sam2HieraDetConfig(
        hidden_size=144, num_attention_heads=2, blocks_per_stage=[2, 6, 36, 4],
        embed_dim_per_stage=[144, 288, 576, 1152], num_attention_heads_per_stage=[2, 4, 8, 16],
        window_size_per_stage=[8, 4, 16, 8], global_attention_blocks=[23, 33, 43],
    )  # fmt: skip
    vision = Sam2VisionConfig(backbone_config=backbone, backbone_channel_list=[1152, 576, 288, 144])
    return Sam2Model(Sam2Config(vision_config=vision))
