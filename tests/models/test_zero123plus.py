"""The adapter of Zero123++, on a tiny model of the same architecture with random weights: conventions and plumbing."""

import json
from functools import cache
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
import transformers

from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.errors import BackendUnavailableError
from instascene_ros.core.guidance import guided_sample
from instascene_ros.core.guided_prior import GuidedPrior, MultiViewModel, Target
from instascene_ros.core.objects import MASK_OBJECT, ObjectObservation
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.models.diffusers_prior import load_model
from instascene_ros.models.reference_attention import with_reference_attention
from instascene_ros.models.zero123plus import SIZE_PX, Zero123Plus, _tiled, _untiled, input_picture, rig
from instascene_ros.tools.scene_generator import shapes
from instascene_ros.tools.scene_generator.trajectory import orbit
from tests.observations import observation_of
from tests.scenes import place, tabletop

PX, TOKENS, WIDTH = 32, 6, 8
UP = np.array([0, 0, 1.0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every part that the published folder has, a few thousand weights in all."""
    root = tmp_path_factory.mktemp("zero123plus")
    torch.manual_seed(0)
    norms = {"norm_num_groups": 4, "layers_per_block": 1}
    diffusers.AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, **norms,
    ).save_pretrained(root / "vae")  # fmt: skip
    diffusers.UNet2DConditionModel(
        sample_size=PX, block_out_channels=(8, 8), down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), cross_attention_dim=WIDTH, attention_head_dim=2, **norms,
    ).save_pretrained(root / "unet")  # fmt: skip
    diffusers.EulerAncestralDiscreteScheduler(prediction_type="v_prediction").save_pretrained(root / "scheduler")
    small = {"hidden_size": WIDTH, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}
    text = transformers.CLIPTextConfig(vocab_size=4, max_position_embeddings=TOKENS, projection_dim=WIDTH, **small)
    transformers.CLIPTextModel(text).save_pretrained(root / "text_encoder")
    vision = transformers.CLIPVisionConfig(image_size=16, patch_size=8, projection_dim=WIDTH, **small)
    transformers.CLIPVisionModelWithProjection(vision).save_pretrained(root / "vision_encoder")
    (root / "tokenizer").mkdir()
    vocabulary = {"a</w>": 0, "b</w>": 1, "<|startoftext|>": 2, "<|endoftext|>": 3}
    (root / "tokenizer" / "vocab.json").write_text(json.dumps(vocabulary))
    (root / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    for kind, size in (("vae", PX), ("clip", 16)):
        settings = {"crop_size": {"height": size, "width": size}, "image_mean": [0.5] * 3, "image_std": [0.8] * 3}
        (root / f"feature_extractor_{kind}").mkdir()
        (root / f"feature_extractor_{kind}" / "preprocessor_config.json").write_text(json.dumps(settings))
    parts = {
        "vae": ["diffusers", "AutoencoderKL"], "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "EulerAncestralDiscreteScheduler"], "tokenizer": ["transformers", "CLIPTokenizer"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "vision_encoder": ["transformers", "CLIPVisionModelWithProjection"],
    }  # fmt: skip
    ramp = [k / TOKENS for k in range(TOKENS)]
    index = {"_class_name": "Zero123PlusPipeline", "ramping_coefficients": ramp, "safety_checker": [None, None]} | parts
    (root / "model_index.json").write_text(json.dumps(index))
    return root


@cache
def observation() -> ObjectObservation:
    scene = tabletop([place(shapes.can(0.033, 0.10))], width=160, poses=orbit(4, start_deg=-20, span_deg=40))
    return observation_of(scene, 1)


def config_of(folder: Path) -> CompletionConfig:
    return CompletionConfig(model=str(folder), device="cpu", max_voxels=20_000, denoising_steps=2)


@pytest.fixture(scope="module")
def model(folder: Path) -> Zero123Plus:
    made = load_model(config_of(folder), "cpu", size_px=PX)
    assert isinstance(made, Zero123Plus)
    assert isinstance(made, MultiViewModel)
    return made


@pytest.fixture(scope="module")
def target(folder: Path, model: Zero123Plus) -> Target:
    return GuidedPrior(model, make_rasterizer("cpu"), config_of(folder)).target(observation())


def test_its_cameras_are_those_it_was_trained_on() -> None:
    front = np.array([0.0, 1.0, 0.4])
    cameras = rig().cameras(np.zeros(3), 0.5, UP, front)
    fields_deg = [2 * np.degrees(np.arctan(camera.width / 2 / camera.fx)) for camera, _ in cameras]
    np.testing.assert_allclose(fields_deg, 30.0)
    assert {camera.width for camera, _ in cameras} == {SIZE_PX}
    positions = np.stack([T[:3, 3] for _, T in cameras])
    np.testing.assert_allclose(np.linalg.norm(positions, axis=1), 0.5 / np.tan(np.radians(15)), rtol=1e-9)
    elevations = np.degrees(np.arcsin(positions[:, 2] / np.linalg.norm(positions, axis=1)))
    np.testing.assert_allclose(elevations, [20, -10] * 3, atol=1e-9)
    azimuths = np.degrees(np.arctan2(-positions[:, 0], positions[:, 1])) % 360  # anticlockwise from +y, the front
    np.testing.assert_allclose(azimuths, [30, 90, 150, 210, 270, 330], atol=1e-9)


def test_views_are_tiled_in_rows_of_two() -> None:
    images = torch.arange(6.0)[:, None, None, None].expand(6, 3, 4, 4)
    tiled = _tiled(images)
    assert tiled.shape == (1, 3, 12, 8)
    assert tiled[0, 0, ::4, ::4].tolist() == [[0, 1], [2, 3], [4, 5]]
    torch.testing.assert_close(_untiled(tiled), images)


def test_the_input_picture_shows_the_object_alone_in_the_middle_on_grey(target: Target) -> None:
    picture = input_picture(target, 64)[0].permute(1, 2, 0).numpy()
    view = target.observation.views[target.input_row]
    object_color = view.rgb[view.mask == MASK_OBJECT].mean(0) / 127.5 - 1
    np.testing.assert_allclose(picture[28:36, 28:36].mean((0, 1)), object_color, atol=0.15)
    for corner in (picture[:8, :8], picture[-8:, -8:], picture[:8, -8:], picture[-8:, :8]):
        assert (corner == 0).all()


def test_known_content_fills_whole_latents_and_survives_denoising(model: Zero123Plus, target: Target) -> None:
    guide = model.encode(target)
    assert guide.content.shape == (1, 4, 3 * PX // 2, 2 * PX // 2)
    known_px = _tiled(torch.from_numpy(target.known.known)[:, None].float())[0, 0]
    blocks = known_px.unfold(0, 2, 2).unfold(1, 2, 2).flatten(2).min(-1).values > 0.5
    assert (guide.known[0, 0] == blocks).all()
    samples = [guided_sample(model.denoiser(target, guide, s), model.scheduler, guide, 2, s) for s in (0, 0, 1)]
    kept = guide.known.expand_as(guide.content)
    for sample in samples:
        torch.testing.assert_close(sample[kept], guide.content[kept])
    torch.testing.assert_close(samples[0], samples[1], atol=0, rtol=0)
    assert (samples[0] - samples[2])[~kept].abs().mean() > 1e-3


def test_views_get_depth_from_their_hull(folder: Path, model: Zero123Plus, target: Target) -> None:
    prior = GuidedPrior(model, make_rasterizer("cpu"), config_of(folder))
    views = prior(observation(), [], 0)
    assert len(views) == 6
    assert any((view.depth_m > 0).any() for view in views)
    for row, view in enumerate(views):
        known = target.known.known[row]
        np.testing.assert_array_equal(view.alpha[known], target.known.alpha[row][known])
        inside = view.depth_m > 0
        distance_m = np.linalg.norm(view.T_world_camera[:3, 3] - target.sphere.center_m)
        assert (np.abs(view.depth_m[inside] - distance_m) < 1.8 * target.sphere.radius_m).all()


def test_reference_attention_adds_the_reference_and_nothing_when_it_is_off(folder: Path) -> None:
    unet = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet").eval()
    words, timestep = torch.randn(1, TOKENS, WIDTH), torch.tensor(10)
    sample, reference = torch.randn(1, 4, 16, 16), torch.randn(1, 4, 16, 16)

    @torch.no_grad()
    def run(latents: torch.Tensor) -> torch.Tensor:
        return unet(latents, timestep, encoder_hidden_states=words).sample

    plain = run(sample)
    bank = with_reference_attention(unet)
    torch.testing.assert_close(run(sample), plain)
    with bank.set_to("write"):
        torch.testing.assert_close(run(reference), run(reference))
        run(sample)
    with bank.set_to("read"):  # its own features twice: the softmax halves, the result stays
        torch.testing.assert_close(run(sample), plain, atol=1e-5, rtol=1e-4)
    with bank.set_to("write"):
        run(reference)
    with bank.set_to("read"):
        assert (run(sample) - plain).abs().max() > 1e-5


def test_what_is_missing_is_told_in_words(folder: Path, tmp_path: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    for name in ("vae", "unet", "text_encoder", "vision_encoder", "tokenizer", "scheduler", "feature_extractor_vae"):
        (tmp_path / name).symlink_to(folder / name)
    (tmp_path / "model_index.json").write_text(json.dumps(index | {"ramping_coefficients": [0.0]}))
    with pytest.raises(BackendUnavailableError, match="has no 6 ramping_coefficients"):
        load_model(config_of(tmp_path), "cpu")
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(BackendUnavailableError, match="feature_extractor_clip"):
        load_model(config_of(tmp_path), "cpu")
    (tmp_path / "vision_encoder").unlink()
    with pytest.raises(BackendUnavailableError, match="no folder vision_encoder"):
        load_model(config_of(tmp_path), "cpu")
