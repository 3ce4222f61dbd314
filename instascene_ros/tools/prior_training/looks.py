"""What the robot's camera sees of an object on a table among others: colour, depth and mask, with their errors."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from instascene_ros.tools.prior_training.cameras import Cameras
from instascene_ros.tools.prior_training.neighbours import Neighbours
from instascene_ros.tools.prior_training.textures import Lamps, Textures
from instascene_ros.tools.prior_training.tracing import Placed, cast

MIN_LOOKS = 4  # of a short glance; a robot maps several frames a second
OTHER, HIDDEN, OBJECT = 0, 1, 2
SAME_SURFACE_M = 0.01
BASELINE_PX_M = 525 * 0.075  # as in `scene_generator.sensor`


@dataclass(frozen=True)
class Looks:
    """Images [S V P], P pixels row by row."""

    cameras: Cameras
    rgb: Float[Tensor, "S V P 3"]  # 0 where it is not the object
    depth_m: Float[Tensor, "S V P"]  # 0 = none
    mask: Int64[Tensor, "S V P"]
    used: Bool[Tensor, "S V"]  # the others are not there at all

    def normals(self) -> Float[Tensor, "S V P 3"]:
        """World normals as `depth.normals` with a radius of 1 px has them; 0 where unknown."""
        size = self.cameras.size_px
        rays = self.cameras.rays()
        points = (rays * self.depth_m[..., None]).reshape(-1, size, size, 3)
        depth = self.depth_m.reshape(-1, size, size)
        padded = functional.pad(points.permute(0, 3, 1, 2), (1, 1, 1, 1), mode="replicate").permute(0, 2, 3, 1)
        far = functional.pad(depth[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
        sides = [(slice(1, -1), slice(0, -2)), (slice(1, -1), slice(2, None)),
                 (slice(0, -2), slice(1, -1)), (slice(2, None), slice(1, -1))]  # fmt: skip
        good = depth > 0
        for v, u in sides:
            good = good & (far[:, v, u] > 0) & ((far[:, v, u] - depth).abs() < 0.02 * depth)
        left, right, above, below = (padded[:, v, u] for v, u in sides)
        normal = functional.normalize(torch.cross(below - above, right - left, dim=-1), dim=-1)
        normal = (normal * good[..., None]).reshape(rays.shape)
        return torch.where((normal * rays).sum(-1, keepdim=True) > 0, -normal, normal)


def colors_at(
    placed: Placed, textures: Textures, lamps: Lamps, points_m: Float[Tensor, "N 3"], sample: Int64[Tensor, " N"]
) -> Float[Tensor, "N 3"]:
    """Shaded colours at world points on the shapes."""
    R = placed.R_world_shape[sample]
    local = ((points_m - placed.t_world_shape[sample])[:, None] @ R)[:, 0]
    normals = (R @ placed.normals(local, sample)[..., None])[..., 0]
    return lamps.shade(textures.at(local, sample), normals, sample)


def look(
    placed: Placed,
    neighbours: Neighbours,
    textures: Textures,
    lamps: Lamps,
    cameras: Cameras,
    generator: torch.Generator,
) -> Looks:
    """With the sensor's and the segmenter's errors."""
    samples, views = cameras.focal_px.shape
    rays = cameras.rays().flatten(1, 2)
    eye = cameras.eye_m[:, :, None].expand(-1, -1, cameras.size_px**2, -1).flatten(1, 2)
    length = rays.norm(dim=-1)
    own = cast(placed, eye, rays / length[..., None]) / length
    around = neighbours.cast(eye, rays)
    table = torch.where(rays[..., 2] < -1e-3, -eye[..., 2] / rays[..., 2].clamp_max(-1e-3), math.inf)
    around = torch.minimum(around, table)
    shape = (samples, views, cameras.size_px, cameras.size_px)
    true_m, is_own = torch.minimum(own, around).reshape(shape).clamp_max(4.0), (own < around).reshape(shape)
    hidden = (torch.isfinite(own) & (own - around > 0.015)).reshape(shape)
    depth_m, edge = _measured(true_m, cameras, generator)
    mask = _segmented(is_own, hidden, edge, rays[..., 2].reshape(shape), generator)
    off = (depth_m > 0) & ((depth_m - own.reshape(shape)).abs() > SAME_SURFACE_M)
    mask = torch.where((mask == OBJECT) & off, OTHER, mask)  # the map's surfels there are of another thing
    sample, pixel = (is_own.flatten(1)).nonzero(as_tuple=True)
    points = eye[sample, pixel] + own[sample, pixel, None] * rays[sample, pixel]
    rgb = torch.zeros(samples, views * cameras.size_px**2, 3, device=rays.device)
    rgb[sample, pixel] = colors_at(placed, textures, lamps, points, sample)
    noise = torch.randn(rgb.shape, generator=generator, device=rgb.device)
    rgb = (rgb + 0.012 * noise).clamp(0, 1).reshape(samples, views, -1, 3)
    share = torch.rand(samples, 1, generator=generator, device=rgb.device)
    count = MIN_LOOKS + ((views + 1 - MIN_LOOKS) * share).long()
    used = torch.arange(views, device=rgb.device) * count // views  # evenly spread along the arc
    used = functional.pad(used[:, 1:] != used[:, :-1], (1, 0), value=True)
    used &= (mask == OBJECT).flatten(2).sum(-1) >= 20
    return Looks(cameras, rgb, depth_m.flatten(2), mask.flatten(2), used)


def _measured(
    true_m: Float[Tensor, "S V H W"], cameras: Cameras, generator: torch.Generator
) -> tuple[Float[Tensor, "S V H W"], Bool[Tensor, "S V H W"]]:
    """(depth, where it jumps): wobbling edges, correlated noise, steps of disparity, holes."""

    def normal() -> Tensor:
        return torch.randn(true_m.shape, generator=generator, device=true_m.device)

    highest = functional.max_pool2d(true_m, 3, 1, 1)
    edge = highest + functional.max_pool2d(-true_m, 3, 1, 1) > 0.025
    near = functional.max_pool2d(edge.float(), 3, 1, 1) > 0
    size = true_m.shape[-1]
    at = torch.arange(size * size, device=true_m.device).reshape(size, size)
    dv, du = ((0.45 * normal() * near).round().long() for _ in range(2))
    v, u = (at // size + dv).clamp(0, size - 1), (at % size + du).clamp(0, size - 1)
    z = true_m.flatten(2).gather(2, (v * size + u).flatten(2)).reshape(true_m.shape)
    sigma_m = 1.2e-3 + 1.9e-3 * (z - 0.4) ** 2
    z = z + sigma_m * (0.35 * normal() + 0.94 * _blurred(normal(), 1.0))
    disparity = (BASELINE_PX_M / z.clamp_min(0.05) * 8).round().clamp_min(1) / 8
    z = BASELINE_PX_M / disparity
    lost = edge & (_blurred(normal(), 1.0) > 0.6)
    lost |= torch.rand(z.shape, generator=generator, device=z.device) < 0.003
    return torch.where(lost | (true_m >= 4.0), 0.0, z), edge


def _segmented(
    own: Bool[Tensor, "S V H W"],
    hidden: Bool[Tensor, "S V H W"],
    edge: Bool[Tensor, "S V H W"],
    slope: Float[Tensor, "S V H W"],
    generator: torch.Generator,
) -> Int64[Tensor, "S V H W"]:
    """The object's mask as the map shows it: borders a little off, foot or a side sometimes not labelled."""

    def noise() -> Tensor:
        return _blurred(torch.randn(own.shape, generator=generator, device=own.device), 2.0)

    count = len(own)
    shift = 0.25 * (torch.rand(count, 1, 1, 1, generator=generator, device=own.device) - 0.55)
    wobble = 0.22 * torch.rand(count, 1, 1, 1, generator=generator, device=own.device)
    soft = functional.avg_pool2d(own.float(), 3, 1, 1)
    shown = (soft + shift + wobble * noise() > 0.5) & (own | (soft > 0.2))
    return torch.where(shown, OBJECT, torch.where(hidden, HIDDEN, OTHER))


def _blurred(noise: Float[Tensor, "S V H W"], sigma_px: float) -> Float[Tensor, "S V H W"]:
    """Of unit variance again."""
    reach = math.ceil(2.5 * sigma_px)
    at = torch.arange(-reach, reach + 1, device=noise.device)
    weights = torch.exp(-0.5 * (at / sigma_px) ** 2)
    weights = weights / weights.norm()
    flat = noise.flatten(0, 1)[:, None]
    flat = functional.conv2d(functional.pad(flat, (reach, reach, 0, 0), mode="circular"), weights[None, None, None])
    flat = functional.conv2d(functional.pad(flat, (0, 0, reach, reach), mode="circular"), weights[None, None, :, None])
    return flat[:, 0].reshape(noise.shape)
