"""Networks of the transformers library, from a folder or the hub; the only module that imports it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from instascene_ros.core.config import NetworkConfig
from instascene_ros.core.errors import BackendUnavailableError
from instascene_ros.models.network_images import placement

IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@dataclass(frozen=True)
class HubModel:
    """A network ready to run, and what its preprocessor_config.json says about images."""

    network: Callable[..., Any]
    size: dict[str, Any]
    mean: list[float]
    std: list[float]
    device: torch.device
    dtype: torch.dtype


def mask2former_network(config: NetworkConfig, usual: str, usual_size: dict[str, int]) -> HubModel:
    """Mask2Former for universal segmentation.

    Raises:
        BackendUnavailableError: transformers, weights or device are missing.
    """
    return _loaded("Mask2FormerForUniversalSegmentation", config, usual, usual_size)


def sam2_network(config: NetworkConfig, usual: str, usual_size: dict[str, int]) -> HubModel:
    """SAM 2 for images.

    Raises:
        BackendUnavailableError: transformers, weights or device are missing.
    """
    return _loaded("Sam2Model", config, usual, usual_size)


def pretrained_part(kind: str, folder: Path, dtype: torch.dtype | None) -> Any:
    """Text and picture encoders, tokenizers: one part of a model folder, by its class; None = it has no weights.

    Raises:
        BackendUnavailableError: transformers, or that class in it, is missing.
        Exception: whatever the library raises for files that are missing, damaged or of another kind.
    """
    made = class_called(kind)
    if dtype is None:
        return made.from_pretrained(str(folder), local_files_only=True)
    return made.from_pretrained(str(folder), local_files_only=True, dtype=dtype, use_safetensors=True)


def class_called(kind: str) -> Any:
    try:
        import transformers

        return getattr(transformers, kind)
    except (ImportError, AttributeError) as error:
        raise BackendUnavailableError(
            f"{kind} needs transformers ({error}): pip install 'transformers>=4.56'"
        ) from error


def _loaded(kind: str, config: NetworkConfig, usual: str, usual_size: dict[str, int]) -> HubModel:
    network_class, images_class = class_called(kind), class_called("ImageProcessingMixin")
    device, dtype = placement(config)
    name = config.model or usual
    try:
        if name.startswith(("/", ".", "~")) and not Path(name).expanduser().is_dir():
            raise OSError("there is no such folder")
        network, report = network_class.from_pretrained(
            name, dtype=dtype, output_loading_info=True, use_safetensors=True
        )
        images, _ = images_class.get_image_processor_dict(name)
    except (OSError, ValueError, KeyError, RuntimeError) as error:  # the library's words for: not there, not readable
        first = str(error).strip().partition("\n")[0]
        raise BackendUnavailableError(
            f"cannot load {kind} from {name!r}: {first}; networks.model (--model) has to name a folder with "
            "config.json, preprocessor_config.json and model.safetensors, or a model of a hub in reach"
        ) from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise BackendUnavailableError(
            f"{name!r} is no {kind}: {len(missing)} weights are missing, such as {missing[0]}"
        )
    network = network.eval().requires_grad_(False).to(device)
    return HubModel(
        network, images.get("size", usual_size), images.get("image_mean", IMAGENET_MEAN),
        images.get("image_std", IMAGENET_STD), device, dtype,
    )  # fmt: skip
