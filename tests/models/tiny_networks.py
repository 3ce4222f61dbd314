"""Networks of the true architecture with random weights, small enough for a test, saved as the hub has them."""

import json
from pathlib import Path

import numpy as np
import torch

from instascene_ros.core.camera import Camera
from instascene_ros.core.frame import Frame


def frame_of(height: int, width: int, seed: int = 0) -> Frame:
    """Smooth noise: nothing that only one interpolation could tell from another."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, 6, 8))).float()
    rgb = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 255)
    camera = Camera(width, width, width / 2, height / 2, width, height)
    pixels = rgb[0].permute(1, 2, 0).round().byte().numpy()
    return Frame(0, camera, pixels, np.zeros((height, width), np.float32), np.eye(4))


def save_mask2former(folder: Path) -> Path:
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

    torch.manual_seed(0)
    backbone = SwinConfig(
        embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, image_size=64,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = Mask2FormerConfig(
        backbone_config=backbone, feature_size=32, mask_feature_size=32, hidden_dim=32, num_queries=12, num_labels=3,
        encoder_layers=1, decoder_layers=2, num_attention_heads=2, encoder_feedforward_dim=16, dim_feedforward=16,
    )  # fmt: skip
    return _save(folder, Mask2FormerForUniversalSegmentation(config), {"shortest_edge": 72, "longest_edge": 133})


def save_sam2(folder: Path) -> Path:
    from transformers import Sam2Config, Sam2HieraDetConfig, Sam2Model, Sam2VisionConfig

    torch.manual_seed(0)
    backbone = Sam2HieraDetConfig(
        hidden_size=8, num_attention_heads=1, image_size=[128, 128], blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[8, 4, 8, 4], window_positional_embedding_background_size=[4, 4],
        global_attention_blocks=[3],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=32,
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
    )  # fmt: skip
    config = Sam2Config(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 32, "image_size": 128, "patch_size": 16},
        mask_decoder_config={"hidden_size": 32, "mlp_dim": 32, "iou_head_hidden_dim": 32, "num_attention_heads": 2},
    )
    return _save(folder, Sam2Model(config), {"height": 128, "width": 128})


def _save(folder: Path, network: torch.nn.Module, size: dict[str, int]) -> Path:
    network.save_pretrained(folder)
    images = {"size": size, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.25, 0.3]}
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    return folder
