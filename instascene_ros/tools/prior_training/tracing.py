"""Rays cast at shapes of a bank: sphere tracing, every ray of every shape at once."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from instascene_ros.tools.prior_training.bank import CELLS, ShapeBank

STEPS, CROWDED_STEPS = 44, 14  # after the second number most rays have missed or arrived
CAUTION = 0.95  # distances are bounds, and interpolated
ARRIVED_M = 0.0003
MISSED = float("inf")


@dataclass(frozen=True)
class Placed:
    """One shape a sample, somewhere in the world."""

    bank: ShapeBank
    rows: Int64[Tensor, " S"]
    R_world_shape: Float[Tensor, "S 3 3"]
    t_world_shape: Float[Tensor, "S 3"]

    def local(self, points_m: Float[Tensor, "S R 3"]) -> Float[Tensor, "S R 3"]:
        """World points in the shapes' own frames."""
        return (points_m - self.t_world_shape[:, None]) @ self.R_world_shape

    def world(self, points_m: Float[Tensor, "S R 3"]) -> Float[Tensor, "S R 3"]:
        """The reverse."""
        return points_m @ self.R_world_shape.transpose(1, 2) + self.t_world_shape[:, None]

    def distance_m(self, points: Float[Tensor, "N 3"], sample: Int64[Tensor, " N"]) -> Float[Tensor, " N"]:
        """Signed distance at points of the shapes' frames; beyond a grid, that at its border."""
        rows = self.rows[sample]
        cell = ((points - self.bank.low_m[rows]) / self.bank.size_m[rows] * (CELLS - 1)).clamp(0, CELLS - 1)
        first = cell.floor().clamp_max(CELLS - 2)
        share = cell - first
        index = first.long()
        index = ((rows * CELLS + index[:, 0]) * CELLS + index[:, 1]) * CELLS + index[:, 2]
        flat = self.bank.grids.reshape(-1)
        x, y, z = share.unbind(-1)
        lines = [torch.lerp(flat[index + o].float(), flat[index + o + 1].float(), z) for o in (0, CELLS)]
        near = torch.lerp(*lines, y)
        lines = [torch.lerp(flat[index + o].float(), flat[index + o + 1].float(), z)
                 for o in (CELLS**2, CELLS**2 + CELLS)]  # fmt: skip
        return torch.lerp(near, torch.lerp(*lines, y), x)

    def normals(self, points: Float[Tensor, "N 3"], sample: Int64[Tensor, " N"]) -> Float[Tensor, "N 3"]:
        """Outward unit normals at points of the shapes' frames, in those frames."""
        step = (0.8 * self.bank.size_m[self.rows[sample]] / (CELLS - 1)).clamp_min(0.0008)
        axes = torch.eye(3, device=points.device)
        slopes = [
            (self.distance_m(points + step * axis, sample) - self.distance_m(points - step * axis, sample))
            / (step * axis).sum(-1)
            for axis in axes
        ]
        return functional.normalize(torch.stack(slopes, -1), dim=-1)


def cast(
    placed: Placed, origins_m: Float[Tensor, "S R 3"], directions: Float[Tensor, "S R 3"]
) -> Float[Tensor, "S R"]:
    """How far along each unit direction the surface is met, m; inf where it is not."""
    origin = placed.local(origins_m).reshape(-1, 3)
    direction = (directions @ placed.R_world_shape).reshape(-1, 3)
    sample = torch.arange(len(placed.rows), device=origin.device).repeat_interleave(origins_m.shape[1])
    enter, leave = _through_box(placed, origin, direction, sample)
    found = torch.full_like(enter, MISSED)
    active = (leave > enter).nonzero()[:, 0]
    o, d, s, t, end = (column[active] for column in (origin, direction, sample, enter, leave))
    for step in range(STEPS):
        distance = placed.distance_m(o + t[:, None] * d, s)
        arrived = distance < ARRIVED_M
        t = torch.where(arrived, t, t + (CAUTION * distance).clamp_min(0.0002))
        if step == CROWDED_STEPS:
            found[active] = torch.where(arrived, t + distance, MISSED)
            keep = (~arrived & (t < end)).nonzero()[:, 0]
            active, o, d, s, t, end = (column[keep] for column in (active, o, d, s, t, end))
    distance = placed.distance_m(o + t[:, None] * d, s)
    found[active] = torch.where((distance < ARRIVED_M) & (t < end), t + distance, MISSED)
    return found.reshape(origins_m.shape[:2])


def _through_box(
    placed: Placed, origin: Float[Tensor, "N 3"], direction: Float[Tensor, "N 3"], sample: Int64[Tensor, " N"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """Where each ray enters and leaves the grid of its shape."""
    rows = placed.rows[sample]
    low = placed.bank.low_m[rows]
    inverse = 1 / torch.where(direction.abs() < 1e-7, 1e-7, direction)
    one, other = (low - origin) * inverse, (low + placed.bank.size_m[rows] - origin) * inverse
    enter, leave = torch.minimum(one, other).amax(-1), torch.maximum(one, other).amin(-1)
    return enter.clamp_min(0), leave
