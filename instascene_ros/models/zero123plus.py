"""Zero123++ v1.2 (Shi et al., 2023) as a model of the guided pipeline: six views of 320 px in one image of 3 x 2.

Not verified on the published weights: its conventions are those of its authors' code and issue tracker (objects fill
a sphere that a 30 degree camera just holds; azimuths count anticlockwise from the input view, elevations are absolute).
It makes colours only: silhouettes are what differs from its grey background, depth is that of their hull.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.geometry import inverse, project, transform
from instascene_ros.core.guidance import Denoise, Guide, Scheduler, model_input, noised
from instascene_ros.core.guided_prior import Target
from instascene_ros.core.hull_depth import with_hull_depth
from instascene_ros.core.objects import MASK_OBJECT, GeneratedView
from instascene_ros.core.views import Rig
from instascene_ros.models.reference_attention import with_reference_attention

ROWS, COLUMNS, SIZE_PX = 3, 2, 320
AZIMUTHS_DEG, ELEVATIONS_DEG = (30.0, 90.0, 150.0, 210.0, 270.0, 330.0), (20.0, -10.0) * 3
HALF_FIELD_DEG = 15.0
NUM_STEPS, GUIDANCE = 28, 4.0
LATENT_SHIFT, LATENT_SCALE = 0.22, 0.75  # its authors' scaling of latents and images around zero
IMAGE_SCALE = 0.5 / 0.8
MIN_CONTRAST = 0.06  # of -1..1 to the grey background: less is background


def rig(size_px: int = SIZE_PX) -> Rig:
    """Its cameras, azimuth 0 at the input view."""
    distance = 1 / float(np.tan(np.radians(HALF_FIELD_DEG)))
    return Rig(ELEVATIONS_DEG, AZIMUTHS_DEG, size_px, distance, margin=1.0)


@dataclass(frozen=True)
class Parts:
    """The networks of its model folder, ready to run, and how it wants its input picture."""

    vae: Any
    unet: Any
    text_encoder: Any
    vision_encoder: Any
    tokens: Tensor  # [1 T], of the empty prompt
    ramp: Sequence[float]  # weight of the picture's embedding in every token
    picture_for_vae: Mapping[str, Any]  # size, image_mean, image_std
    picture_for_clip: Mapping[str, Any]


class Zero123Plus:
    """Latent diffusion with the input picture by reference attention and by CLIP embedding."""

    name = "zero123plus"
    exact = False
    num_steps = NUM_STEPS

    def __init__(self, parts: Parts, scheduler: Scheduler, config: CompletionConfig, size_px: int = SIZE_PX) -> None:
        self.scheduler, self.rig = scheduler, rig(size_px)
        self._parts, self._config = parts, config
        self._bank = with_reference_attention(parts.unet)
        self._device, self._dtype = parts.unet.device, parts.unet.dtype

    @torch.no_grad()
    def encode(self, target: Target) -> Guide:
        """See `MultiViewModel`. A latent is known where all of its pixels are."""
        known = target.known
        on_grey = np.where(known.alpha[..., None] > 0.5, 2 * known.rgb - 1, 0).astype(np.float32)
        image = _tiled(torch.from_numpy(on_grey).permute(0, 3, 1, 2)) * IMAGE_SCALE
        latents = self._parts.vae.encode(image.to(self._device, self._dtype)).latent_dist.mode().float()
        latents = (latents * self._parts.vae.config.scaling_factor - LATENT_SHIFT) * LATENT_SCALE
        mask = _tiled(torch.from_numpy(known.known)[:, None].float())
        factor = mask.shape[-1] // latents.shape[-1]
        return Guide(latents, (-functional.max_pool2d(-mask, factor) > 0.5).to(self._device))

    @torch.no_grad()
    def denoiser(self, target: Target, guide: Guide, seed: int) -> Denoise:
        """See `MultiViewModel`. With classifier-free guidance: a grey picture without embedding is the other side."""
        parts, generator = self._parts, torch.Generator("cpu").manual_seed(seed)
        picture = input_picture(target, self.rig.size_px)
        to_encode = _prepared(picture, parts.picture_for_vae).to(self._device, self._dtype)
        both = torch.cat([torch.zeros_like(to_encode), to_encode])
        reference = parts.vae.encode(both).latent_dist.mode().float()
        words = self._embeddings(_prepared(picture, parts.picture_for_clip).to(self._device, self._dtype))

        @torch.no_grad()
        def denoise(noisy: Tensor, timestep: Tensor) -> Tensor:
            noise = torch.randn(reference.shape, generator=generator).to(reference)
            at_level = model_input(self.scheduler, noised(self.scheduler, reference, noise, timestep), timestep)
            with self._bank.set_to("write"):
                self._predict(at_level, timestep, words)
            with self._bank.set_to("read"):
                without, given = self._predict(noisy.expand(2, -1, -1, -1), timestep, words).chunk(2)
            return without + GUIDANCE * (given - without)

        return denoise

    @torch.no_grad()
    def decode(self, sample: Float[Tensor, "1 4 H W"], target: Target) -> list[GeneratedView]:
        """See `MultiViewModel`."""
        vae = self._parts.vae
        latents = (sample / LATENT_SCALE + LATENT_SHIFT) / vae.config.scaling_factor
        image = vae.decode(latents.to(self._dtype), return_dict=False)[0].float().cpu() / IMAGE_SCALE
        pictures = _untiled(image.clamp(-1, 1)).permute(0, 2, 3, 1).numpy()
        views = []
        for row, (camera, T_world_camera) in enumerate(target.cameras):
            known = target.known.known[row]
            alpha = np.where(known, target.known.alpha[row], _silhouette(pictures[row])).astype(np.float32)
            rgb = np.rint((pictures[row] + 1) * 127.5).astype(np.uint8)
            views.append(GeneratedView(camera, T_world_camera, rgb, np.zeros_like(alpha), alpha))
        return with_hull_depth(views, target.sphere, target.observation, self._config)

    def _embeddings(self, picture: Float[Tensor, "1 3 H W"]) -> Float[Tensor, "2 T E"]:
        """Of the empty prompt, alone and with the picture's embedding ramped onto it."""
        parts = self._parts
        words = parts.text_encoder(parts.tokens.to(self._device))[0]
        ramp = words.new_tensor(list(parts.ramp))[None, :, None]
        return torch.cat([words, words + parts.vision_encoder(picture).image_embeds[:, None] * ramp])

    def _predict(self, latents: Tensor, timestep: Tensor, words: Tensor) -> Tensor:
        answer = self._parts.unet(latents.to(self._dtype), timestep, encoder_hidden_states=words, return_dict=False)
        return answer[0].float()


