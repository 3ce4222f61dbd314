"""Holes filled by an inpainting pipeline of diffusers; the paper uses PowerPaint (supplement, section 6)."""

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from PIL import Image

from instascene_ros.core.config import RemovalConfig
from instascene_ros.core.errors import BackendUnavailableError
from instascene_ros.models.network_images import device_of

MULTIPLE_PX = 8  # of what latents stand for: sizes are multiples of it


class DiffusersInpainter:
    """Any pipeline that diffusers takes for inpainting, from safetensors; same image and hole, same filling.

    Raises:
        BackendUnavailableError: diffusers, the model or the device is missing, or the model is no inpainting pipeline.
    """

    name = "diffusers"

    def __init__(self, config: RemovalConfig) -> None:
        self._config = config
        device = device_of(config.device, "removal.device")
        try:
            from diffusers import AutoPipelineForInpainting
        except ImportError as error:
            raise BackendUnavailableError(f"removal.model needs diffusers ({error}): pip install diffusers") from error
        dtype = torch.float16 if device.type == "cuda" else torch.float32
        try:
            pipeline = AutoPipelineForInpainting.from_pretrained(
                config.model, torch_dtype=dtype, use_safetensors=True, safety_checker=None
            )
        except Exception as error:  # the library, the hub and safetensors raise their own, and none says what to do
            words = " ".join(str(error).split())[:300]
            raise BackendUnavailableError(
                f"removal.model {config.model!r} cannot be loaded ({type(error).__name__}: {words}); expected a folder "
                "or hub model of an inpainting pipeline with safetensors; empty = OpenCV"
            ) from error
        self._pipeline = pipeline.to(device)
        self._pipeline.set_progress_bar_config(disable=True)

    def __call__(self, rgb: UInt8[np.ndarray, "H W 3"], hole: Bool[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
        """See `Inpainter`."""
        height, width = hole.shape
        scale = self._config.size_px / max(height, width)
        size = tuple(max(MULTIPLE_PX, round(side * scale / MULTIPLE_PX) * MULTIPLE_PX) for side in (width, height))
        filled = self._pipeline(
            prompt=self._config.prompt,
            image=Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC),
            mask_image=Image.fromarray(hole).convert("L").resize(size, Image.Resampling.NEAREST),
            width=size[0], height=size[1], num_inference_steps=self._config.steps,
            generator=torch.Generator("cpu").manual_seed(0),
        ).images[0]  # fmt: skip
        back = np.asarray(filled.resize((width, height), Image.Resampling.BICUBIC))
        return np.where(hole[..., None], back, rgb)
