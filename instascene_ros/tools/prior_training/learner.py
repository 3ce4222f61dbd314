"""A network that learns from samples, and the average of its weights."""

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from instascene_ros.models.ring_geometry import sampled
from instascene_ros.models.ring_volume import RingVolume, RingVolumeConfig
from instascene_ros.tools.prior_training.bank import ShapeBank
from instascene_ros.tools.prior_training.checkpoints import Average
from instascene_ros.tools.prior_training.families import FAMILIES, HELD_OUT
from instascene_ros.tools.prior_training.measuring import measured
from instascene_ros.tools.prior_training.samples import Samples, drawn
from instascene_ros.tools.prior_training.settings import TrainingSettings

MEASURED = 24  # samples of known and of held-out families
CELLS_UNSURE = 0.02  # share of the cells that are not told by themselves: the mean over all says little


def checks_on(device: torch.device) -> dict[str, Samples]:
    """What networks are measured on; the same for every run."""
    kinds = {"known family": (FAMILIES, 901), "unseen family": (HELD_OUT, 902)}
    return {kind: drawn(ShapeBank(families, 4, seed, device), MEASURED) for kind, (families, seed) in kinds.items()}


class Learner:
    """`network` learns; `averaged` is what is measured and shipped."""

    def __init__(
        self, settings: TrainingSettings, device: torch.device, weights: Mapping[str, Tensor] | None = None
    ) -> None:
        self._settings, self._device = settings, device
        self.network, self._averaged = _network(settings, device), _network(settings, device)
        if weights is not None:
            self.network.load_state_dict(weights)
        self._average, self.steps = Average(self.network, settings.ema), 0
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(), settings.learning_rate, (0.9, 0.99), weight_decay=settings.weight_decay,
            fused=device.type == "cuda",
        )  # fmt: skip
        self._volume: Callable[..., Tensor] = self.network.volume

    @property
    def num_parameters(self) -> int:
        return sum(p.numel() for p in self.network.parameters())

    @property
    def averaged(self) -> RingVolume:
        """With the weights of now."""
        self._average.into(self._averaged)
        return self._averaged.eval()

    def compile(self, samples: Samples) -> str:
        """The network as one graph of fused kernels; as it is where that fails. Says why, or ""."""
        said = ""
        try:
            self._volume = torch.compile(self.network.volume)
            self.loss(samples).backward()
        except Exception as error:  # the compiler's own, of many kinds: training goes on, slower
            said, self._volume = repr(error)[:2000], self.network.volume
        self._optimizer.zero_grad(set_to_none=True)
        return said

    def learn(
        self, samples: Samples, share: float, shared: Callable[[Iterable[nn.Parameter]], None] = lambda parameters: None
    ) -> Float[Tensor, ""]:
        """One step, `share` of the time gone; `shared` sees the gradients before they are followed. The loss."""
        s = self._settings
        warm = min(1.0, (self.steps + 1) / s.warmup_steps)
        rate = s.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad(set_to_none=True)
        loss = self.loss(samples)
        loss.backward()
        shared(self.network.parameters())
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        self._average.update(self.network)
        self.steps += 1
        return loss.detach()

    def loss(self, samples: Samples) -> Float[Tensor, ""]:
        """Cross entropy of the cells, and the error of colours where the ring sees the surface."""
        s, count = self._settings, len(samples)
        clean, content, known = (x.flatten(0, 1) for x in (samples.clean, samples.content, samples.known))
        even = torch.rand(count, device=self._device).clamp_min(1e-3)
        even = torch.where(torch.rand(count, device=self._device) < s.pure_share, 1.0, even)
        sigma = s.shift * even / (1 + (s.shift - 1) * even)
        views = samples.clean.shape[1]
        at = sigma.repeat_interleave(views)[:, None, None, None]
        noisy = (1 - at) * torch.where(known, content, clean) + at * torch.randn_like(clean)
        images = torch.cat([noisy, samples.given()], 1)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            volume = self._volume(images, sigma, torch.arange(views, device=self._device), count)
        inside = samples.inside.float() / 255
        inside = functional.avg_pool3d(inside, inside.shape[-1] // s.cells)
        volume = volume.float()
        unsure = functional.binary_cross_entropy_with_logits(volume[:, 0], inside)
        return unsure / CELLS_UNSURE + s.color_weight * self._color_error(volume[:, 1:], samples)

    def _color_error(self, colors: Float[Tensor, "S 3 G G G"], samples: Samples) -> Float[Tensor, ""]:
        """Mean square, at some pixels' places."""
        clean = samples.clean.flatten(3).transpose(2, 3)  # S V P 5
        places = self.network.settings.shape.place(clean[..., 3]).flatten(1, 2)
        some = torch.randint(places.shape[1], (self._settings.colored_pixels,), device=self._device)
        clean = clean.flatten(1, 2)[:, some]
        told = sampled(colors, places[:, some]).transpose(1, 2)
        there = (clean[..., 4:] > 0).float()
        return (there * (told - clean[..., :3]) ** 2).mean() / there.mean().clamp_min(1e-3)

    def measure(self, checks: Mapping[str, Samples]) -> dict[str, float]:
        """Figures of the averaged weights."""
        network = self.averaged
        return {f"{kind} {name}": value for kind, samples in checks.items()
                for name, value in measured(network, samples, shift=self._settings.shift).items()}  # fmt: skip


def _network(settings: TrainingSettings, device: torch.device) -> RingVolume:
    config = RingVolumeConfig(channels=tuple(settings.channels), blocks=settings.blocks, cells=settings.cells)
    network = RingVolume(config).to(device)
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            module.to(memory_format=torch.channels_last_3d)
        elif isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)
    return network