def input_picture(target: Target, size_px: int) -> Float32[Tensor, "1 3 S S"]:
    """The object in the best input view, -1..1, on grey (0), the sphere just filling the square."""
    view, sphere = target.observation.views[target.input_row], target.sphere
    center_px, z = project(transform(inverse(view.T_world_camera), sphere.center_m[None]), view.camera)
    half_px = sphere.radius_m * view.camera.fx / float(z[0])
    own = np.where((view.mask == MASK_OBJECT)[..., None], view.rgb / 127.5 - 1, 0).astype(np.float32)
    steps = torch.linspace(-1 + 1 / size_px, 1 - 1 / size_px, size_px)
    size = torch.tensor([view.camera.width, view.camera.height], dtype=torch.float32)
    at_px = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1) * half_px + torch.from_numpy(center_px[0])
    grid = ((at_px + 0.5) / size * 2 - 1).float()[None]
    image = torch.from_numpy(own).permute(2, 0, 1)[None]
    return functional.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _prepared(picture: Float32[Tensor, "1 3 S S"], wanted: Mapping[str, Any]) -> Float32[Tensor, "1 3 R R"]:
    """At the size and with the mean and deviation that an encoder expects."""
    size = wanted.get("crop_size") or wanted["size"]
    side = size if isinstance(size, int) else size.get("height") or size["shortest_edge"]
    resized = functional.interpolate(picture, (side, side), mode="bicubic", antialias=True).clamp(-1, 1)
    mean, deviation = (torch.tensor(wanted[key])[:, None, None] for key in ("image_mean", "image_std"))
    return ((resized + 1) / 2 - mean) / deviation


def _tiled(images: Float[Tensor, "6 C S S"]) -> Float[Tensor, "1 C R Q"]:
    rows = images.unflatten(0, (ROWS, COLUMNS)).permute(2, 0, 3, 1, 4)  # C rows S columns S
    return rows.flatten(3, 4).flatten(1, 2)[None]


def _untiled(image: Float[Tensor, "1 C R Q"]) -> Float[Tensor, "6 C S S"]:
    side = image.shape[-1] // COLUMNS
    return image[0].unflatten(1, (ROWS, side)).unflatten(3, (COLUMNS, side)).permute(1, 3, 0, 2, 4).flatten(0, 1)


def _silhouette(picture: Float32[np.ndarray, "S S 3"]) -> Bool[np.ndarray, "S S"]:
    """What differs from the grey background: the largest part, its holes filled."""
    parts, count = ndimage.label(np.abs(picture).max(-1) > MIN_CONTRAST)
    if count == 0:
        return parts > 0
    return ndimage.binary_fill_holes(parts == 1 + int(np.bincount(parts.ravel())[1:].argmax()))
