"""Training samples: what a ring of cameras would see of an object, and what the pipeline would know of that."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from instascene_ros.core.view_tensors import BACKGROUND
from instascene_ros.models.ring_geometry import cell_centers
from instascene_ros.tools.prior_training import fields
from instascene_ros.tools.prior_training.bank import ShapeBank
from instascene_ros.tools.prior_training.cameras import RING, Cameras, arc
from instascene_ros.tools.prior_training.draws import uniform_of
from instascene_ros.tools.prior_training.knowing import Spheres, known_of_ring, points_of, spheres_of
from instascene_ros.tools.prior_training.looks import Looks, colors_at, look
from instascene_ros.tools.prior_training.neighbours import Neighbours
from instascene_ros.tools.prior_training.textures import Lamps, Textures
from instascene_ros.tools.prior_training.tracing import Placed, cast

LOOKS, LOOK_PX = 12, 96
CELLS = 64  # of the volume between the cameras, along each axis
SHAPES_AT_ONCE = 16
WRONG_RADII, WRONG_SHARE, NOISE_LEFT = 0.08, 0.1, 0.45


@dataclass(frozen=True)
class Samples:
    """As `core.view_tensors` has them."""

    clean: Float[Tensor, "S V 5 H W"]
    content: Float[Tensor, "S V 5 H W"]  # 0 where not known
    known: Bool[Tensor, "S V 1 H W"]
    bounds: Float[Tensor, "S V 2 H W"]  # see `knowing.Known`
    inside: UInt8[Tensor, "S G G G"]  # share of each cell (x, y, z; see `ring_geometry`) within the object, 255 = all
    shape: Int64[Tensor, " S"]  # row of the bank

    def __len__(self) -> int:
        return len(self.clean)

    def __getitem__(self, rows: Tensor) -> "Samples":
        return Samples(*(column[rows] for column in columns_of(self)))

    def given(self) -> Float[Tensor, "N 8 H W"]:
        """What a network is told beside the noisy images, all views of all rings in a row."""
        columns = (self.content.float(), self.known.float(), self.bounds.float())
        return torch.cat([column.flatten(0, 1) for column in columns], 1)


def at_rest(bank: ShapeBank, rows: Int64[Tensor, " S"]) -> tuple[Placed, Bool[Tensor, " S"]]:
    """Most on the table (z = 0), upright, on a side or leaning; the others on top of something (True)."""
    uniform = uniform_of(len(rows), bank.generator)
    pose, raised = uniform(), uniform() < 0.35
    quarters = (1 + 3 * uniform()).floor() * (math.pi / 2)
    tilt = torch.where(pose < 0.6, 0.0, torch.where(pose < 0.9, quarters, math.pi * uniform()))
    pose = torch.where(raised & (uniform() < 0.6), 1.0, pose)  # what lies on other things seldom lies straight
    tilt = tilt + torch.where(pose == 1.0, 0.35 * torch.randn(len(rows), generator=bank.generator,
                                                              device=rows.device), 0.0)  # fmt: skip
    spin = torch.where(pose < 0.9, (4 * uniform()).floor() * (math.pi / 2), 2 * math.pi * uniform())
    R = fields.about_z(2 * math.pi * uniform()) @ fields.about_y(tilt) @ fields.about_z(spin)
    surface = bank.surface_m[rows] @ R.transpose(1, 2)
    size = bank.solid_m[rows, 1] - bank.solid_m[rows, 0]
    middle = bank.solid_m[rows].mean(1)
    boxed = (R @ middle[..., None])[:, 2, 0] - (R[:, 2].abs() * size).sum(-1) / 2
    lowest = torch.where(pose < 0.9, boxed, surface[..., 2].amin(1))  # square turns keep a box a box
    height_m = torch.where(raised, 0.005 + 0.1 * uniform() ** 1.5, 0.0)
    offset = torch.cat([-(R @ middle[..., None])[:, :2, 0], (height_m - lowest)[:, None]], -1)
    return Placed(bank, rows, R, offset), raised


def columns_of(samples: Samples) -> tuple[Tensor, ...]:
    """Its tensors."""
    return samples.clean, samples.content, samples.known, samples.bounds, samples.inside, samples.shape


@torch.no_grad()
def drawn(bank: ShapeBank, count: int, size_px: int = 64) -> Samples:
    """At most `count` samples: those of which next to nothing was seen are left out."""
    rows = bank.draw(count)
    placed, raised = at_rest(bank, rows)
    textures, lamps = Textures.drawn(count, bank.generator), Lamps.drawn(count, bank.generator)
    looks = _looks(placed, raised, textures, lamps)
    points, seen, _ = points_of(looks)
    spheres = spheres_of(points, seen, placed.world(bank.surface_m[rows]), bank.generator)
    known, cameras = known_of_ring(looks, spheres, _floors_m(placed, raised), size_px)
    clean = images_of(placed, textures, lamps, cameras, spheres)
    content = as_images(known.rgb, known.depth_m, cameras, spheres)
    mask = known.known.reshape(*content.shape[:2], 1, size_px, size_px)
    content, mask = _as_mapped(content, mask, clean, bank.generator)
    good = spheres.found & (clean[:, :, 4] > 0).flatten(1).any(1) & (content[:, :, 4] > 0).flatten(1).any(1)
    bounds = known.bounds.reshape(*content.shape[:2], 2, size_px, size_px)
    inside = inside_of(placed, cameras, spheres)
    return Samples(clean, torch.where(mask, content, 0.0), mask, bounds, inside, rows)[good]


def inside_of(placed: Placed, cameras: Cameras, spheres: Spheres, cells: int = CELLS) -> UInt8[Tensor, "S G G G"]:
    """Share of each cell of the ring's volume that the object fills, to first order; 255 is all of it."""
    right = cameras.R_world_camera[:, 0, :, 0]
    up = torch.zeros_like(right)
    up[:, 2] = 1
    R_world_ring = torch.stack([torch.cross(right, up, dim=-1), right, up], -1)
    centers, shares = cell_centers(cells, right.device), []
    for first in range(0, len(right), SHAPES_AT_ONCE):
        rows = slice(first, first + SHAPES_AT_ONCE)
        part = Placed(placed.bank, placed.rows[rows], placed.R_world_shape[rows], placed.t_world_shape[rows])
        radius_m = spheres.radius_m[rows, None, None]
        points_m = spheres.center_m[rows, None] + radius_m * (centers @ R_world_ring[rows].transpose(1, 2))
        sample = torch.arange(len(part.rows), device=right.device).repeat_interleave(len(centers))
        signed_m = part.distance_m(part.local(points_m).reshape(-1, 3), sample).reshape(len(part.rows), -1)
        share = (0.5 - signed_m / (radius_m[..., 0] * 2 / cells)).clamp(0, 1)
        shares.append((255 * share).round().to(torch.uint8))
    return torch.cat(shares).reshape(-1, cells, cells, cells)


