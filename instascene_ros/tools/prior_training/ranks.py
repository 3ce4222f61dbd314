"""GPUs of one host that learn the same network: a process each, as torchrun starts them; one alone without it."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import distributed, nn


@dataclass(frozen=True)
class Ranks:
    """This process among `count`."""

    rank: int
    count: int
    device: torch.device

    @classmethod
    def joined(cls) -> "Ranks":
        """Waits until all are there; their arithmetic is as fast as training allows."""
        rank, count = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))
        device = torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")
        if device.type == "cuda":
            torch.cuda.set_device(device)
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
            torch.backends.cudnn.benchmark = True
        if count > 1:
            distributed.init_process_group("cuda:nccl,cpu:gloo" if device.type == "cuda" else "gloo")
        return cls(rank, count, device)

    @property
    def first(self) -> bool:
        """The one that measures, tells and keeps."""
        return self.rank == 0

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Every process goes on with the mean over all."""
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        parts = (flat / self.count).split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def seconds(self, own: float) -> float:
        """The first one's clock, so that all learn at the same rate and end together."""
        if self.count == 1:
            return own
        told = torch.tensor([own], dtype=torch.float64)
        distributed.broadcast(told, 0)
        return float(told)
