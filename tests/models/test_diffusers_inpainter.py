"""Inpainting with diffusers' own pipeline, on tiny random weights of Stable Diffusion's architecture."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from instascene_ros.core.config import Config, RemovalConfig
from instascene_ros.core.errors import BackendUnavailableError
from instascene_ros.core.protocols import Inpainter
from instascene_ros.models import make_inpainter

TOKENS, WIDTH = 6, 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import diffusers
    import transformers

    root = tmp_path_factory.mktemp("inpainting")
    torch.manual_seed(0)
    norms = {"norm_num_groups": 4, "layers_per_block": 1}
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=4, **norms,
    )  # fmt: skip
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=9, block_out_channels=(8, 8),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), cross_attention_dim=WIDTH, attention_head_dim=2, **norms,
    )  # fmt: skip
    text = transformers.CLIPTextConfig(
        vocab_size=4, max_position_embeddings=TOKENS, hidden_size=WIDTH, intermediate_size=8, num_attention_heads=2,
        num_hidden_layers=1, bos_token_id=2, eos_token_id=3, pad_token_id=3,
    )  # fmt: skip
    words = tmp_path_factory.mktemp("words")
    (words / "vocab.json").write_text(json.dumps({"a</w>": 0, "b</w>": 1, "<|startoftext|>": 2, "<|endoftext|>": 3}))
    (words / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(
        str(words / "vocab.json"), str(words / "merges.txt"), model_max_length=TOKENS, unk_token="<|endoftext|>"
    )
    diffusers.StableDiffusionInpaintPipeline(
        vae, transformers.CLIPTextModel(text), tokenizer, unet,
        diffusers.DDIMScheduler(steps_offset=1, clip_sample=False), None, None, requires_safety_checker=False,
    ).save_pretrained(root, safe_serialization=True)  # fmt: skip
    return root


def removal(folder: Path, **changed: object) -> Config:
    return Config(removal=RemovalConfig(model=str(folder), steps=2, size_px=64, device="cpu", **changed))


def test_the_hole_alone_is_filled_the_same_way_every_time(folder: Path) -> None:
    inpainter = make_inpainter(removal(folder))
    assert isinstance(inpainter, Inpainter) and inpainter.name == "diffusers"
    rgb = np.random.default_rng(0).integers(0, 255, (45, 60, 3)).astype(np.uint8)
    hole = np.zeros((45, 60), bool)
    hole[10:30, 20:40] = True
    one, other = inpainter(rgb, hole), inpainter(rgb, hole)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one[~hole], rgb[~hole])
    assert (one[hole] != rgb[hole]).any(axis=-1).mean() > 0.9


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda root: (root / "unet" / "config.json").write_text("{"), "cannot be loaded"),
        (lambda root: (root / "model_index.json").unlink(), "cannot be loaded"),
        (lambda root: next((root / "vae").glob("*.safetensors")).write_bytes(b"no"), "cannot be loaded"),
    ],
)
def test_a_damaged_model_is_refused_in_words(folder: Path, tmp_path: Path, change, told: str) -> None:
    import shutil

    root = tmp_path / "model"
    shutil.copytree(folder, root)
    change(root)
    with pytest.raises(BackendUnavailableError, match=f"removal.model .*{told}.*empty = OpenCV"):
        make_inpainter(removal(root))


def test_a_device_that_is_not_there_is_refused_in_words(folder: Path) -> None:
    with pytest.raises(BackendUnavailableError, match="removal.device is 'tpu'; expected one of auto, cpu, cuda"):
        make_inpainter(Config(removal=RemovalConfig(model=str(folder), device="tpu")))


def test_without_a_model_it_is_opencv() -> None:
    assert make_inpainter(Config()).name == "opencv"
