"""What the pipeline would know of the ring's images: `core.known_content` and what it stands on, for a whole batch.

The same rules and numbers; the map's surfels are the points of the looks themselves, splatted.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.free_space import BACK_M, CLEAR_M
from instascene_ros.core.known_content import MIN_COSINE
from instascene_ros.core.object_sphere import GROWTH, MARGIN_M
from instascene_ros.core.possible_space import MAX_VOXELS, SAMPLES
from instascene_ros.models.ring_geometry import lattice
from instascene_ros.tools.prior_training.cameras import Cameras, ring
from instascene_ros.tools.prior_training.draws import uniform_of
from instascene_ros.tools.prior_training.looks import HIDDEN, OBJECT, OTHER, Looks

KNOBS = CompletionConfig()
SIDE = 41  # voxels of the cube around the sphere, as many as MAX_VOXELS allows
SAME_SURFACE_M = 0.008
MIN_POINTS = 40
GUESSED_WELL = 0.7  # share of the six sides of a box that a guess gets nearly right
GUESS_SPREAD, GUESS_BOUNDS = 0.18, (0.65, 1.5)  # of its size: the sphere's must not tell how large the object is


@dataclass(frozen=True)
class Spheres:
    """One a sample."""

    center_m: Float[Tensor, "S 3"]
    radius_m: Float[Tensor, " S"]
    found: Bool[Tensor, " S"]  # False: too little was seen, and the rest says nothing


@dataclass(frozen=True)
class Known:
    """One row a sample and view of the ring, P pixels row by row."""

    rgb: Float[Tensor, "S V P 3"]
    depth_m: Float[Tensor, "S V P"]  # 0 where it is not the object
    known: Bool[Tensor, "S V P"]
    bounds: Float[Tensor, "S V 2 P"]  # nearness of the first and the last possible voxel; -1 where there is none


def points_of(looks: Looks) -> tuple[Float[Tensor, "S N 3"], Bool[Tensor, "S N"], Float[Tensor, "S V P 3"]]:
    """(world points of all pixels, those on the object, normals)."""
    normals = looks.normals()
    points = looks.cameras.eye_m[:, :, None] + looks.depth_m[..., None] * looks.cameras.rays()
    seen = (looks.mask == OBJECT) & (looks.depth_m > 0) & looks.used[..., None] & (normals.abs().sum(-1) > 0)
    return points.flatten(1, 2), seen.flatten(1), normals


def spheres_of(
    points: Float[Tensor, "S N 3"], seen: Bool[Tensor, "S N"], whole_m: Float[Tensor, "S M 3"],
    generator: torch.Generator,
) -> Spheres:
    """See `core.object_sphere`. In place of a guess stands what was seen and more or less of the rest of the object."""
    uniform, count = uniform_of(len(points), generator), seen.sum(1)
    ordered = torch.where(seen[..., None], points, torch.inf).sort(dim=1).values
    ends = []
    for share, true in ((0.01, whole_m.amin(1)), (0.99, whole_m.amax(1))):
        index = (share * (count - 1).clamp_min(0)).round().long()
        end = torch.nan_to_num(ordered.gather(1, index[:, None, None].expand(-1, 1, 3))[:, 0], posinf=0.0)
        nearly = 0.9 + 0.2 * uniform(3)
        ends.append(torch.lerp(end, true, torch.where(uniform(3) < GUESSED_WELL, nearly, uniform(3))))
    low, high = ends[0][:, None], ends[1][:, None]
    center = (low + high) / 2
    guess = whole_m.clamp(low, high)
    wrong = (GUESS_SPREAD * torch.randn(len(points), generator=generator, device=points.device)).exp()
    radius_m = wrong.clamp(*GUESS_BOUNDS) * GROWTH * (guess - center).norm(dim=-1).amax(1) + MARGIN_M
    return Spheres(center[:, 0], radius_m, count >= MIN_POINTS)


def front_of(looks: Looks, center_m: Float[Tensor, "S 3"]) -> Float[Tensor, "S 3"]:
    """From the sphere to the best input view; see `core.views.best_input`."""
    shown, hidden = ((looks.mask == kind).sum(-1) for kind in (OBJECT, HIDDEN))
    share = (shown / (shown + hidden).clamp_min(1)).clamp_max(KNOBS.min_known_share)
    best = (torch.where(looks.used, 1e6 * share + shown, -1.0)).argmax(1)
    eye = looks.cameras.eye_m.gather(1, best[:, None, None].expand(-1, 1, 3))[:, 0]
    return eye - center_m


def possible_space(
    looks: Looks, spheres: Spheres, seen_m: Float[Tensor, "S N 3"], seen: Bool[Tensor, "S N"],
    floor_m: Float[Tensor, " S"],
) -> tuple[Bool[Tensor, "S C"], Float[Tensor, " S"]]:
    """(voxels where the object may be, their size); see `core.possible_space`."""
    voxel_m = (2 * spheres.radius_m / MAX_VOXELS ** (1 / 3)).clamp_min(KNOBS.min_voxel_m)
    cells = lattice(torch.arange(SIDE, device=seen.device, dtype=torch.float32))
    low = spheres.center_m - spheres.radius_m[:, None]
    centers = low[:, None] + voxel_m[:, None, None] * cells
    front_m = torch.maximum(voxel_m * 1.5, voxel_m.new_tensor(3 * KNOBS.depth_noise_m))[:, None]
    total, weight, own, free, clear, taken = (torch.zeros_like(centers[..., 0]) for _ in range(6))
    normals = looks.normals()
    cosines = -(normals * functional.normalize(looks.cameras.rays(), dim=-1)).sum(-1)
    for view in range(looks.used.shape[1]):
        index, z, inside = _landing(looks.cameras, centers, view)
        depth = looks.depth_m[:, view].gather(1, index)
        mask, cosine = looks.mask[:, view].gather(1, index), cosines[:, view].gather(1, index)
        known = inside & (depth > 0) & looks.used[:, view, None]
        ahead = depth - z
        is_free = known & (ahead > front_m)
        is_own = known & (mask == OBJECT) & (ahead > -BACK_M) & ~is_free
        w = torch.where(is_own, cosine.clamp_min(0.1), 0.5) * (is_free | is_own)
        total += w * torch.minimum(ahead, front_m)
        weight += w
        own += w * is_own
        free += is_free
        clear += known & (ahead > CLEAR_M)
        taken += known & (mask == OTHER) & (ahead.abs() <= front_m)
    signed = torch.where(weight > 0, total / weight.clamp_min(1e-6), 1.0)
    empty = ((free >= 2) & (signed > 0)) | ((clear >= 1) & (own == 0)) | ((taken >= 2) & (taken > own))
    possible = ~empty | _holding(seen_m, seen, low, voxel_m)
    return possible & (centers[..., 2] > floor_m[:, None] - voxel_m[:, None]), voxel_m


def known_of_ring(
    looks: Looks, spheres: Spheres, floor_m: Float[Tensor, " S"], size_px: int
) -> tuple[Known, Cameras]:
    """What is known of the ring's images, and its cameras."""
    points, seen, normals = points_of(looks)
    cameras = ring(spheres.center_m, spheres.radius_m, front_of(looks, spheres.center_m), size_px)
    possible, voxel_m = possible_space(looks, spheres, points, seen, floor_m)
    depth_m = torch.stack([_splatted(points, seen, cameras, view) for view in range(cameras.focal_px.shape[1])], 1)
    rgb, is_object = _gathered(depth_m, cameras, looks, normals)
    bounds, reached = _along(possible, voxel_m, spheres, cameras)
    return Known(rgb * is_object[..., None], depth_m * is_object, is_object | ~reached, bounds), cameras


