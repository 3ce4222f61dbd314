"""Many shapes as grids of signed distances, so that one ray caster serves every family."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from instascene_ros.models.ring_geometry import lattice
from instascene_ros.tools.prior_training.draws import REACH_M, Draw, Field
from instascene_ros.tools.prior_training.families import FAMILIES

CELLS = 64  # of a grid, along each axis: they are as small as the shape is thin
COARSE = 40  # to find a shape's box


class ShapeBank:
    """Shapes of these families, a part of them renewed now and then."""

    def __init__(
        self,
        families: Sequence[Callable[[Draw], Field]] = FAMILIES,
        per_family: int = 64,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self._families, self._count, self._next = families, per_family, 0
        self.generator = torch.Generator(device).manual_seed(seed)
        shapes = len(families) * per_family
        self.grids = torch.zeros(shapes, CELLS**3, dtype=torch.float16, device=device)  # m
        self.low_m, self.size_m = torch.zeros(2, shapes, 3, device=device)  # corners of the first and the last cell
        self.solid_m = torch.zeros(shapes, 2, 3, device=device)  # box of what is inside
        self.surface_m = torch.zeros(shapes, 512, 3, device=device)
        for _ in families:
            self.renew()

    def __len__(self) -> int:
        return len(self.grids)

    def renew(self) -> None:
        """New shapes of the next family in turn."""
        rows = slice(self._next * self._count, (self._next + 1) * self._count)
        field = self._families[self._next](Draw(self._count, self.generator))
        self._next = (self._next + 1) % len(self._families)
        low, size = _box_of(field, self._count, self.grids.device)
        points = low[:, None] + size[:, None] * _unit_cells(CELLS, self.grids.device)
        distances = field(points)
        self.grids[rows], self.low_m[rows], self.size_m[rows] = distances.half(), low, size
        inside = (distances < 0)[..., None]
        self.solid_m[rows, 0] = torch.where(inside, points, 1.0).amin(1)
        self.solid_m[rows, 1] = torch.where(inside, points, -1.0).amax(1)
        self.surface_m[rows] = self._near_surface(points, distances)

    def draw(self, count: int) -> Int64[Tensor, " S"]:
        """Rows of shapes, every family as often as any."""
        return torch.randint(len(self), (count,), generator=self.generator, device=self.grids.device)

    def _near_surface(self, points: Float[Tensor, "S N 3"], distances: Float[Tensor, "S N"]) -> Float[Tensor, "S P 3"]:
        """Cells inside, next to the surface, at random."""
        step = self.size_m.new_tensor(1.5) * (points[:, -1] - points[:, 0]).amax(-1)[:, None] / CELLS
        rank = torch.rand(distances.shape, generator=self.generator, device=distances.device)
        rank = torch.where((distances < 0) & (distances > -step), rank, rank - 1)
        rank = torch.where(distances < 0, rank, rank - 10)
        best = rank.topk(self.surface_m.shape[1], dim=1).indices
        return points.gather(1, best[..., None].expand(-1, -1, 3))


def _unit_cells(count: int, device: torch.device) -> Float[Tensor, "N 3"]:
    return lattice(torch.linspace(0, 1, count, device=device))


def _box_of(
    field: Field, count: int, device: torch.device
) -> tuple[Float[Tensor, "S 3"], Float[Tensor, "S 3"]]:
    """(low corner, size) of a box that holds each shape and a little around it."""
    cells = (2 * _unit_cells(COARSE, device) - 1) * REACH_M
    cell_m = 2 * REACH_M / (COARSE - 1)
    near = (field(cells.expand(count, -1, -1)) < 0.9 * cell_m)[..., None]
    low = torch.where(near, cells, REACH_M).amin(1) - 0.3 * cell_m
    high = torch.where(near, cells, -REACH_M).amax(1) + 0.3 * cell_m
    return low, (high - low).clamp_min(1e-3)
