"""Families of containers: what is turned about an axis, solid or hollow. Upright, z up, in metres."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from instascene_ros.tools.prior_training import fields
from instascene_ros.tools.prior_training.draws import Draw, Field, at
from instascene_ros.tools.prior_training.fields import Distances, Numbers, Points


def can(d: Draw) -> Field:
    radius, half = d.within(0.018, 0.05), d.within(0.015, 0.08)
    rim, dent = radius * d.within(0.03, 0.3), d.within(0.0, 0.005)

    def field(p: Points) -> Distances:
        solid = fields.cylinder(p, radius, half, rim)
        top = fields.moved(p, at(z=half))
        return fields.without(solid, fields.cylinder(top, radius - 0.004, dent, torch.zeros_like(dent)))

    return field


def bottle(d: Draw) -> Field:
    outline = _bottle_outline(d)
    flat = 1 + d.flag(0.35) * d.within(0.2, 1.0)  # thickness of shampoo bottles

    def field(p: Points) -> Distances:
        return fields.revolved(p * torch.stack([torch.ones_like(flat), flat, torch.ones_like(flat)], -1)[:, None],
                               outline) / flat[:, None]  # fmt: skip

    return field


def jar(d: Draw) -> Field:
    r, half = d.within(0.025, 0.05), d.within(0.03, 0.07)
    neck, lid, gap = r * d.within(0.7, 0.95), r * d.within(0.85, 1.05), half * d.within(0.03, 0.12)
    shoulder = half * d.within(0.3, 0.7)
    zero = torch.zeros_like(r)
    outline = outline_of((zero, -half), (0.96 * r, -half), (r, -0.95 * half), (r, shoulder), (neck, shoulder + gap),
                       (lid, shoulder + 1.2 * gap), (lid, half), (zero, half))  # fmt: skip
    return lambda p: fields.revolved(p, outline)


def bowl(d: Draw) -> Field:
    """Bowls, plates and dishes."""
    radius, height = d.within(0.05, 0.1), d.within(0.012, 0.07)
    return _vessel(radius, height, radius * d.within(0.35, 0.7), d.within(0.3, 1.6), d.within(0.003, 0.007))


def cup(d: Draw) -> Field:
    radius, height = d.within(0.025, 0.05), d.within(0.06, 0.14)
    return _vessel(radius, height, radius * d.within(0.6, 1.1), d.within(0.5, 2.5), d.within(0.003, 0.006))


def mug(d: Draw) -> Field:
    radius, height = d.within(0.028, 0.048), d.within(0.065, 0.12)
    body = _vessel(radius, height, radius * d.within(0.75, 1.02), d.within(0.6, 3.0), d.within(0.003, 0.006))
    reach, high, thick = d.within(0.018, 0.032), height * d.within(0.28, 0.42), d.within(0.004, 0.007)
    stretch, flat = high / reach, d.within(1.0, 2.2)

    def field(p: Points) -> Distances:
        where = fields.moved(p, at(x=radius - 0.004))
        where = torch.stack([where[..., 0], where[..., 2] / stretch[:, None], where[..., 1] / flat[:, None]], -1)
        handle = fields.arc(where, reach, thick, torch.full_like(reach, 0.5 * math.pi), torch.zeros_like(reach))
        inside = p[..., :2].norm(dim=-1) < (radius - 0.002)[:, None]
        return torch.where(inside, body(p), torch.minimum(body(p), handle))

    return field


def pan(d: Draw) -> Field:
    radius, height, length = d.within(0.045, 0.075), d.within(0.02, 0.05), d.within(0.07, 0.14)
    body = _vessel(radius, height, radius * d.within(0.7, 0.98), d.within(0.6, 3.0), d.within(0.003, 0.005))
    rise, thick = d.within(0.0, 0.03), d.within(0.006, 0.01)
    middle = length / 2

    def field(p: Points) -> Distances:
        p = fields.moved(p, at(x=-middle))
        handle = fields.capsule(p, at(x=radius, z=0.3 * height), at(x=radius + length, z=0.3 * height + rise),
                                0.8 * thick, thick)  # fmt: skip
        return fields.union(body(p), handle)

    return field


def spray(d: Draw) -> Field:
    """A bottle with a trigger or a pump on top."""
    outline = _bottle_outline(d)
    top = outline[:, :, 1].amax(1)
    head = torch.stack([d.within(0.012, 0.03), d.within(0.006, 0.012), d.within(0.006, 0.014)], -1)
    nose, down = d.within(0.02, 0.045), d.within(0.0, 0.04)

    def field(p: Points) -> Distances:
        p = fields.moved(p, at(z=0.015 + 0 * top))
        body = fields.revolved(p, outline)
        where = fields.moved(p, torch.stack([0.3 * nose, 0 * top, top], -1))
        hook = fields.capsule(where, at(x=0.5 * nose), at(x=nose, z=-down), 0.006 + 0 * top, 0.004 + 0 * top)
        return fields.union(body, fields.superquadric(where, head, 4 + 0 * top), hook)

    return field


def turned(d: Draw) -> Field:
    """Any outline about an axis: knobs, chessmen, vases, lamps, lids, wheels; a third of them hollow."""
    half, reach = d.within(0.015, 0.11), d.within(0.02, 0.07)
    heights = [half * (2 * k / 6 - 1) for k in range(7)]
    widths = [reach * d.within(0.25, 1.0) for _ in heights]
    for _ in range(2):  # outlines of things are smoother than that
        widths = [(a + 2 * b + c) / 4 for a, b, c in zip([widths[0], *widths], widths, [*widths[1:], widths[-1]],
                                                         strict=False)]  # fmt: skip
    zero, wall = torch.zeros_like(half), d.within(0.003, 0.007)
    bottom = torch.where(d.flag(0.35) > 0, -half + wall, half)  # of the hollow
    outer = list(zip(widths, heights, strict=True))
    inner = [((w - wall).clamp_min(0.001), torch.maximum(z, bottom)) for w, z in reversed(outer)]
    outline = outline_of((zero, -half), *outer, *inner, (zero, bottom))
    return lambda p: fields.revolved(p, outline)


def tray(d: Draw) -> Field:
    """Open boxes: trays, drawers, holders, pots with corners."""
    half = torch.stack([d.within(0.03, 0.09), d.within(0.025, 0.07), d.within(0.01, 0.06)], -1)
    wall, rounding = d.within(0.003, 0.007), d.within(0.0, 0.01)
    hole = half - wall[:, None]

    def field(p: Points) -> Distances:
        cut = fields.box(fields.moved(p, at(z=2 * wall)), hole + wall[:, None] * _UP.to(p.device), 0 * wall)
        return fields.without(fields.box(p, half, rounding.minimum(0.5 * half.amin(-1))), cut)

    return field


def pitcher(d: Draw) -> Field:
    """A tall vessel with a long handle."""
    radius, height = d.within(0.04, 0.06), d.within(0.12, 0.19)
    body = _vessel(radius, height, radius * d.within(0.75, 1.15), d.within(0.5, 2.0), d.within(0.003, 0.006))
    reach, high = d.within(0.025, 0.04), height * d.within(0.3, 0.42)

    def field(p: Points) -> Distances:
        where = fields.moved(p, at(x=radius - 0.004))
        where = torch.stack([where[..., 0], where[..., 2] / (high / reach)[:, None], where[..., 1]], -1)
        handle = fields.arc(where, reach, 0.007 + 0 * reach, 0 * reach + 0.5 * math.pi, 0 * reach)
        inside = p[..., :2].norm(dim=-1) < (radius - 0.002)[:, None]
        return torch.where(inside, body(p), torch.minimum(body(p), handle))

    return field


def goblet(d: Draw) -> Field:
    """A foot, a stem and a cup."""
    half, foot, stem = d.within(0.06, 0.1), d.within(0.025, 0.04), d.within(0.004, 0.008)
    wide, zero = d.within(0.025, 0.045), d.within(0, 0)
    low, wall = half * d.within(-0.3, 0.1), d.within(0.003, 0.005)
    outline = outline_of((zero, -half), (foot, -half), (foot, 0.004 - half), (stem, 0.012 - half), (stem, low),
                       (0.8 * wide, low + 0.02), (wide, 0.6 * half), (0.9 * wide, half), (0.9 * wide - wall, half),
                       (wide - wall, 0.6 * half), (0.8 * wide - wall, low + 0.025), (zero, low + 0.008))  # fmt: skip
    return lambda p: fields.revolved(p, outline)


_UP = torch.tensor([0.0, 0.0, 1.0])


def outline_of(*corners: tuple[Numbers, Numbers]) -> Float[Tensor, "S K 2"]:
    """Corners (distance from the axis, height), one after the other."""
    return torch.stack([torch.stack(corner, -1) for corner in corners], 1)


def _bottle_outline(d: Draw) -> Float[Tensor, "S K 2"]:
    r, half = d.within(0.02, 0.045), d.within(0.06, 0.12)
    neck, shoulder = r * d.within(0.25, 0.7), half * d.within(-0.1, 0.7)
    slope, waist = (half - shoulder) * d.within(0.15, 0.8), r * (1 - d.flag(0.4) * d.within(0.05, 0.3))
    cap, zero = torch.maximum(neck, neck * d.within(0.9, 1.3)), torch.zeros_like(r)
    return outline_of((zero, -half), (0.94 * r, -half), (r, -0.95 * half), (waist, (shoulder - half) / 2),
                    (r, shoulder), (0.5 * (r + neck), shoulder + 0.5 * slope), (neck, shoulder + slope),
                    (cap, shoulder + 1.05 * slope), (cap, half), (zero, half))  # fmt: skip


def _vessel(radius: Numbers, height: Numbers, foot: Numbers, curve: Numbers, wall: Numbers) -> Field:
    """Open above. The radius goes from `foot` to `radius` as the `curve`-th root of the height does."""
    zero, half, shares = torch.zeros_like(radius), height / 2, (0.05, 0.2, 0.45, 0.75, 1.0)
    outer = [(foot + (radius - foot) * share ** (1 / curve), share * height - half) for share in shares]
    inner = [((r - wall).clamp_min(0.002), torch.maximum(z, wall - half)) for r, z in reversed(outer)]
    outline = outline_of((zero, -half), (0.97 * foot, -half), *outer, *inner, (zero, wall - half))
    return lambda p: fields.revolved(p, outline)