def _landing(
    cameras: Cameras, points_m: Float[Tensor, "S N 3"], view: int
) -> tuple[Int64[Tensor, "S N"], Float[Tensor, "S N"], Bool[Tensor, "S N"]]:
    """(pixel, depth, whether within the image)."""
    pixels, z = cameras.project(points_m, view)
    rounded = pixels.round()
    inside = (z > 0) & (rounded >= 0).all(-1) & (rounded < cameras.size_px).all(-1)
    u, v = rounded.clamp(0, cameras.size_px - 1).long().unbind(-1)
    return v * cameras.size_px + u, z, inside


def _holding(
    points_m: Float[Tensor, "S N 3"], seen: Bool[Tensor, "S N"], low: Float[Tensor, "S 3"], voxel_m: Float[Tensor, " S"]
) -> Bool[Tensor, "S C"]:
    cell = ((points_m - low[:, None]) / voxel_m[:, None, None]).round()
    inside = seen & (cell >= 0).all(-1) & (cell < SIDE).all(-1)
    x, y, z = cell.clamp(0, SIDE - 1).long().unbind(-1)
    held = torch.zeros(len(low), SIDE**3, device=low.device)
    return held.scatter_reduce(1, (x * SIDE + y) * SIDE + z, inside.float(), "amax") > 0


