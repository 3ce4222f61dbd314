"""Random numbers of many shapes at once, and what a family makes of them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from instascene_ros.tools.prior_training.fields import Distances, Numbers, Points

REACH_M = 0.17  # all shapes lie within this of the origin, along each axis
Field = Callable[[Points], Distances]


def uniform_of(count: int, generator: torch.Generator) -> Callable[..., Tensor]:
    """`uniform(*shape)`: numbers in 0..1, of this shape a sample, on the generator's device."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator, device=generator.device)

    return uniform


@dataclass(frozen=True)
class Draw:
    """Random numbers for `count` shapes, on one device."""

    count: int
    generator: torch.Generator

    def within(self, low: float, high: float) -> Numbers:
        return low + (high - low) * torch.rand(self.count, generator=self.generator, device=self.generator.device)

    def three(self, low: float, high: float) -> Float[Tensor, "S 3"]:
        return torch.stack([self.within(low, high) for _ in range(3)], -1)

    def flag(self, share: float) -> Numbers:
        """1 for about this share of the shapes, else 0."""
        return (self.within(0, 1) < share).float()


def at(x: Numbers | None = None, y: Numbers | None = None, z: Numbers | None = None) -> Float[Tensor, "S 3"]:
    """A place a shape; 0 along the axes that are not given."""
    given = next(v for v in (x, y, z) if v is not None)
    return torch.stack([torch.zeros_like(given) if v is None else v for v in (x, y, z)], -1)
