"""The map: 2D Gaussians (surfels) as row-aligned columns on one device."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int32, Int64
from torch import Tensor

from instascene_ros.core.geometry import z_axis_from_quats
from instascene_ros.core.growing_rows import GrowingRows, Kept

NUM_VOTES = 4  # labels remembered per Gaussian (method: streaming votes)
NUM_FEATURES = 16


@dataclass
class GaussianMap:
    """N surfels. A surfel is a flat Gaussian disc: centre, orientation (z = normal), two standard deviations.

    Every column has N rows and stays aligned through `append`, `keep` and `select`; membership in an instance is
    the `vote` columns, so pruning can never leave a dangling index.
    """

    means_m: Float32[Tensor, "N 3"]  # world
    quats_wxyz: Float32[Tensor, "N 4"]  # world from surfel, any length
    log_scales: Float32[Tensor, "N 2"]  # log of standard deviation, m
    opacity_logits: Float32[Tensor, " N"]
    colors: Float32[Tensor, "N 3"]  # 0..1
    confidence: Float32[Tensor, " N"]  # sum of observation weights so far
    vote_ids: Int32[Tensor, "N 4"]  # segment id of each vote, 0 = free slot
    vote_weights: Float32[Tensor, "N 4"]  # accumulated alpha*T of each vote
    birth_ns: Int64[Tensor, " N"]  # stamp of the frame that seeded it
    features: Float32[Tensor, "N 16"] | None = None  # unit, only when refined; 0 for what was added since

    def __post_init__(self) -> None:
        self._growing = GrowingRows()  # not a column: a changed copy gets room of its own

    def __len__(self) -> int:
        return len(self.means_m)

    @property
    def device(self) -> torch.device:
        return self.means_m.device

    @classmethod
    def empty(cls, device: torch.device | str = "cpu") -> "GaussianMap":
        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        return cls(
            means_m=zeros(0, 3), quats_wxyz=zeros(0, 4), log_scales=zeros(0, 2), opacity_logits=zeros(0),
            colors=zeros(0, 3), confidence=zeros(0), vote_ids=zeros(0, NUM_VOTES, dtype=torch.int32),
            vote_weights=zeros(0, NUM_VOTES), birth_ns=zeros(0, dtype=torch.int64),
        )  # fmt: skip

    @classmethod
    def from_surfels(
        cls,
        means_m: Float32[Tensor, "N 3"],
        quats_wxyz: Float32[Tensor, "N 4"],
        scales_m: Float32[Tensor, "N 2"],
        opacities: Float32[Tensor, " N"],
        colors: Float32[Tensor, "N 3"],
    ) -> "GaussianMap":
        """New surfels without votes, born at time 0."""
        n, device = len(means_m), means_m.device
        return cls(
            means_m, quats_wxyz, scales_m.log(), torch.logit(opacities, eps=1e-6), colors,
            confidence=torch.zeros(n, device=device),
            vote_ids=torch.zeros(n, NUM_VOTES, dtype=torch.int32, device=device),
            vote_weights=torch.zeros(n, NUM_VOTES, device=device),
            birth_ns=torch.zeros(n, dtype=torch.int64, device=device),
        )  # fmt: skip

    @property
    def scales_m(self) -> Float32[Tensor, "N 2"]:
        return self.log_scales.exp()

    @property
    def opacities(self) -> Float32[Tensor, " N"]:
        return self.opacity_logits.sigmoid()

    @property
    def normals(self) -> Float32[Tensor, "N 3"]:
        """Unit normals, world; the sign is that of the surfel's own z axis."""
        return z_axis_from_quats(self.quats_wxyz)

    def _each_column(self, change: Callable[[str, Tensor], Tensor]) -> "GaussianMap":
        return GaussianMap(**{name: change(name, getattr(self, name)) for name in self._names()})

    def _names(self) -> list[str]:
        return [f.name for f in fields(self) if getattr(self, f.name) is not None]

    def select(self, rows: Bool[Tensor, " N"] | Int64[Tensor, " R"] | slice) -> "GaussianMap":
        """A new map of the chosen rows."""
        return self._each_column(lambda _, column: column[rows])

    def copied(self) -> "GaussianMap":
        """The same rows in memory of their own."""
        return self._each_column(lambda _, column: column.detach().clone())

    def append(self, other: "GaussianMap") -> None:
        """Add the rows of another map at the end."""
        if self.features is not None and other.features is None:
            other = replace(other, features=other.means_m.new_zeros(len(other), NUM_FEATURES))
        self._change(lambda name, column: self._growing.append(name, column, getattr(other, name)))

    def keep(self, rows: Bool[Tensor, " N"] | Kept) -> None:
        """Drop every row that is not marked; earlier views of the columns change."""
        kept = rows if isinstance(rows, Kept) else Kept.of(rows)
        if len(kept.rows) < len(self):
            self._change(lambda name, column: self._growing.keep(name, column, kept))

    def to(self, device: torch.device | str) -> "GaussianMap":
        return self._each_column(lambda _, column: column.to(device))

    def _change(self, change: Callable[[str, Tensor], Tensor]) -> None:
        changed = {name: change(name, getattr(self, name)) for name in self._names()}
        for name, column in changed.items():
            setattr(self, name, column)

    def columns(self) -> dict[str, np.ndarray]:
        """Every column as a numpy array on the host, by name."""
        return {name: getattr(self, name).detach().cpu().numpy() for name in self._names()}
