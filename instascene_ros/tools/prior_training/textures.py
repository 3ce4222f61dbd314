"""Colours all through the volume of a shape: plain, bands, stripes, blocks, spots and labels, with noise."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from instascene_ros.tools.prior_training.draws import uniform_of

KINDS = 6


@dataclass(frozen=True)
class Textures:
    """One row a sample; colours are sRGB 0..1, lengths those of the shapes' frames (m)."""

    kind: Int64[Tensor, " S"]
    colors: Float[Tensor, "S 4 3"]
    axis: Float[Tensor, "S 3"]
    period_m: Float[Tensor, " S"]
    label: Float[Tensor, "S 2"]  # heights along the axis between which it lies
    waves: Float[Tensor, "S 4 3"]
    phases: Float[Tensor, "S 4"]
    speckle: Float[Tensor, " S"]

    @classmethod
    def drawn(cls, count: int, generator: torch.Generator) -> "Textures":
        """At random."""
        uniform = uniform_of(count, generator)
        axis = torch.eye(3, device=generator.device)[(3.5 * uniform()).long().clamp_max(2)]  # z most often
        grey = uniform(4, 1) * (uniform(4, 1) < 0.3)
        colors = torch.where(grey > 0, grey.expand(-1, -1, 3), uniform(4, 3) ** (0.5 + uniform(4, 1)))
        low = -0.06 + 0.08 * uniform()
        label = torch.stack([low, low + 0.02 + 0.08 * uniform()], -1)
        return cls(
            (KINDS * uniform()).long(), 0.05 + 0.9 * colors, axis, 0.012 + 0.06 * uniform(), label,
            2 * math.pi * (8 + 40 * uniform(1, 1)) * (2 * uniform(4, 3) - 1), 2 * math.pi * uniform(4),
            0.12 * uniform(),
        )  # fmt: skip

    def at(self, points: Float[Tensor, "N 3"], sample: Int64[Tensor, " N"]) -> Float[Tensor, "N 3"]:
        """Colour at points of the shapes' frames."""
        along = (points * self.axis[sample]).sum(-1)
        period, kind = self.period_m[sample], self.kind[sample]
        field = ((self.waves[sample] * points[:, None]).sum(-1) + self.phases[sample]).sin().mean(-1)
        cells = (points / period[:, None]).floor().long().sum(-1) % 2
        striped = (along / period).floor().long() % 2
        low, high = self.label[sample].unbind(-1)
        on_label = (along > low) & (along < high)
        bands = (along > low).long() + (along > high).long()
        printed = torch.where(on_label, 1 + (field > 0.15).long(), 0)
        choices = torch.stack([torch.zeros_like(bands), bands, striped, cells, (field > 0.2).long(), printed])
        chosen = choices.gather(0, kind[None])[0]
        colors = self.colors[sample, chosen]
        fine = (points * 900 + 17 * self.phases[sample, :3]).sin().prod(-1)
        return (colors * (1 + self.speckle[sample] * (field + 0.5 * fine))[:, None]).clamp(0, 1)


@dataclass(frozen=True)
class Lamps:
    """One far lamp above and light from everywhere, a row a sample."""

    toward: Float[Tensor, "S 3"]
    ambient: Float[Tensor, " S"]

    @classmethod
    def drawn(cls, count: int, generator: torch.Generator) -> "Lamps":
        """At random."""
        toward = torch.randn(count, 3, generator=generator, device=generator.device)
        toward[:, 2] = toward[:, 2].abs() + 0.8
        ambient = 0.45 + 0.4 * torch.rand(count, generator=generator, device=generator.device)
        return cls(functional.normalize(toward, dim=-1), ambient)

    def shade(
        self, colors: Float[Tensor, "N 3"], normals: Float[Tensor, "N 3"], sample: Int64[Tensor, " N"]
    ) -> Float[Tensor, "N 3"]:
        """Colours as they look under the lamp; normals in the world frame."""
        direct = (normals * self.toward[sample]).sum(-1).clamp_min(0)
        sky = 0.85 + 0.15 * normals[:, 2]
        ambient = self.ambient[sample]
        return (colors * (ambient * sky + (1.1 - ambient) * direct)[:, None]).clamp(0, 1)
