"""The training run: learned from, measured, kept. Ends by the clock."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from instascene_ros.models.ring_volume import RingVolume
from instascene_ros.tools.prior_training.checkpoints import read_weights, save_curve, save_log, save_weights
from instascene_ros.tools.prior_training.learner import Learner, checks_on
from instascene_ros.tools.prior_training.ranks import Ranks
from instascene_ros.tools.prior_training.settings import TrainingSettings
from instascene_ros.tools.prior_training.supply import Supply

RAW, AVERAGED = "raw", "averaged"


class Training:
    """`run()` trains until the time is over; what is on disk by then is at most a minute old.

    Started by torchrun, every GPU learns from samples of its own, `settings.rings` a step each.
    """

    def __init__(self, settings: TrainingSettings, out: Path, resume: Path | None = None) -> None:
        self.settings, self._out, self._ranks = settings, out, Ranks.joined()
        torch.manual_seed(settings.seed)
        weights, self._gone_s = (None, 0.0) if resume is None else _earlier(resume)
        self.learner = Learner(settings, self._ranks.device, weights)
        own_seed = settings.seed + 10_000 * self._ranks.rank
        torch.manual_seed(own_seed)
        self._supply = Supply(settings, own_seed, self._ranks.device)
        self._checks = checks_on(self._ranks.device)
        self.log: list[dict[str, float]] = []

    def run(self, say: Callable[[str], None]) -> None:
        """Train, and keep."""
        s, began = self.settings, time.monotonic()
        kept = told = checked = 0.0
        losses: list[Tensor] = []
        if s.compiled:
            self._compile(say)
        self._supply.fill()
        while (gone := self._ranks.seconds(time.monotonic() - began)) < s.seconds:
            if self.learner.steps % s.steps_per_fresh == 0:
                self._supply.renew()
            share = (self._gone_s + gone) / (s.total_seconds or s.seconds)
            losses.append(self.learner.learn(self._supply.draw(), share, self._ranks.average_gradients))
            if not self._ranks.first:
                continue
            if gone - told > min(10.0, s.seconds / 4):
                row = self._told(losses, gone)
                if gone - checked > s.measure_seconds:
                    row |= self.learner.measure(self._checks)
                    checked = gone
                say(", ".join(f"{key} {value:.4g}" for key, value in row.items()))
                losses, told = [], gone
            if gone - kept > s.checkpoint_seconds:
                self.save()
                kept = gone
        if self._ranks.first:
            self._finish(losses, time.monotonic() - began, say)

    def _compile(self, say: Callable[[str], None]) -> None:
        began = time.monotonic()
        failure = self.learner.compile(self._supply.draw())
        say(f"not compiled: {failure}" if failure else f"compiled in {time.monotonic() - began:.0f} s")

    def _finish(self, losses: list[Tensor], seconds: float, say: Callable[[str], None]) -> None:
        row = self._told(losses, seconds)
        row |= self.learner.measure(self._checks)
        say(str(row))
        self.save()
        save_curve(self.log, self._out / "curve.png")

    def save(self) -> None:
        """Raw weights to go on from, averaged ones to use."""
        save_weights(self.learner.network, self._out, RAW)
        save_weights(self.learner.averaged, self._out, AVERAGED)
        save_log([asdict(self.settings) | {"parameters": self.learner.num_parameters}, *self.log], self._out)

    def _told(self, losses: list[Tensor], seconds: float) -> dict[str, float]:
        """The log's new last row."""
        loss = float(torch.stack(losses).mean()) if losses else float("nan")
        steps = self.learner.steps
        row = {"seconds": round(self._gone_s + seconds, 1), "steps": steps,
               "samples": steps * self.settings.rings * self._ranks.count, "loss": round(loss, 5),
               "waited for samples": round(self._supply.waited_s, 1)}  # fmt: skip
        self.log.append(row)
        return row


def _earlier(folder: Path) -> tuple[dict[str, Tensor], float]:
    """A run's raw weights, else its averaged ones; or those of a model folder. Seconds that were trained already."""
    if (folder / "denoiser").is_dir():
        state = RingVolume.from_pretrained(folder / "denoiser").state_dict()
    else:
        state = read_weights(folder, RAW if list(folder.glob(f"{RAW}_*")) else AVERAGED)
    log = folder / "log.json"
    return state, float(json.loads(log.read_text())[-1]["seconds"]) if log.is_file() else 0.0
