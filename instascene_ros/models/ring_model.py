"""A network that denoises a ring of RGB-D-alpha images in pixel space, as a model of the guided pipeline."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from instascene_ros.core.guidance import Denoise, Guide, Scheduler
from instascene_ros.core.guided_prior import Target
from instascene_ros.core.objects import GeneratedView
from instascene_ros.core.view_tensors import BACKGROUND, NUM_CHANNELS, tensor_of_images, views_of_tensor
from instascene_ros.core.views import Rig

IN_CHANNELS = 2 * NUM_CHANNELS + 1  # the noisy image, what is known of it, and where that is known (1, else 0)
BOUNDED_CHANNELS = IN_CHANNELS + 2  # and between which depths the object may be at all
# (images [V 11 or 13 H W], timestep, row of each view in the rig [V]) -> prediction [V 5 H W]. The batch is the ring,
# so that a network may attend across it; it may be called with an evenly spread part of it where memory is short.
Network = Callable[[Tensor, Tensor, Tensor], Tensor]


class RingModel:
    """All views of one rig at once. See `view_tensors` for what the channels hold."""

    def __init__(
        self,
        name: str,
        network: Network,
        scheduler: Scheduler,
        rig: Rig,
        num_steps: int,
        device: torch.device | str,
        bounded: bool = False,
        start_noise: float = 1.0,
        exact: bool = False,
    ) -> None:
        """`bounded` networks take 13 channels, others 11; what `exact` ones show is one solid, seen from all sides."""
        self.name, self.scheduler, self.rig, self.num_steps = name, scheduler, rig, num_steps
        self.start_noise, self._exact = start_noise, exact
        self._network, self._device, self._at_once, self._bounded = network, device, len(rig), bounded

    @property
    def exact(self) -> bool:
        """See `protocols.Prior`. Where memory is short, parts of the ring are told without the others."""
        return self._exact and self._at_once >= len(self.rig)

    def guess(self, views: Sequence[GeneratedView], target: Target) -> Float[Tensor, "V 5 H W"]:
        """See `guided_prior.Starting`."""
        rgb, depth_m, alpha = (np.stack([getattr(v, name) for v in views]) for name in ("rgb", "depth_m", "alpha"))
        images = tensor_of_images(rgb.astype(np.float32) / 255, depth_m, alpha, target.cameras, target.sphere)
        return images.to(self._device)

    def encode(self, target: Target) -> Guide:
        """See `MultiViewModel`."""
        known = target.known
        content = tensor_of_images(known.rgb, known.depth_m, known.alpha, target.cameras, target.sphere)
        mask = torch.from_numpy(known.known)[:, None]
        return Guide(torch.where(mask, content, 0.0).to(self._device), mask.to(self._device))

    def denoiser(self, target: Target, guide: Guide, seed: int) -> Denoise:
        """See `MultiViewModel`."""
        given = [guide.content, guide.known.to(guide.content.dtype)]
        if self._bounded:
            given.append(bounds_of(target).to(self._device))

        def denoise(noisy: Tensor, timestep: Tensor) -> Tensor:
            return self._in_parts(torch.cat([noisy, *given], dim=1), timestep)

        return denoise

    def decode(self, sample: Float[Tensor, "V 5 H W"], target: Target) -> list[GeneratedView]:
        """See `MultiViewModel`."""
        return views_of_tensor(sample, target.cameras, target.sphere)

    @torch.no_grad()
    def _in_parts(self, images: Float[Tensor, "V C H W"], timestep: Tensor) -> Float[Tensor, "V 5 H W"]:
        """As many views at a time as memory allows; what was learned about that is kept.

        Raises:
            torch.OutOfMemoryError: not even one view fits.
        """
        while True:
            try:
                return self._parts(images, timestep)
            except torch.OutOfMemoryError:
                if self._at_once == 1:
                    raise
                self._at_once = -(-self._at_once // 2)
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()

    def _parts(self, images: Float[Tensor, "V C H W"], timestep: Tensor) -> Float[Tensor, "V 5 H W"]:
        num_parts = -(-len(images) // self._at_once)
        predicted = torch.empty_like(images[:, :NUM_CHANNELS])
        for first in range(num_parts):
            rows = torch.arange(first, len(images), num_parts, device=images.device)  # each part goes all the way round
            predicted[rows] = self._network(images[rows], timestep, rows).to(predicted.dtype)
        return predicted


def bounds_of(target: Target) -> Float[Tensor, "V 2 H W"]:
    """Nearness of the first and the last place on each ray where the object may be; background's where nowhere."""
    bounds = np.stack([target.space.along(*posed) for posed in target.cameras])
    return torch.from_numpy(np.nan_to_num(bounds, nan=BACKGROUND[3]))
