"""Completion priors from model folders in diffusers' format. The only module that imports diffusers.

A folder holds `model_index.json`, and a folder with config and safetensors for each part that it names. No code is
ever loaded with a model. Two kinds are known, by `_class_name`:

- `RingPipeline`: `denoiser` (our own `RingVolume`, or any diffusers network of 11 or 13 channels in and 5 out, see
  `ring_model`), `scheduler`, `rig` (fields of `core.views.Rig`), `num_steps` and perhaps `start_noise`;
- `Zero123PlusPipeline`: as published, see `zero123plus`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.errors import BackendUnavailableError
from instascene_ros.core.guidance import Scheduler
from instascene_ros.core.guided_prior import GuidedPrior, MultiViewModel
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.core.view_tensors import NUM_CHANNELS
from instascene_ros.core.views import Rig
from instascene_ros.models.geometric_prior import GeometricPrior
from instascene_ros.models.hub_models import pretrained_part
from instascene_ros.models.ring_model import BOUNDED_CHANNELS, IN_CHANNELS, Network, RingModel
from instascene_ros.models.ring_volume import RingVolume
from instascene_ros.models.zero123plus import SIZE_PX, Parts, Zero123Plus

INDEX = "model_index.json"
RING, ZERO123PLUS = "RingPipeline", "Zero123PlusPipeline"
OWN = "instascene_ros"
OWN_NETWORKS = {"RingVolume": RingVolume}  # named by ["instascene_ros", "RingVolume"]
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def diffusers_prior(config: CompletionConfig) -> GuidedPrior:
    """The model that `config.model` names, a folder or an id on the Hugging Face hub, ready to run.

    Raises:
        BackendUnavailableError: in words, what is missing, damaged or of another kind, and what to do.
    """
    rasterizer = make_rasterizer(config.device)
    return GuidedPrior(load_model(config, rasterizer.device), rasterizer, config, GeometricPrior(config))


def load_model(config: CompletionConfig, device: str, size_px: int = SIZE_PX) -> MultiViewModel:
    """See `diffusers_prior`. `size_px` is the width of one of Zero123++'s views."""
    folder = _local(config.model)
    index = _read_json(folder, INDEX)
    kind, dtype = index.get("_class_name"), _dtype(config.model_dtype, device)
    if kind == RING:
        return _ring(folder, index, device, dtype)
    if kind == ZERO123PLUS:
        return _zero123plus(folder, index, config, device, dtype, size_px)
    raise BackendUnavailableError(
        f"{folder / INDEX} is of a {kind!r}; expected one of: {RING}, {ZERO123PLUS}: choose another completion.model"
    )


def ddim_scheduler() -> Scheduler:
    """Deterministic, and of numbers that are not clipped: for models that bring no schedule of their own.

    Raises:
        BackendUnavailableError: diffusers is missing.
    """
    try:
        from diffusers import DDIMScheduler
    except ImportError as error:
        raise BackendUnavailableError(f"diffusers is not installed ({error}): pip install diffusers") from error
    return DDIMScheduler(clip_sample=False)


def write_ring_index(
    folder: Path, network: str, scheduler: str, rig: Rig, num_steps: int, start_noise: float = 1.0
) -> None:
    """The `model_index.json` of a ring model; `network` is ours or diffusers', `scheduler` diffusers'."""
    parts = {"denoiser": [OWN if network in OWN_NETWORKS else "diffusers", network]}
    parts |= {"scheduler": ["diffusers", scheduler]}
    index = {"_class_name": RING, **parts, "rig": asdict(rig), "num_steps": num_steps, "start_noise": start_noise}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX).write_text(json.dumps(index, indent=2))


def _ring(folder: Path, index: Mapping[str, Any], device: str, dtype: torch.dtype) -> RingModel:
    try:
        rig = Rig(**{key: tuple(value) if isinstance(value, list) else value for key, value in index["rig"].items()})
        num_steps, start_noise = int(index["num_steps"]), float(index.get("start_noise", 1))
        if not 0 < start_noise <= 1:
            raise ValueError(f"start_noise is {start_noise}; expected more than 0, and at most 1 (noise alone)")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BackendUnavailableError(f"{folder / INDEX} has no usable `rig` and `num_steps`: {error!r}") from error
    denoiser, scheduler = _part(folder, index, "denoiser", dtype), _part(folder, index, "scheduler")
    takes, gives = denoiser.config.get("in_channels"), denoiser.config.get("out_channels")
    if takes not in (IN_CHANNELS, BOUNDED_CHANNELS) or gives != NUM_CHANNELS:
        raise BackendUnavailableError(
            f"the denoiser in {folder} takes {takes} channels and gives {gives}; a ring of RGB, depth and alpha takes "
            f"{IN_CHANNELS} (noisy, known, where it is known) or {BOUNDED_CHANNELS} (and between which depths it can "
            f"be) and gives {NUM_CHANNELS}: is it one?"
        )
    bounded, exact = takes == BOUNDED_CHANNELS, bool(denoiser.config.get("closing"))
    network = _network(denoiser.to(device))
    return RingModel(folder.name, network, scheduler, rig, num_steps, device, bounded, start_noise, exact)


