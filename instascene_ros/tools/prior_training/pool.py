"""Samples that were made, kept on the device to be learned from a few times."""

import torch

from instascene_ros.tools.prior_training.samples import Samples, columns_of

DTYPES = torch.half, torch.half, torch.bool, torch.half, torch.uint8, torch.long


class Pool:
    """The newest samples take the places of the oldest. Half precision."""

    def __init__(self, capacity: int, generator: torch.Generator) -> None:
        self._capacity, self._generator, self._next, self._filled = capacity, generator, 0, 0
        self._samples: Samples | None = None

    def __len__(self) -> int:
        return self._filled

    def add(self, samples: Samples) -> None:
        """At most as many as the pool holds."""
        if self._samples is None:
            self._samples = Samples(*(
                torch.zeros(self._capacity, *column.shape[1:], dtype=dtype, device=column.device)
                for column, dtype in zip(columns_of(samples), DTYPES, strict=True)
            ))  # fmt: skip
        rows = (self._next + torch.arange(len(samples))) % self._capacity
        rows = rows.to(samples.clean.device)
        for kept, new in zip(columns_of(self._samples), columns_of(samples), strict=True):
            kept[rows] = new.to(kept.dtype)
        self._next = (self._next + len(samples)) % self._capacity
        self._filled = min(self._filled + len(samples), self._capacity)

    def draw(self, count: int) -> Samples:
        """At random, half of them as a mirror shows them, the colours' channels in any order."""
        device, g = self._generator.device, self._generator
        samples = self._samples[torch.randint(self._filled, (count,), generator=g, device=device)]
        flip = torch.rand(count, generator=g, device=device) < 0.5
        order = torch.randperm(3, generator=g, device=device)
        channels = torch.cat([order, torch.arange(3, 5, device=device)])
        clean, content = samples.clean.float()[:, :, channels], samples.content.float()[:, :, channels]
        mirrored = [torch.where(flip[:, None, None, None, None], mirror(images), images)
                    for images in (clean, content, samples.known, samples.bounds)]  # fmt: skip
        inside = torch.where(flip[:, None, None, None], samples.inside.flip(2), samples.inside)
        return Samples(*mirrored, inside, samples.shape)


def mirror(images: torch.Tensor) -> torch.Tensor:
    """A ring [S V C H W] in the mirror that stands along its azimuth 0."""
    views = images.shape[1]
    return images[:, -torch.arange(views, device=images.device) % views].flip(-1)
