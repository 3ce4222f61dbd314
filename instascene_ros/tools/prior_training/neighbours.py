"""What stands around, leans over and lies under an object: boxes and ellipsoids, so that it is seen in part."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from instascene_ros.models.ring_geometry import lattice
from instascene_ros.tools.prior_training.draws import uniform_of
from instascene_ros.tools.prior_training.tracing import Placed

COUNT, UNDER = 14, 3  # drawn around an object, and those of them that hold it where it does not lie on the table
GAP_M = 0.001
PROBES = 5  # along each axis of a neighbour, where it is asked whether it cuts into the object
AWAY_M = -5.0  # below the table: not there


@dataclass(frozen=True)
class Neighbours:
    """Turned about the vertical."""

    center_m: Float[Tensor, "S N 3"]
    half_m: Float[Tensor, "S N 3"]
    angle: Float[Tensor, "S N"]
    round: Bool[Tensor, "S N"]  # an ellipsoid

    @classmethod
    def drawn(cls, placed: Placed, raised: Bool[Tensor, " S"], generator: torch.Generator) -> "Neighbours":
        """None to many, some so near that they hide most; none cuts into the object."""
        uniform = uniform_of(len(placed.rows), generator)
        surface = placed.world(placed.bank.surface_m[placed.rows])
        low, high = surface.amin(1), surface.amax(1)
        half = torch.stack([0.012 + 0.05 * uniform(COUNT), 0.012 + 0.05 * uniform(COUNT),
                            0.008 + 0.075 * uniform(COUNT) ** 1.3], -1)  # fmt: skip
        angle = 2 * math.pi * uniform(COUNT)
        toward = torch.stack([angle.cos(), angle.sin()], -1)
        own = ((high - low)[:, None, :2] / 2 * toward.abs()).sum(-1)
        away = own + half[..., :2].norm(dim=-1) * (1.2 * uniform(COUNT) - 0.2) + 0.12 * uniform(COUNT) ** 2
        base = torch.where(uniform(COUNT) < 0.65, 0.0, high[:, None, 2] * uniform(COUNT))
        flat = ((low + high) / 2)[:, None, :2] + away[..., None] * toward
        center = torch.cat([flat, (base + half[..., 2])[..., None]], -1)
        there = uniform(COUNT) < uniform(1)
        center, half, there = _holding(center, half, there, surface, raised, uniform)
        made = cls(center, half, math.pi * uniform(COUNT), uniform(COUNT) < 0.3)
        there = there & ~made._cuts(placed, surface)
        center[..., 2] = torch.where(there, center[..., 2], AWAY_M)
        return made

    def cast(self, eye_m: Float[Tensor, "S R 3"], rays: Float[Tensor, "S R 3"]) -> Float[Tensor, "S R"]:
        """How many lengths of each ray away the first of them is; inf where none is."""
        nearest = torch.full_like(rays[..., 0], math.inf)
        for n in range(self.center_m.shape[1]):
            offset, direction = self._local(eye_m, n), self._turned(rays, n)
            half = self.half_m[:, n, None]
            enter = torch.where(self.round[:, n, None], _ball(offset, direction, half), _box(offset, direction, half))
            nearest = torch.where((enter > 0) & (enter < nearest), enter, nearest)
        return nearest

    def _cuts(self, placed: Placed, surface: Float[Tensor, "S P 3"]) -> Bool[Tensor, "S N"]:
        grid = lattice(torch.linspace(-1, 1, PROBES, device=surface.device))
        cuts = []
        for n in range(self.center_m.shape[1]):
            probes = self.center_m[:, n, None] + self._turned(grid * self.half_m[:, n, None], n, back=True)
            sample = torch.arange(len(probes), device=probes.device).repeat_interleave(len(grid))
            clear = placed.distance_m(placed.local(probes).reshape(-1, 3), sample).reshape(len(probes), -1)
            holds = (self._local(surface, n).abs() < self.half_m[:, n, None]).all(-1).any(-1)
            cuts.append((clear < GAP_M).any(-1) | holds)
        return torch.stack(cuts, 1)

    def _local(self, points: Float[Tensor, "S R 3"], n: int) -> Float[Tensor, "S R 3"]:
        return self._turned(points - self.center_m[:, n, None], n)

    def _turned(self, v: Float[Tensor, "S R 3"], n: int, back: bool = False) -> Float[Tensor, "S R 3"]:
        c, s = self.angle[:, n, None].cos(), self.angle[:, n, None].sin() * (-1 if back else 1)
        return torch.stack([c * v[..., 0] + s * v[..., 1], c * v[..., 1] - s * v[..., 0], v[..., 2]], -1)


def _holding(
    center: Float[Tensor, "S N 3"],
    half: Float[Tensor, "S N 3"],
    there: Bool[Tensor, "S N"],
    surface: Float[Tensor, "S P 3"],
    raised: Bool[Tensor, " S"],
    uniform: Callable[..., Tensor],
) -> tuple[Float[Tensor, "S N 3"], Float[Tensor, "S N 3"], Bool[Tensor, "S N"]]:
    """The first few stand under the objects that do not lie on the table, just below them."""
    for n in range(UNDER):
        row = (uniform() * surface.shape[1]).long()
        foot = surface[torch.arange(len(surface), device=surface.device), row]
        beside = (surface[..., :2] - foot[:, None, :2]).norm(dim=-1) < half[:, n, :2].norm(dim=-1)[:, None] + 0.002
        top = torch.where(beside, surface[..., 2], 1.0).amin(1) - 2 * GAP_M
        good = raised & (top > 0.006)
        under = torch.stack([foot[:, 0], foot[:, 1], top / 2], -1)
        center[:, n] = torch.where(good[:, None], under, center[:, n])
        half[:, n, 2] = torch.where(good, (top / 2).clamp_min(0.003), half[:, n, 2])
        there[:, n] |= good
    return center, half, there


def _box(offset: Tensor, direction: Tensor, half: Tensor) -> Float[Tensor, "S R"]:
    inverse = 1 / torch.where(direction.abs() < 1e-7, 1e-7, direction)
    reach = half * inverse.abs()
    enter, leave = (-offset * inverse - reach).amax(-1), (-offset * inverse + reach).amin(-1)
    return torch.where(leave > enter, enter, -1.0)


def _ball(offset: Tensor, direction: Tensor, half: Tensor) -> Float[Tensor, "S R"]:
    o, d = offset / half, direction / half
    a, b, c = (d * d).sum(-1), (o * d).sum(-1), (o * o).sum(-1) - 1
    inside = b * b - a * c
    return torch.where(inside > 0, (-b - inside.clamp_min(0).sqrt()) / a, -1.0)
