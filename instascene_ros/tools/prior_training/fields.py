"""Signed distances of simple solids, many shapes at once: points [S N 3] and one row of numbers a shape.

Below 0 inside. The formulas are well known (Quilez, "Distance functions"); superquadrics and tapered ones are bounds.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Points = Float[Tensor, "S N 3"]
Distances = Float[Tensor, "S N"]
Numbers = Float[Tensor, " S"]


def box(points: Points, half: Float[Tensor, "S 3"], rounding: Numbers) -> Distances:
    """A box of these half sizes, its edges rounded within them."""
    q = points.abs() - (half - rounding[:, None])[:, None]
    outside = q.clamp_min(0).norm(dim=-1)
    return outside + q.amax(-1).clamp_max(0) - rounding[:, None]


def ball(points: Points, radius: Numbers) -> Distances:
    return points.norm(dim=-1) - radius[:, None]


def ellipsoid(points: Points, half: Float[Tensor, "S 3"]) -> Distances:
    """To first order."""
    near = (points / half[:, None]).norm(dim=-1)
    slope = (points / half[:, None] ** 2).norm(dim=-1).clamp_min(1e-6)
    return near * (near - 1) / slope


def superquadric(points: Points, half: Float[Tensor, "S 3"], power: Numbers) -> Distances:
    """|x/a|^p + |y/b|^p + |z/c|^p = 1, to first order; p 2 is an ellipsoid, a large p a box."""
    p = power[:, None]
    scaled = (points / half[:, None]).abs().clamp_min(1e-4)
    total = (scaled ** p[..., None]).sum(-1)
    value = total ** (1 / p)
    gradient = (scaled ** (p[..., None] - 1)) * (total ** (1 / p - 1))[..., None] / half[:, None]
    return (value - 1) / gradient.norm(dim=-1).clamp_min(1e-6)


def cylinder(points: Points, radius: Numbers, half_height: Numbers, rounding: Numbers) -> Distances:
    """Upright, its edges rounded."""
    across = points[..., :2].norm(dim=-1) - (radius - rounding)[:, None]
    along = points[..., 2].abs() - (half_height - rounding)[:, None]
    outside = torch.stack([across, along], -1).clamp_min(0).norm(dim=-1)
    return outside + torch.maximum(across, along).clamp_max(0) - rounding[:, None]


def capsule(
    points: Points, start: Float[Tensor, "S 3"], end: Float[Tensor, "S 3"], radius: Numbers, radius_end: Numbers
) -> Distances:
    """A rod with round ends, its radius changing along it."""
    axis = (end - start)[:, None]
    at = ((points - start[:, None]) * axis).sum(-1) / (axis**2).sum(-1).clamp_min(1e-9)
    at = at.clamp(0, 1)
    nearest = start[:, None] + at[..., None] * axis
    return (points - nearest).norm(dim=-1) - torch.lerp(radius[:, None], radius_end[:, None], at)


def arc(points: Points, radius: Numbers, thick: Numbers, half_angle: Numbers, taper: Numbers) -> Distances:
    """A piece of a ring about z, its middle along +x; `taper` is the share of thickness lost at the ends."""
    angle = torch.atan2(points[..., 1], points[..., 0])
    nearest = torch.maximum(torch.minimum(angle, half_angle[:, None]), -half_angle[:, None])
    core = radius[:, None, None] * torch.stack([nearest.cos(), nearest.sin(), torch.zeros_like(nearest)], -1)
    share = (nearest / half_angle[:, None]).abs()
    return (points - core).norm(dim=-1) - thick[:, None] * (1 - taper[:, None] * share**2)


def revolved(points: Points, outline: Float[Tensor, "S K 2"]) -> Distances:
    """A closed outline of (distance from the axis, height) turned about z. Edges on the axis are no surface."""
    return _outlined(torch.stack([points[..., :2].norm(dim=-1), points[..., 2]], dim=-1), outline, on_axis=True)


def prism(points: Points, outline: Float[Tensor, "S K 2"], half_height: Numbers) -> Distances:
    """A closed outline of (x, y) with straight walls upright on it."""
    across = _outlined(points[..., :2], outline)
    along = points[..., 2].abs() - half_height[:, None]
    outside = torch.stack([across, along], -1).clamp_min(0).norm(dim=-1)
    return outside + torch.maximum(across, along).clamp_max(0)


def _outlined(at: Float[Tensor, "S N 2"], outline: Float[Tensor, "S K 2"], on_axis: bool = False) -> Distances:
    """Of a polygon; `on_axis`: its edges at first coordinate 0 do not count."""
    nearest = torch.full_like(at[..., 0], 1e6)
    inside = torch.zeros_like(nearest, dtype=torch.bool)
    for k in range(outline.shape[1]):
        a, b = outline[:, k - 1][:, None], outline[:, k][:, None]
        edge, reach = b - a, at - a
        share = ((reach * edge).sum(-1) / (edge**2).sum(-1).clamp_min(1e-12)).clamp(0, 1)
        gap = (reach - share[..., None] * edge).norm(dim=-1)
        free = (a[..., 0] < 1e-6) & (b[..., 0] < 1e-6) & on_axis
        nearest = torch.where(free, nearest, torch.minimum(nearest, gap))
        above = (at[..., 1] >= a[..., 1]) != (at[..., 1] >= b[..., 1])
        rise = torch.where(edge[..., 1].abs() < 1e-9, 1e-9, edge[..., 1])
        crossing = a[..., 0] + (at[..., 1] - a[..., 1]) / rise * edge[..., 0]
        inside ^= above & (at[..., 0] < crossing)
    return torch.where(inside, -nearest, nearest)


def union(*parts: Distances) -> Distances:
    return torch.stack(parts).amin(0)


def melted(one: Distances, other: Distances, blend_m: Numbers) -> Distances:
    """A union with a fillet about as wide as `blend_m`."""
    width = blend_m[:, None].clamp_min(1e-6)
    share = (0.5 + 0.5 * (other - one) / width).clamp(0, 1)
    return torch.lerp(other, one, share) - width * share * (1 - share)


def without(one: Distances, cut: Distances) -> Distances:
    return torch.maximum(one, -cut)


def shell(solid: Distances, thick: Numbers) -> Distances:
    """A skin of this thickness within a solid's surface."""
    return (solid + thick[:, None] / 2).abs() - thick[:, None] / 2


