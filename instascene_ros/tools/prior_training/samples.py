"""Training samples: what a ring of cameras would see of an object, and what the pipeline would know of that."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from instascene_ros.core.view_tensors import BACKGROUND
from instascene_ros.tools.prior_training import fields
from instascene_ros.tools.prior_training.bank import ShapeBank
from instascene_ros.tools.prior_training.cameras import DISTANCE_RADII, Cameras, arc
from instascene_ros.tools.prior_training.draws import uniform_of
from instascene_ros.tools.prior_training.knowing import Spheres, known_of_ring, points_of, spheres_of
from instascene_ros.tools.prior_training.looks import Looks, Neighbours, colors_at, look
from instascene_ros.tools.prior_training.textures import Lamps, Textures
from instascene_ros.tools.prior_training.tracing import Placed, cast

LOOKS, LOOK_PX = 8, 96


@dataclass(frozen=True)
class Samples:
    """As `core.view_tensors` has them."""

    clean: Float[Tensor, "S V 5 H W"]
    content: Float[Tensor, "S V 5 H W"]  # 0 where not known
    known: Bool[Tensor, "S V 1 H W"]
    bounds: Float[Tensor, "S V 2 H W"]  # see `knowing.Known`
    shape: Int64[Tensor, " S"]  # row of the bank

    def __len__(self) -> int:
        return len(self.clean)

    def __getitem__(self, rows: Tensor) -> "Samples":
        return Samples(self.clean[rows], self.content[rows], self.known[rows], self.bounds[rows], self.shape[rows])

    def given(self) -> Float[Tensor, "N 8 H W"]:
        """What a network is told beside the noisy images, all views of all rings in a row."""
        columns = (self.content.float(), self.known.float(), self.bounds.float())
        return torch.cat([column.flatten(0, 1) for column in columns], 1)


def at_rest(bank: ShapeBank, rows: Int64[Tensor, " S"]) -> Placed:
    """The shapes on the table (z = 0): most upright, some on a side, few leaning on something."""
    uniform = uniform_of(len(rows), bank.generator)
    pose = uniform()
    quarters = (1 + 3 * uniform()).floor() * (math.pi / 2)
    tilt = torch.where(pose < 0.6, 0.0, torch.where(pose < 0.9, quarters, math.pi * uniform()))
    spin = torch.where(pose < 0.9, (4 * uniform()).floor() * (math.pi / 2), 2 * math.pi * uniform())
    R = fields.about_z(2 * math.pi * uniform()) @ fields.about_y(tilt) @ fields.about_z(spin)
    surface = bank.surface_m[rows] @ R.transpose(1, 2)
    size = bank.solid_m[rows, 1] - bank.solid_m[rows, 0]
    middle = bank.solid_m[rows].mean(1)
    boxed = (R @ middle[..., None])[:, 2, 0] - (R[:, 2].abs() * size).sum(-1) / 2
    lowest = torch.where(pose < 0.9, boxed, surface[..., 2].amin(1))  # square turns keep a box a box
    offset = torch.cat([-(R @ middle[..., None])[:, :2, 0], -lowest[:, None]], -1)
    return Placed(bank, rows, R, offset)


def columns_of(samples: Samples) -> tuple[Tensor, ...]:
    """Its tensors."""
    return samples.clean, samples.content, samples.known, samples.bounds, samples.shape


@torch.no_grad()
def drawn(bank: ShapeBank, count: int, size_px: int = 64) -> Samples:
    """At most `count` samples: those of which next to nothing was seen are left out."""
    rows = bank.draw(count)
    placed = at_rest(bank, rows)
    textures, lamps = Textures.drawn(count, bank.generator), Lamps.drawn(count, bank.generator)
    looks = _looks(placed, textures, lamps)
    points, seen, _ = points_of(looks)
    spheres = spheres_of(points, seen)
    floor_m = 0.0015 * torch.randn(count, generator=bank.generator, device=rows.device)
    lost = torch.rand(count, generator=bank.generator, device=rows.device) < 0.08
    known, cameras = known_of_ring(looks, spheres, torch.where(lost, -1.0, floor_m), size_px)
    clean = images_of(placed, textures, lamps, cameras, spheres)
    content = as_images(known.rgb, known.depth_m, cameras, spheres)
    mask = known.known.reshape(*content.shape[:2], 1, size_px, size_px)
    good = spheres.found & (clean[:, :, 4] > 0).flatten(1).any(1) & (content[:, :, 4] > 0).flatten(1).any(1)
    bounds = known.bounds.reshape(*content.shape[:2], 2, size_px, size_px)
    return Samples(clean, torch.where(mask, content, 0.0), mask, bounds, rows)[good]


def images_of(
    placed: Placed, textures: Textures, lamps: Lamps, cameras: Cameras, spheres: Spheres
) -> Float[Tensor, "S V 5 H W"]:
    """The truth."""
    rays = cameras.rays()
    eye = cameras.eye_m[:, :, None].expand_as(rays)
    length = rays.norm(dim=-1)
    along = cast(placed, eye.flatten(1, 2), (rays / length[..., None]).flatten(1, 2)).reshape(length.shape) / length
    sample, view, pixel = torch.isfinite(along).nonzero(as_tuple=True)
    points = eye[sample, view, pixel] + along[sample, view, pixel, None] * rays[sample, view, pixel]
    rgb = torch.zeros_like(rays)
    rgb[sample, view, pixel] = colors_at(placed, textures, lamps, points, sample)
    return as_images(rgb, torch.where(torch.isfinite(along), along, 0.0), cameras, spheres)


def as_images(
    rgb: Float[Tensor, "S V P 3"], depth_m: Float[Tensor, "S V P"], cameras: Cameras, spheres: Spheres
) -> Float[Tensor, "S V 5 H W"]:
    """See `core.view_tensors.tensor_of_images`."""
    nearness = (DISTANCE_RADII - depth_m / spheres.radius_m[:, None, None]).clamp(-1, 1)
    channels = torch.cat([2 * rgb - 1, nearness[..., None], torch.ones_like(nearness)[..., None]], -1)
    images = torch.where((depth_m > 0)[..., None], channels, torch.tensor(BACKGROUND, device=rgb.device))
    size = cameras.size_px
    return images.transpose(2, 3).reshape(*depth_m.shape[:2], 5, size, size)


def _looks(placed: Placed, textures: Textures, lamps: Lamps) -> Looks:
    low, high = placed.bank.solid_m[placed.rows].unbind(1)
    corners = torch.stack([torch.where(torch.tensor([i & 1, i & 2, i & 4], device=low.device) > 0, high, low)
                           for i in range(8)], 1)  # fmt: skip
    corners = corners @ placed.R_world_shape.transpose(1, 2) + placed.t_world_shape[:, None]
    low, high = corners.amin(1), corners.amax(1)
    generator = placed.bank.generator
    cameras = arc((low + high) / 2, (high - low).norm(dim=-1) / 2, LOOKS, LOOK_PX, generator)
    return look(placed, Neighbours.drawn(low, high, generator), textures, lamps, cameras, generator)
