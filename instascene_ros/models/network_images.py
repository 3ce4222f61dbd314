"""What all networks share: where they run, and images as they take them, without torchvision."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from instascene_ros.core.config import NetworkConfig
from instascene_ros.core.errors import BackendUnavailableError

PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
DEVICES = ("auto", "cpu", "cuda")


def placement(config: NetworkConfig) -> tuple[torch.device, torch.dtype]:
    """Device and number format that a configuration asks for.

    Raises:
        BackendUnavailableError: no such device or format.
    """
    device = device_of(config.device, "networks.device")
    name = config.precision if config.precision != "auto" else "float16" if device.type == "cuda" else "float32"
    if name not in PRECISIONS:
        raise BackendUnavailableError(
            f"networks.precision is {config.precision!r}; expected auto or one of {', '.join(PRECISIONS)}"
        )
    return device, PRECISIONS[name]


def device_of(name: str, knob: str) -> torch.device:
    """The device called auto, cpu or cuda; `knob` is what said so.

    Raises:
        BackendUnavailableError: no such device.
    """
    if name not in DEVICES:
        raise BackendUnavailableError(f"{knob} is {name!r}; expected one of {', '.join(DEVICES)}")
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise BackendUnavailableError(
            f"{knob} is 'cuda' but torch finds no GPU: set cpu, or install a CUDA build of torch"
        )
    return torch.device("cuda" if has_gpu and name != "cpu" else "cpu")


def working_size(size: dict[str, Any], height: int, width: int) -> tuple[int, int]:
    """Height and width that an image is resized to, by the `size` of a preprocessor_config.json.

    Raises:
        BackendUnavailableError: a kind of size that is not known.
    """
    if size.get("height") and size.get("width"):
        return int(size["height"]), int(size["width"])
    if not size.get("shortest_edge"):
        raise BackendUnavailableError(
            f"preprocessor_config.json has size {size}; expected height and width, or shortest_edge and longest_edge"
        )
    short, long = min(height, width), max(height, width)
    edge = float(size["shortest_edge"])
    if size.get("longest_edge") and long / short * edge > size["longest_edge"]:
        edge = size["longest_edge"] * short / long
    short_px, long_px = round(edge), int(edge * long / short)  # cut off, not rounded: as the networks were trained
    return (short_px, long_px) if height <= width else (long_px, short_px)


def network_input(
    rgb: UInt8[np.ndarray, "H W 3"], height: int, width: int, mean: list[float], std: list[float]
) -> Float[Tensor, "1 3 h w"]:
    """The image resized (bilinear, averaged where it shrinks), in 0..1, minus `mean`, over `std`."""
    image = torch.tensor(rgb).permute(2, 0, 1)[None].float()
    resized = interpolate(image, (height, width), mode="bilinear", antialias=True).round().clamp(0, 255)
    shape = (1, 3, 1, 1)
    return (resized / 255 - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)


def at_image(logits: Float32[Tensor, "M h w"], height: int, width: int) -> Float32[Tensor, "M H W"]:
    """A network's coarse masks at the size of the image that it was given stretched."""
    if not len(logits):
        return logits.new_zeros(0, height, width)
    return interpolate(logits[None], (height, width), mode="bilinear")[0]
