"""Posed pinhole cameras of many samples at once: the robot's on an arc, and the ring's that a prior paints."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from instascene_ros.models.ring_geometry import RingShape
from instascene_ros.tools.prior_training.draws import uniform_of

RING = RingShape()


@dataclass(frozen=True)
class Cameras:
    """V cameras a sample, square images of `size_px`; optical axes x right, y down, z forward."""

    focal_px: Float[Tensor, "S V"]
    R_world_camera: Float[Tensor, "S V 3 3"]
    eye_m: Float[Tensor, "S V 3"]
    size_px: int

    @classmethod
    def looking(
        cls,
        eye_m: Float[Tensor, "S V 3"],
        target_m: Float[Tensor, "S V 3"],
        focal_px: Float[Tensor, "S V"],
        size_px: int,
    ) -> "Cameras":
        """At targets, z of the world up in the image."""
        forward = functional.normalize(target_m - eye_m, dim=-1)
        up = torch.zeros_like(forward)
        up[..., 2] = 1
        right = functional.normalize(torch.cross(forward, up, dim=-1), dim=-1)
        down = torch.cross(forward, right, dim=-1)
        return cls(focal_px, torch.stack([right, down, forward], -1), eye_m, size_px)

    def rays(self) -> Float[Tensor, "S V P 3"]:
        """World direction of every pixel, scaled to 1 along the optical axis."""
        at = torch.arange(self.size_px, device=self.eye_m.device) - (self.size_px - 1) / 2
        v, u = torch.meshgrid(at, at, indexing="ij")
        local = torch.stack([u.flatten(), v.flatten()], -1) / self.focal_px[..., None, None]
        local = torch.cat([local, torch.ones_like(local[..., :1])], -1)
        return local @ self.R_world_camera.transpose(-1, -2)

    def project(
        self, points_m: Float[Tensor, "S N 3"], view: int
    ) -> tuple[Float[Tensor, "S N 2"], Float[Tensor, "S N"]]:
        """(pixels, depth) of each sample's points in one of its views."""
        local = (points_m - self.eye_m[:, view, None]) @ self.R_world_camera[:, view]
        z = local[..., 2]
        scale = self.focal_px[:, view, None] / z.clamp_min(1e-6)
        return local[..., :2] * scale[..., None] + (self.size_px - 1) / 2, z


def ring(
    center_m: Float[Tensor, "S 3"], radius_m: Float[Tensor, " S"], front: Float[Tensor, "S 3"], size_px: int
) -> Cameras:
    """The ring around each sphere; azimuth 0 is where `front` points."""
    azimuth = torch.atan2(front[:, 1], front[:, 0])[:, None]
    azimuth = azimuth + torch.arange(RING.views, device=front.device) * (2 * math.pi / RING.views)
    level = math.cos(math.radians(RING.elevation_deg))
    height = torch.full_like(azimuth, math.sin(math.radians(RING.elevation_deg)))
    outward = torch.stack([level * azimuth.cos(), level * azimuth.sin(), height], -1)
    target = center_m[:, None].expand_as(outward)
    eye = target + RING.distance_radii * radius_m[:, None, None] * outward
    focal_px = torch.full_like(azimuth, replace(RING, size_px=size_px).focal_px)
    return Cameras.looking(eye, target, focal_px, size_px)


def arc(
    target_m: Float[Tensor, "S 3"], reach_m: Float[Tensor, " S"], views: int, size_px: int, generator: torch.Generator
) -> Cameras:
    """A hand-held part of an orbit around each object: from a glance to most of the way round."""
    uniform, device = uniform_of(len(target_m), generator), target_m.device
    span = math.radians(4) + math.radians(296) * uniform(1) ** 3.2
    along = torch.linspace(0, 1, views, device=device) + 0.3 / views * (uniform(views) - 0.5)
    azimuth = 2 * math.pi * uniform(1) + span * along
    wander = torch.sin(2 * math.pi * (uniform(1) + (0.2 + uniform(1)) * along))
    elevation = torch.deg2rad((43 + 14 * (2 * uniform(1) - 1) + 10 * uniform(1) * wander).clamp(18, 67))
    distance = (0.75 + 0.3 * (2 * uniform(1) - 1)) * (1 + 0.1 * wander)
    outward = torch.stack([elevation.cos() * azimuth.cos(), elevation.cos() * azimuth.sin(), elevation.sin()], -1)
    natural_px = 262.5 * torch.where(uniform(1) < 0.8, 1.0, 2.0)  # images of 320 px, seldom of 640
    target = target_m[:, None] + 0.01 * (2 * uniform(views, 3) - 1)
    focal_px = torch.minimum(natural_px, 0.5 * size_px * distance / (reach_m[:, None] + 0.07))
    return Cameras.looking(target + distance[..., None] * outward, target, focal_px, size_px)