def _network(denoiser: Any) -> Network:
    """A diffusers UNet as `ring_model` calls it; one made with class embeddings is told which view each is."""
    numbered = denoiser.config.get("num_class_embeds") is not None

    def network(images: Tensor, timestep: Tensor, rows: Tensor) -> Tensor:
        labels = {"class_labels": rows} if numbered else {}
        return denoiser(images.to(denoiser.dtype), timestep, return_dict=False, **labels)[0].float()

    return network


def _zero123plus(
    folder: Path, index: Mapping[str, Any], config: CompletionConfig, device: str, dtype: torch.dtype, size_px: int
) -> Zero123Plus:
    names = ("vae", "unet", "text_encoder", "vision_encoder")
    vae, unet, text_encoder, vision_encoder = (_part(folder, index, name, dtype).to(device) for name in names)
    tokenizer, scheduler = _part(folder, index, "tokenizer"), _part(folder, index, "scheduler")
    length = text_encoder.config.max_position_embeddings
    tokens = tokenizer("", padding="max_length", max_length=length, return_tensors="pt").input_ids
    ramp = index.get("ramping_coefficients")
    if not isinstance(ramp, list) or len(ramp) != length:
        raise BackendUnavailableError(f"{folder / INDEX} has no {length} ramping_coefficients, one a token")
    pictures = [_read_json(folder, f"feature_extractor_{kind}/preprocessor_config.json") for kind in ("vae", "clip")]
    parts = Parts(vae, unet, text_encoder, vision_encoder, tokens, ramp, *pictures)
    return Zero123Plus(parts, scheduler, config, size_px)


def _local(source: str) -> Path:
    """The folder itself, or where the hub's files were put."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise BackendUnavailableError(f"completion.model is {source!r}: there is no such folder, and it is no hub id")
    try:
        import huggingface_hub

        return Path(huggingface_hub.snapshot_download(source, allow_patterns=["*.json", "*.txt", "*.safetensors"]))
    except Exception as error:  # whatever its transport raises
        raise BackendUnavailableError(
            f"{source!r} is no folder here and could not be fetched from the hub: {error}; download it elsewhere and "
            "give its folder as completion.model"
        ) from error


def _part(folder: Path, index: Mapping[str, Any], name: str, dtype: torch.dtype | None = None) -> Any:
    """One part, by the class that the index names; without a dtype it has no weights."""
    library, kind = (index.get(name) or (None, None))[:2]
    if library not in (OWN, "diffusers", "transformers") or kind is None:
        raise BackendUnavailableError(f"{folder / INDEX} names no {name} of diffusers or transformers, or of {OWN}")
    if not (folder / name).is_dir():
        raise BackendUnavailableError(f"{folder} has no folder {name}: the model is not whole; download it again")
    try:
        readers = {OWN: _own_part, "transformers": pretrained_part, "diffusers": _diffusers_part}
        part = readers[library](kind, folder / name, dtype)
    except BackendUnavailableError:
        raise
    except Exception as error:  # both libraries and safetensors raise their own, and none says what to do
        words = " ".join(str(error).split())[:300]
        raise BackendUnavailableError(
            f"{folder / name} cannot be loaded ({type(error).__name__}: {words}); expected a config and whole "
            "safetensors that fit it: download it again, or write it with save_pretrained"
        ) from error
    return part if dtype is None else part.eval().requires_grad_(False)


def _own_part(kind: str, folder: Path, dtype: torch.dtype | None) -> Any:
    if kind not in OWN_NETWORKS:
        raise BackendUnavailableError(f"{folder} needs {OWN}'s {kind}; expected one of: {', '.join(OWN_NETWORKS)}")
    return OWN_NETWORKS[kind].from_pretrained(folder, dtype or torch.float32)


def _diffusers_part(kind: str, folder: Path, dtype: torch.dtype | None) -> Any:
    try:
        import diffusers

        made = getattr(diffusers, kind)
    except (ImportError, AttributeError) as error:
        raise BackendUnavailableError(f"{folder} needs diffusers' {kind} ({error}): pip install diffusers") from error
    if dtype is None:
        return made.from_pretrained(str(folder), local_files_only=True)
    return made.from_pretrained(str(folder), local_files_only=True, torch_dtype=dtype, use_safetensors=True)


def _read_json(folder: Path, name: str) -> Any:
    try:
        return json.loads((folder / name).read_text())
    except (OSError, ValueError) as error:
        raise BackendUnavailableError(
            f"{folder / name} cannot be read: {error}; expected a model folder in diffusers' format"
        ) from error


def _dtype(name: str, device: str) -> torch.dtype:
    if name == "auto":
        return torch.float16 if device == "cuda" else torch.float32
    if name not in DTYPES:
        known = ", ".join(("auto", *DTYPES))
        raise BackendUnavailableError(f"completion.model_dtype is {name!r}; expected one of: {known}")
    return DTYPES[name]
