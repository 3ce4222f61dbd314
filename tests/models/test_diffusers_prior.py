"""Model folders in diffusers' format: tiny ones with random weights, whole, damaged and of the wrong kind."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from torch import Tensor

from instascene_ros.core.completion import complete_object
from instascene_ros.core.config import CompletionConfig, Config
from instascene_ros.core.errors import BackendUnavailableError, CancelledError
from instascene_ros.core.guidance import guided_sample
from instascene_ros.core.guided_prior import GuidedPrior, MultiViewModel
from instascene_ros.core.objects import ObjectObservation
from instascene_ros.core.protocols import Prior
from instascene_ros.core.views import Rig
from instascene_ros.models import METHODS, chosen_prior, make_prior
from instascene_ros.models.diffusers_prior import load_model, write_ring_index
from instascene_ros.models.geometric_prior import GeometricPrior
from instascene_ros.models.ring_model import RingModel
from instascene_ros.tools.scene_generator import shapes
from instascene_ros.tools.scene_generator.trajectory import orbit
from tests.observations import observation_of
from tests.scenes import place, tabletop

RIG = Rig.rings(((30.0, 6),), 16)


def write_model(folder: Path, in_channels: int = 11, **options: int) -> Path:
    """A ring model of a few hundred random weights."""
    torch.manual_seed(0)
    network = diffusers.UNet2DModel(
        sample_size=16, in_channels=in_channels, out_channels=5, block_out_channels=(8, 8), layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4, add_attention=False, **options,
    )  # fmt: skip
    network.save_pretrained(folder / "denoiser")
    diffusers.DDIMScheduler(prediction_type="sample").save_pretrained(folder / "scheduler")
    write_ring_index(folder, "UNet2DModel", "DDIMScheduler", RIG, num_steps=3)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "tiny")


@cache
def observation() -> ObjectObservation:
    scene = tabletop([place(shapes.can(0.033, 0.10))], width=120, poses=orbit(4, start_deg=-20, span_deg=40))
    return observation_of(scene, 1)


def config_of(folder: Path | str, **options: int | str) -> CompletionConfig:
    return CompletionConfig(
        model=str(folder), device="cpu", ring_width_px=48, max_voxels=8000, optimisation_steps=5, **options
    )


def prior_of(folder: Path, **options: int | str) -> Prior:
    return make_prior("diffusion", Config(completion=config_of(folder, **options)))


def test_a_model_folder_becomes_a_prior_that_completes_objects(folder: Path) -> None:
    config = config_of(folder)
    prior = make_prior("diffusion", Config(completion=config))
    assert isinstance(prior, Prior)
    assert (prior.name, prior.exact) == ("tiny", False)
    views = prior(observation(), [], 0)
    assert len(views) == len(RIG)
    assert {view.rgb.shape for view in views} == {(16, 16, 3)}
    assert complete_object(observation(), prior, config).method == "tiny"


def test_same_seed_same_views_other_seed_others_and_what_is_known_stays(folder: Path) -> None:
    prior = prior_of(folder)
    assert isinstance(prior, GuidedPrior)
    one, again, other = (prior(observation(), [], seed) for seed in (1, 1, 2))
    known = prior.target(observation(), GeometricPrior(config_of(folder)).guess(observation(), 1)).known
    assert known.known.any() and not known.known.all()
    for k in range(len(RIG)):
        np.testing.assert_array_equal(one[k].rgb, again[k].rgb)
        np.testing.assert_array_equal(one[k].alpha[known.known[k]], known.alpha[k][known.known[k]])
    assert any((a.rgb != b.rgb).any() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("options", "steps"), [({}, 3), ({"denoising_steps": 2}, 2)])
def test_the_number_of_steps_is_the_models_or_the_configured_one(
    folder: Path, options: dict[str, int], steps: int
) -> None:
    told: list[str] = []
    prior_of(folder, **options)(observation(), [], 0, lambda _, message: told.append(message))
    assert sum("denoising step" in message for message in told) == steps


def test_it_can_be_cancelled_between_steps(folder: Path) -> None:
    def report(share: float, message: str) -> None:
        if "step 2" in message:
            raise CancelledError(message)

    with pytest.raises(CancelledError, match="step 2 of 3"):
        prior_of(folder)(observation(), [], 0, report)


def test_numbers_can_be_of_half_size(folder: Path) -> None:
    model = load_model(config_of(folder, model_dtype="bfloat16"), "cpu")
    assert isinstance(model, MultiViewModel)
    views = prior_of(folder, model_dtype="bfloat16")(observation(), [], 0)
    assert all(np.isfinite(view.depth_m).all() for view in views)
    with pytest.raises(BackendUnavailableError, match="model_dtype is 'int3'; expected one of: auto, float32"):
        load_model(config_of(folder, model_dtype="int3"), "cpu")


def test_a_network_with_class_embeddings_is_told_which_view_is_which(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "numbered", num_class_embeds=len(RIG))
    assert len(prior_of(folder)(observation(), [], 0)) == len(RIG)


def hungry(limit: int, calls: list[list[int]]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """A network that has memory for so many views at a time."""

    def network(images: Tensor, timestep: Tensor, rows: Tensor) -> Tensor:
        calls.append(rows.tolist())
        if len(images) > limit:
            raise torch.OutOfMemoryError(f"{len(images)} views")
        return images[:, :5] + rows[:, None, None, None] * 1e-3

    return network


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_short_memory_means_fewer_views_at_a_time_and_the_same_result(folder: Path, limit: int) -> None:
    scheduler, target = diffusers.DDIMScheduler(), prior_of(folder).target(observation())
    samples, calls = [], []
    for at_once in (limit, len(RIG)):
        model = RingModel("m", hungry(at_once, calls), scheduler, RIG, 2, "cpu", exact=True)
        guide = model.encode(target)
        samples.append(guided_sample(model.denoiser(target, guide, 0), scheduler, guide, 2, 0))
        assert model.exact == (at_once == len(RIG)), "parts that know nothing of each other show no one solid"
    torch.testing.assert_close(samples[0], samples[1], atol=0, rtol=0)
    tried = [len(rows) for rows in calls]
    assert tried[0] == 6 and max(tried[2:-2]) <= max(limit, 3)
    assert tried.count(6) == 3  # once in vain, and twice where there was room: it is not tried again
    assert [0, 2, 4] in calls  # a part of the ring goes all the way round


def test_not_enough_memory_for_one_view_is_an_error() -> None:
    model = RingModel("m", hungry(0, []), diffusers.DDIMScheduler(), RIG, 2, "cpu")
    with pytest.raises(torch.OutOfMemoryError, match="1 views"):
        model._in_parts(torch.zeros(6, 11, 16, 16), torch.tensor(3))


def without(path: str) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        (folder / path).unlink()

    return damage


def edited(path: str, **values: object) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        (folder / path).write_text(json.dumps(json.loads((folder / path).read_text()) | values))

    return damage


WEIGHTS = "denoiser/diffusion_pytorch_model.safetensors"
DAMAGES = {
    "no index": (without("model_index.json"), "model_index.json cannot be read"),
    "no json": (lambda f: (f / "model_index.json").write_text("{"), "model_index.json cannot be read"),
    "of another kind": (edited("model_index.json", _class_name="FluxPipeline"), "'FluxPipeline'; expected one of"),
    "no rig": (edited("model_index.json", rig=None), "no usable `rig`"),
    "a start without noise": (edited("model_index.json", start_noise=0), "start_noise is 0.0; expected more than 0"),
    "no such class": (edited("model_index.json", denoiser=["diffusers", "Magic"]), "needs diffusers' Magic"),
    "foreign code": (edited("model_index.json", denoiser=["evil", "Net"]), "names no denoiser of diffusers"),
    "a part is missing": (lambda f: (f / "denoiser").rename(f / "gone"), "no folder denoiser"),
    "no weights": (without(WEIGHTS), "denoiser cannot be loaded"),
    "no config": (without("denoiser/config.json"), "denoiser cannot be loaded"),
    "cut short": (lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-100]), "denoiser cannot be loaded"),
    "not safetensors": (lambda f: (f / WEIGHTS).write_bytes(b"\0" * 64), "denoiser cannot be loaded"),
    "weights of another size": (edited("denoiser/config.json", in_channels=7), "denoiser cannot be loaded"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_wrong_with_a_folder_is_told_in_words(folder: Path, name: str) -> None:
    damage, words = DAMAGES[name]
    damage(folder)
    with pytest.raises(BackendUnavailableError, match=words):
        load_model(config_of(folder), "cpu")


def test_a_network_of_other_channels_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "narrow", in_channels=5)
    with pytest.raises(BackendUnavailableError, match="takes 5 channels and gives 5; a ring .* takes 11"):
        load_model(config_of(folder), "cpu")


def test_a_folder_that_is_not_there_is_told() -> None:
    with pytest.raises(BackendUnavailableError, match="'./no/such': there is no such folder"):
        load_model(config_of("./no/such"), "cpu")


def test_auto_takes_the_model_that_is_named(folder: Path) -> None:
    named = Config(completion=config_of(folder))
    assert METHODS == ("auto", "geometric", "diffusion")
    assert chosen_prior("auto", named) == "diffusion"
    assert make_prior("auto", named).name == "tiny"
    assert make_prior("geometric", named).name == "geometric"


def test_random_weights_cannot_undo_what_was_seen(folder: Path) -> None:
    """Whatever a model makes up, observed surface stays where it was."""
    config = replace(config_of(folder), max_voxels=20_000)
    made = complete_object(observation(), prior_of(folder), config)
    on_can = np.abs(np.linalg.norm(made.vertices_m[made.observed][:, :2], axis=1) - 0.033)
    side = np.abs(made.vertices_m[made.observed][:, 2] - 0.05) < 0.035
    assert side.sum() > 20
    assert np.median(on_can[side]) < 0.003