def moved(points: Points, offset: Float[Tensor, "S 3"]) -> Points:
    """The points as a part at `offset` sees them."""
    return points - offset[:, None]


def turned(points: Points, R_part_shape: Float[Tensor, "S 3 3"]) -> Points:
    return points @ R_part_shape.transpose(1, 2)


def about_y(angle: Numbers) -> Float[Tensor, "S 3 3"]:
    return _rotation(angle, 0, 2)


def about_z(angle: Numbers) -> Float[Tensor, "S 3 3"]:
    return _rotation(angle, 1, 0)


def _rotation(angle: Numbers, a: int, b: int) -> Float[Tensor, "S 3 3"]:
    R = torch.zeros(len(angle), 3, 3, device=angle.device)
    other = 3 - a - b
    R[:, a, a], R[:, b, b], R[:, other, other] = angle.cos(), angle.cos(), 1
    R[:, a, b], R[:, b, a] = angle.sin(), -angle.sin()
    return R


def bumps(points: Points, waves: Float[Tensor, "S W 3"], phases: Float[Tensor, "S W"]) -> Distances:
    """A smooth random field within -1..1, of waves that are vectors of radians a metre."""
    return torch.stack([
        (functional.linear(points[k], waves[k]) + phases[k]).sin().mean(-1) for k in range(len(points))
    ])  # fmt: skip