def _splatted(
    points_m: Float[Tensor, "S N 3"], seen: Bool[Tensor, "S N"], cameras: Cameras, view: int
) -> Float[Tensor, "S P"]:
    """Depth of the seen surface in one view of the ring, averaged over the points of the foremost surface; 0 = none."""
    index, z, inside = _landing(cameras, points_m, view)
    z = torch.where(inside & seen, z, 1e3)
    size, shape = cameras.size_px, (len(z), 1, cameras.size_px, cameras.size_px)
    front = torch.full((len(z), size * size), 1e3, device=z.device).scatter_reduce(1, index, z, "amin")
    foremost = -functional.max_pool2d(-front.reshape(shape), 3, 1, 1)
    near = (z < foremost.flatten(1).gather(1, index) + SAME_SURFACE_M).float()
    total, count = (torch.zeros_like(front).scatter_add(1, index, w).reshape(shape) for w in (near * z, near))
    average = torch.where(count > 0, total / count.clamp_min(1), 1e3)
    padded, counts = functional.pad(average, (1, 1, 1, 1), value=1e3), functional.pad(count, (1, 1, 1, 1))
    depth, weight = torch.zeros_like(total), torch.zeros_like(total)
    for k in range(9):
        window = (..., slice(k // 3, k // 3 + size), slice(k % 3, k % 3 + size))
        w = counts[window].clamp_max(4) * (padded[window] < foremost + SAME_SURFACE_M)
        depth, weight = depth + w * padded[window].clamp_max(100), weight + w
    # One stray point covers nothing: a surfel's weight falls off from its middle. Holes are closed, borders stay.
    closed = -functional.max_pool2d(-(weight >= 1).float(), 3, 1, 1) > 0
    return torch.where(closed, depth / weight.clamp_min(1e-6), 0.0).flatten(1)


def _gathered(
    depth_m: Float[Tensor, "S V P"], cameras: Cameras, looks: Looks, normals: Float[Tensor, "S W Q 3"]
) -> tuple[Float[Tensor, "S V P 3"], Bool[Tensor, "S V P"]]:
    """(colour, whether it is the object) of every pixel of the ring; see `core.known_content`."""
    sample, view, pixel = (depth_m > 0).nonzero(as_tuple=True)
    rays = cameras.rays()
    points = cameras.eye_m[sample, view] + depth_m[sample, view, pixel, None] * rays[sample, view, pixel]
    to_eye = -functional.normalize(rays[sample, view, pixel], dim=-1)
    sure = _eroded(looks) & (normals.abs().sum(-1) > 0)
    size, total = looks.cameras.size_px, torch.zeros_like(points)
    weight, count = torch.zeros_like(points[:, 0]), torch.zeros_like(points[:, 0])
    for w in range(looks.used.shape[1]):
        offset = points - looks.cameras.eye_m[sample, w]
        local = (offset[:, None] @ looks.cameras.R_world_camera[sample, w])[:, 0]
        at = local[:, :2] / local[:, 2:].clamp_min(1e-6) * looks.cameras.focal_px[sample, w, None] + (size - 1) / 2
        inside = (local[:, 2] > 0) & (at.round() >= 0).all(-1) & (at.round() < size).all(-1)
        u, v = at.round().clamp(0, size - 1).long().unbind(-1)
        row = v * size + u
        normal = normals[sample, w, row]
        to_source = -functional.normalize(offset, dim=-1)
        facing = (normal * to_source).sum(-1)
        close = (looks.depth_m[sample, w, row] - local[:, 2]).abs() < KNOBS.observed_tolerance_m
        good = inside & sure[sample, w, row] & close & (facing > MIN_COSINE)
        good &= ((normal * to_eye).sum(-1) > MIN_COSINE) & looks.used[sample, w]
        share = facing**2 * good
        total += share[:, None] * looks.rgb[sample, w, row]
        weight += share
        count += good
    rgb, is_object = torch.zeros_like(rays), torch.zeros_like(depth_m, dtype=torch.bool)
    rgb[sample, view, pixel] = total / weight.clamp_min(1e-6)[:, None]
    is_object[sample, view, pixel] = count >= 2  # looks stand for many frames each: the pipeline asks for two of those
    return rgb, is_object


def _eroded(looks: Looks) -> Bool[Tensor, "S V P"]:
    """The object's masks less their outermost pixels (those beside a pixel of another kind)."""
    size = looks.cameras.size_px
    own = (looks.mask == OBJECT).float().reshape(-1, 1, size, size)
    padded = functional.pad(own, (1, 1, 1, 1), value=1.0)
    kept = own * padded[..., :-2, 1:-1] * padded[..., 2:, 1:-1] * padded[..., 1:-1, :-2] * padded[..., 1:-1, 2:]
    return (kept > 0).reshape(looks.mask.shape)


def _along(
    possible: Bool[Tensor, "S C"], voxel_m: Float[Tensor, " S"], spheres: Spheres, cameras: Cameras
) -> tuple[Float[Tensor, "S V 2 P"], Bool[Tensor, "S V P"]]:
    """(nearness of the first and last possible voxel on each ray, rays that meet one and a rim around them).

    See `core.possible_space`.
    """
    rays, size = cameras.rays(), cameras.size_px
    low = spheres.center_m - spheres.radius_m[:, None]
    start = (cameras.eye_m - low[:, None]) / voxel_m[:, None, None]
    step = rays / voxel_m[:, None, None, None]
    distance_m = (cameras.eye_m - spheres.center_m[:, None]).norm(dim=-1)
    near, far = (torch.full(rays.shape[:3], -1.0, device=rays.device) for _ in range(2))
    met = torch.zeros_like(near, dtype=torch.bool)
    first = torch.arange(len(possible), device=rays.device)[:, None, None] * SIDE**3
    flat = possible.reshape(-1)
    for nearness in torch.linspace(1, -1, SAMPLES).tolist():
        reach = distance_m - nearness * spheres.radius_m[:, None]
        cell = (start[:, :, None] + reach[..., None, None] * step).round()
        inside = ((cell >= 0) & (cell < SIDE)).all(-1)
        cell = cell.clamp(0, SIDE - 1).int()
        hit = inside & flat[first + (cell[..., 0] * SIDE + cell[..., 1]) * SIDE + cell[..., 2]]
        near = torch.where(hit & ~met, nearness, near)
        far = torch.where(hit, nearness, far)
        met |= hit
    image = functional.pad(met.float().reshape(-1, 1, size, size), (1, 1, 1, 1))
    rim = image[..., :-2, 1:-1] + image[..., 2:, 1:-1] + image[..., 1:-1, :-2] + image[..., 1:-1, 2:]
    return torch.stack([near, far], 2), (rim + image[..., 1:-1, 1:-1] > 0).reshape(met.shape)
