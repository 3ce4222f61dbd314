"""Where a ring's pixels look in the volume between its cameras, and the other way round. Lengths in radii.

The volume is the cube around the object's sphere: x to the camera of azimuth 0, z up. A place's nearness in a view is
how far it lies in front of the sphere's middle, along the optical axis.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class RingShape:
    """A ring as `core.views.Rig` makes it of one elevation."""

    views: int = 16
    size_px: int = 64
    elevation_deg: float = 30.0
    distance_radii: float = 4.0
    margin: float = 1.15

    @property
    def focal_px(self) -> float:
        return self.size_px * self.distance_radii / (2 * self.margin)

    def R_ring_camera(self, device: torch.device | str = "cpu") -> Float[Tensor, "V 3 3"]:
        """Columns: right, down and forward of each view."""
        azimuth = torch.arange(self.views, device=device) * (2 * math.pi / self.views)
        elevation = torch.full_like(azimuth, math.radians(self.elevation_deg))
        level = elevation.cos()
        forward = -torch.stack([level * azimuth.cos(), level * azimuth.sin(), elevation.sin()], -1)
        right = torch.stack([-azimuth.sin(), azimuth.cos(), torch.zeros_like(azimuth)], -1)
        return torch.stack([right, torch.cross(forward, right, dim=-1), forward], -1)

    def rays(self, device: torch.device | str = "cpu") -> Float[Tensor, "V P 3"]:
        """Direction of every pixel, row by row, 1 along the optical axis."""
        at = (torch.arange(self.size_px, device=device) - (self.size_px - 1) / 2) / self.focal_px
        v, u = torch.meshgrid(at, at, indexing="ij")
        local = torch.stack([u.flatten(), v.flatten(), torch.ones_like(u).flatten()], -1)
        return local @ self.R_ring_camera(device).transpose(1, 2)

    def eyes(self, device: torch.device | str = "cpu") -> Float[Tensor, "V 3"]:
        return -self.distance_radii * self.R_ring_camera(device)[..., 2]

    def project(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "V N 3"]:
        """(u, v in pixels, nearness) of places of the volume."""
        local = (points - self.eyes(points.device)[:, None]) @ self.R_ring_camera(points.device)
        pixels = local[..., :2] / local[..., 2:] * self.focal_px + (self.size_px - 1) / 2
        return torch.cat([pixels, self.distance_radii - local[..., 2:]], -1)

    def place(self, nearness: Float[Tensor, "... V P"]) -> Float[Tensor, "... V P 3"]:
        """Where in the volume the pixels see something that is so near."""
        reach = self.distance_radii - nearness
        return self.eyes(nearness.device)[:, None] + reach[..., None] * self.rays(nearness.device)

    def landing(self, points: Float[Tensor, "N 3"]) -> tuple[Int64[Tensor, "V N"], Bool[Tensor, "V N"]]:
        """(pixel that shows each place, whether the image reaches it)."""
        pixels = self.project(points)[..., :2].round()
        inside = ((pixels >= 0) & (pixels < self.size_px)).all(-1)
        u, v = pixels.clamp(0, self.size_px - 1).long().unbind(-1)
        return v * self.size_px + u, inside


def cell_centers(cells: int, device: torch.device | str = "cpu") -> Float[Tensor, "N 3"]:
    """Of a volume of so many cells along each axis, x slowest."""
    return lattice((torch.arange(cells, device=device) + 0.5) * (2 / cells) - 1)


def lattice(at: Float[Tensor, " G"]) -> Float[Tensor, "N 3"]:
    """Points at these places along each of the three axes, x slowest."""
    return torch.stack(torch.meshgrid(at, at, at, indexing="ij"), -1).reshape(-1, 3)


def sampled(volumes: Float[Tensor, "S C G G G"], places: Float[Tensor, "S N 3"]) -> Float[Tensor, "S C N"]:
    """What volumes (x, y, z) hold at places, linear between the centres of cells, the border's value beyond."""
    grid = places.flip(-1)[:, None, None].to(volumes.dtype)  # grid_sample counts the last axis first
    return torch.nn.functional.grid_sample(volumes, grid, padding_mode="border", align_corners=False)[:, :, 0, 0]
