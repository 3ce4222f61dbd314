"""Samples to learn from: made beside the learning, kept in a pool."""

import time

import torch

from instascene_ros.tools.prior_training.bank import ShapeBank
from instascene_ros.tools.prior_training.families import FAMILIES
from instascene_ros.tools.prior_training.making import Making
from instascene_ros.tools.prior_training.pool import Pool
from instascene_ros.tools.prior_training.samples import Samples
from instascene_ros.tools.prior_training.settings import TrainingSettings


class Supply:
    """The same samples in the same order for the same seed, whatever the timing. Starts at once."""

    def __init__(self, settings: TrainingSettings, seed: int, device: torch.device) -> None:
        self._settings, self.waited_s = settings, 0.0
        self._pool = Pool(settings.pool, torch.Generator(device).manual_seed(seed + 1))
        self._making = Making(ShapeBank(FAMILIES, settings.per_family, seed, device), settings.fresh, device)
        self._making.begin(settings.first_batches)
        self._pool.add(self._making.result())

    def fill(self) -> None:
        """Wait for the samples that learning begins with."""
        for _ in range(self._settings.first_batches - 1):
            self._pool.add(self._making.result())
        self._making.begin()

    def renew(self) -> None:
        """Those that were being made meanwhile go into the pool, and the next are begun."""
        began = time.monotonic()
        self._pool.add(self._making.result())
        self._making.begin()
        self.waited_s += time.monotonic() - began

    def draw(self) -> Samples:
        """One step's."""
        return self._pool.draw(self._settings.rings)
