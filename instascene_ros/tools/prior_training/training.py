"""The training run: samples made on the device, learned from, measured, kept. Ends by the clock."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from instascene_ros.models.ring_geometry import sampled
from instascene_ros.models.ring_volume import RingVolume, RingVolumeConfig
from instascene_ros.tools.prior_training.bank import ShapeBank
from instascene_ros.tools.prior_training.checkpoints import Average, read_weights, save_curve, save_log, save_weights
from instascene_ros.tools.prior_training.families import FAMILIES, HELD_OUT
from instascene_ros.tools.prior_training.making import Making
from instascene_ros.tools.prior_training.measuring import measured
from instascene_ros.tools.prior_training.pool import Pool
from instascene_ros.tools.prior_training.ranks import Ranks
from instascene_ros.tools.prior_training.samples import Samples, drawn
from instascene_ros.tools.prior_training.settings import TrainingSettings

MEASURED = 24  # samples of known and of held-out families
CELLS_UNSURE = 0.02  # share of the cells that are not told by themselves: the mean over all says little
RAW, AVERAGED = "raw", "averaged"


class Training:
    """`run()` trains until the time is over; what is on disk by then is at most a minute old.

    Started by torchrun, every GPU learns from samples of its own, `settings.rings` a step each.
    """

    def __init__(self, settings: TrainingSettings, out: Path, resume: Path | None = None) -> None:
        self.settings, self._out, self._ranks = settings, out, Ranks.joined()
        self.device, own_seed = self._ranks.device, settings.seed + 10_000 * self._ranks.rank
        torch.manual_seed(settings.seed)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
        self.network = self._network()
        self._gone_s = 0.0
        if resume is not None:
            self._gone_s = _go_on_from(self.network, resume)
        self.average, self._averaged = Average(self.network, settings.ema), self._network()
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(), settings.learning_rate, (0.9, 0.99), weight_decay=settings.weight_decay,
            fused=self.device.type == "cuda",
        )  # fmt: skip
        torch.manual_seed(own_seed)
        self.bank = ShapeBank(FAMILIES, settings.per_family, own_seed, self.device)
        self.pool = Pool(settings.pool, torch.Generator(self.device).manual_seed(own_seed + 1))
        self._making = Making(self.bank, settings.fresh, self.device)
        self._making.begin(settings.first_batches)
        self._checks = {"known family": self._check(FAMILIES, 901), "unseen family": self._check(HELD_OUT, 902)}
        self._volume: Callable[..., Tensor] = self.network.volume
        self.log: list[dict[str, float]] = []
        self.steps, self.seconds_of_waiting = 0, 0.0

    def run(self, say: Callable[[str], None]) -> None:
        """Train, and keep."""
        s, began = self.settings, time.monotonic()
        kept = told = checked = 0.0
        losses: list[Tensor] = []
        self.pool.add(self._making.result())
        if s.compiled:
            self._compile(say)
        for _ in range(s.first_batches - 1):
            self.pool.add(self._making.result())
        self._making.begin()
        while (gone := self._ranks.seconds(time.monotonic() - began)) < s.seconds:
            if self.steps % s.steps_per_fresh == 0:
                self.make_samples()
            losses.append(self.step((self._gone_s + gone) / (s.total_seconds or s.seconds)))
            if not self._ranks.first:
                continue
            if gone - told > min(10.0, s.seconds / 4):
                row = self._told(losses, gone)
                if gone - checked > s.measure_seconds:
                    row |= self.measure()
                    checked = gone
                say(", ".join(f"{key} {value:.4g}" for key, value in row.items()))
                losses, told = [], gone
            if gone - kept > s.checkpoint_seconds:
                self.save()
                kept = gone
        if self._ranks.first:
            self._finish(losses, time.monotonic() - began, say)

    def _finish(self, losses: list[Tensor], seconds: float, say: Callable[[str], None]) -> None:
        self.log.append(self._told(losses, seconds, keep=False) | self.measure())
        say(str(self.log[-1]))
        self.save()
        save_curve(self.log, self._out / "curve.png")

    def make_samples(self) -> None:
        """Those that were being made meanwhile go into the pool, and the next are begun."""
        began = time.monotonic()
        self.pool.add(self._making.result())
        self._making.begin()
        self.seconds_of_waiting += time.monotonic() - began

    def _compile(self, say: Callable[[str], None]) -> None:
        """The network as one graph of fused kernels; as it is where that fails."""
        began = time.monotonic()
        try:
            self._volume = torch.compile(self.network.volume)
            self.loss(self.pool.draw(self.settings.rings)).backward()
            say(f"compiled in {time.monotonic() - began:.0f} s")
        except Exception as error:  # the compiler's own, of many kinds: training goes on, slower
            say(f"not compiled: {error!r}"[:2000])
            self._volume = self.network.volume
        self._optimizer.zero_grad(set_to_none=True)

    def step(self, share: float) -> Float[Tensor, ""]:
        """One step of learning, `share` of the time gone; the loss."""
        s = self.settings
        warm = min(1.0, (self.steps + 1) / s.warmup_steps)
        rate = s.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        loss = self.loss(self.pool.draw(s.rings))
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._ranks.average_gradients(self.network.parameters())
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        self.average.update(self.network)
        self.steps += 1
        return loss.detach()

    def loss(self, samples: Samples) -> Float[Tensor, ""]:
        """Cross entropy of the cells, and the error of colours where the ring sees the surface."""
        s, count = self.settings, len(samples)
        clean, content, known = (x.flatten(0, 1) for x in (samples.clean, samples.content, samples.known))
        even = torch.rand(count, device=self.device).clamp_min(1e-3)
        even = torch.where(torch.rand(count, device=self.device) < s.pure_share, 1.0, even)
        sigma = s.shift * even / (1 + (s.shift - 1) * even)
        views = samples.clean.shape[1]
        at = sigma.repeat_interleave(views)[:, None, None, None]
        noisy = (1 - at) * torch.where(known, content, clean) + at * torch.randn_like(clean)
        images = torch.cat([noisy, samples.given()], 1)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            volume = self._volume(images, sigma, torch.arange(views, device=self.device), count)
        volume, inside = volume.float(), samples.inside.float() / 255
        unsure = functional.binary_cross_entropy_with_logits(volume[:, 0], inside)
        return unsure / CELLS_UNSURE + s.color_weight * self._color_error(volume[:, 1:], samples)

    def _color_error(self, colors: Float[Tensor, "S 3 G G G"], samples: Samples) -> Float[Tensor, ""]:
        """Mean square, at some pixels' places."""
        clean = samples.clean.flatten(3).transpose(2, 3)  # S V P 5
        places = self.network.settings.shape.place(clean[..., 3]).flatten(1, 2)
        some = torch.randint(places.shape[1], (self.settings.colored_pixels,), device=self.device)
        clean = clean.flatten(1, 2)[:, some]
        told = sampled(colors, places[:, some]).transpose(1, 2)
        there = (clean[..., 4:] > 0).float()
        return (there * (told - clean[..., :3]) ** 2).mean() / there.mean().clamp_min(1e-3)

    def measure(self) -> dict[str, float]:
        """Figures of the averaged weights."""
        self.average.into(self._averaged)
        network = self._averaged.eval()
        return {f"{kind} {name}": value for kind, samples in self._checks.items()
                for name, value in measured(network, samples, shift=self.settings.shift).items()}  # fmt: skip

    def save(self) -> None:
        """Raw weights to go on from, averaged ones to use."""
        self.average.into(self._averaged)
        save_weights(self.network, self._out, RAW)
        save_weights(self._averaged, self._out, AVERAGED)
        save_log([asdict(self.settings) | {"parameters": sum(p.numel() for p in self.network.parameters())}, *self.log],
                 self._out)  # fmt: skip

    def _told(self, losses: list[Tensor], seconds: float, keep: bool = True) -> dict[str, float]:
        loss = float(torch.stack(losses).mean()) if losses else float("nan")
        row = {"seconds": round(self._gone_s + seconds, 1), "steps": self.steps,
               "samples": self.steps * self.settings.rings * self._ranks.count, "loss": round(loss, 5),
               "waited for samples": round(self.seconds_of_waiting, 1)}  # fmt: skip
        if keep:
            self.log.append(row)
        return row

    def _network(self) -> RingVolume:
        s = self.settings
        network = RingVolume(RingVolumeConfig(channels=tuple(s.channels), blocks=s.blocks)).to(self.device)
        for module in network.modules():
            if isinstance(module, nn.Conv3d):
                module.to(memory_format=torch.channels_last_3d)
            elif isinstance(module, nn.Conv2d):
                module.to(memory_format=torch.channels_last)
        return network

    def _check(self, families: tuple, seed: int) -> Samples:
        return drawn(ShapeBank(families, 4, seed, self.device), MEASURED)


def _go_on_from(network: RingVolume, folder: Path) -> float:
    """A run's raw weights, else its averaged ones; or those of a model folder. Seconds that were trained already."""
    if (folder / "denoiser").is_dir():
        state = RingVolume.from_pretrained(folder / "denoiser").state_dict()
    else:
        state = read_weights(folder, RAW if list(folder.glob(f"{RAW}_*")) else AVERAGED)
    network.load_state_dict(state)
    log = folder / "log.json"
    return float(json.loads(log.read_text())[-1]["seconds"]) if log.is_file() else 0.0