def _as_mapped(content: Tensor, known: Tensor, clean: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Known content as good as a map's: its surfels are fitted to dozens of frames, these points come from a few.

    On mapped scenes 0.5 % of what is known to be the object is not, and its depth is off by 1 to 2 mm.
    """
    nearness, true = content[:, :, 3:4], clean[:, :, 3:4]
    there = (content[:, :, 4:] > 0) & known
    wrong = there & ((clean[:, :, 4:] < 0) | ((nearness - true).abs() > WRONG_RADII))
    stays = torch.rand(wrong.shape, generator=generator, device=wrong.device) < WRONG_SHARE
    nearness = torch.where(there & ~wrong, torch.lerp(true, nearness, NOISE_LEFT), nearness)
    return torch.cat([content[:, :, :3], nearness, content[:, :, 4:]], 2), known & (~wrong | stays)


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
    nearness = (RING.distance_radii - depth_m / spheres.radius_m[:, None, None]).clamp(-1, 1)
    channels = torch.cat([2 * rgb - 1, nearness[..., None], torch.ones_like(nearness)[..., None]], -1)
    images = torch.where((depth_m > 0)[..., None], channels, torch.tensor(BACKGROUND, device=rgb.device))
    size = cameras.size_px
    return images.transpose(2, 3).reshape(*depth_m.shape[:2], 5, size, size)


def _floors_m(placed: Placed, raised: Bool[Tensor, " S"]) -> Float[Tensor, " S"]:
    """Height that each object is known not to reach below: the table, seldom what holds it; -1: not known."""
    generator = placed.bank.generator
    uniform = uniform_of(len(raised), generator)
    noise_m = 0.0015 * torch.randn(len(raised), generator=generator, device=raised.device)
    lowest_m = placed.world(placed.bank.surface_m[placed.rows])[..., 2].amin(1)
    floor_m = torch.where(raised & (uniform() < 0.25), lowest_m - 0.015 * uniform(), 0.0) + noise_m
    return torch.where(uniform() < torch.where(raised, 0.15, 0.08), -1.0, floor_m)


def _looks(placed: Placed, raised: Bool[Tensor, " S"], textures: Textures, lamps: Lamps) -> Looks:
    low, high = placed.bank.solid_m[placed.rows].unbind(1)
    corners = torch.stack([torch.where(torch.tensor([i & 1, i & 2, i & 4], device=low.device) > 0, high, low)
                           for i in range(8)], 1)  # fmt: skip
    corners = corners @ placed.R_world_shape.transpose(1, 2) + placed.t_world_shape[:, None]
    low, high = corners.amin(1), corners.amax(1)
    generator = placed.bank.generator
    cameras = arc((low + high) / 2, (high - low).norm(dim=-1) / 2, LOOKS, LOOK_PX, generator)
    return look(placed, Neighbours.drawn(placed, raised, generator), textures, lamps, cameras, generator)
