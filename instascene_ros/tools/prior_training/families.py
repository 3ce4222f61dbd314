"""Families of household shapes. Each draws many shapes at once: a field of signed distances (m), upright, z up.

`HELD_OUT` families are for validation alone.
"""

import math
from collections.abc import Callable

import torch

from instascene_ros.tools.prior_training import fields
from instascene_ros.tools.prior_training.containers import (
    bottle,
    bowl,
    can,
    cup,
    goblet,
    jar,
    mug,
    outline_of,
    pan,
    pitcher,
    spray,
    tray,
    turned,
)
from instascene_ros.tools.prior_training.draws import Draw, Field, at
from instascene_ros.tools.prior_training.fields import Distances, Points


def box(d: Draw) -> Field:
    """Cartons, books, blocks, remotes."""
    half = torch.stack([d.within(0.02, 0.08), d.within(0.015, 0.06), d.within(0.01, 0.1)], -1)
    half[:, 2] = torch.where(d.flag(0.3) > 0, d.within(0.006, 0.02), half[:, 2])
    rounding = half.amin(-1) * d.within(0.02, 0.9) ** 2
    return lambda p: fields.box(p, half, rounding)


def ball(d: Draw) -> Field:
    """Fruit and balls."""
    half = d.within(0.025, 0.055)[:, None] * d.three(0.85, 1.15)
    return _bumpy(d, lambda p: fields.ellipsoid(p, half), 0.002, 60)


def superquadric(d: Draw) -> Field:
    half, power = d.three(0.012, 0.09), d.within(1.6, 7.0)
    return lambda p: fields.superquadric(p, half, power)


def banana(d: Draw) -> Field:
    length, thick = d.within(0.1, 0.2), d.within(0.012, 0.022)
    angle = d.within(0.4, 1.2)
    radius, taper = length / 2 / angle, d.within(0.3, 0.75)

    def field(p: Points) -> Distances:
        return fields.arc(fields.moved(p, at(x=-radius)), radius, thick, angle, taper)

    return field


def stick(d: Draw) -> Field:
    """Markers, screwdrivers, brushes, knives' handles: turned, long and thin."""
    half, r = d.within(0.05, 0.11), d.within(0.006, 0.017)
    widths = [r * d.within(0.5, 1.0) for _ in range(4)]
    thin, zero = r * torch.where(d.flag(0.5) > 0, d.within(0.2, 0.35), d.within(0.6, 1.1)), torch.zeros_like(half)
    outline = outline_of((zero, -half), (widths[0], -half), (widths[1], -0.8 * half), (widths[2], -0.3 * half),
                       (widths[3], 0.1 * half), (thin, 0.15 * half), (thin, half), (zero, half))  # fmt: skip
    return lambda p: fields.revolved(p, outline)


def hammer(d: Draw) -> Field:
    """A handle and a head across its end: hammers, mallets, brushes, rollers."""
    half, r, flat = d.within(0.07, 0.12), d.within(0.007, 0.014), d.within(0.6, 1.6)
    head = torch.stack([d.within(0.025, 0.055), d.within(0.01, 0.02), d.within(0.01, 0.025)], -1)
    zero = torch.zeros_like(r)

    def field(p: Points) -> Distances:
        narrow = torch.stack([p[..., 0], p[..., 1] * flat[:, None], p[..., 2]], -1)
        handle = fields.capsule(narrow, at(z=-half), at(z=half), r, 0.85 * r) / flat.clamp_min(1)[:, None]
        top = fields.superquadric(fields.moved(p, at(z=half)), head, 4 + zero)
        return fields.melted(handle, top, 0.004 + zero)

    return field


def ring(d: Draw) -> Field:
    """Rolls of tape, rings, washers."""
    radius, half = d.within(0.02, 0.06), d.within(0.006, 0.03)
    inner, rim = radius * d.within(0.4, 0.85), d.within(0.0005, 0.004)

    def field(p: Points) -> Distances:
        hole = fields.cylinder(p, inner, half + 0.01, torch.zeros_like(rim))
        return fields.without(fields.cylinder(p, radius, half, rim), hole)

    return field


def cutlery(d: Draw) -> Field:
    """Spoons, spatulas, ladles: a thin handle and a wide thin end."""
    half, r = d.within(0.06, 0.11), d.within(0.003, 0.006)
    end = torch.stack([d.within(0.014, 0.035), d.within(0.002, 0.01), d.within(0.02, 0.045)], -1)
    power = d.within(2.0, 5.0)

    def field(p: Points) -> Distances:
        handle = fields.capsule(p, at(z=-half), at(z=0.7 * half), 1.5 * r, r)
        blade = fields.superquadric(fields.moved(p, at(z=0.75 * half)), end, power)
        return fields.melted(handle, blade, 0.004 + torch.zeros_like(r))

    return field


def prism(d: Draw) -> Field:
    """Whatever has straight walls: brackets, blocks, stands, toys, tools that lie flat."""
    corners = 9
    reach, stretch = d.within(0.025, 0.1), d.within(0.3, 1.0)
    jagged = d.within(0.0, 0.75)
    angles = torch.arange(corners, device=reach.device) * (2 * math.pi / corners)
    radii = torch.stack([reach * (1 - jagged * d.within(0, 1)) for _ in range(corners)], -1)
    outline = torch.stack([radii * angles.cos(), stretch[:, None] * radii * angles.sin()], -1)
    half, rounding = d.within(0.006, 0.06), d.within(0.0, 0.004)
    return lambda p: fields.prism(p, outline, half) - rounding[:, None]


def blob(d: Draw) -> Field:
    """Shoes, toys, soap, sponges: a few ellipsoids grown together."""
    centers = [0.035 * (2 * d.three(0, 1) - 1) * d.within(0.5, 1.5)[:, None] for _ in range(4)]
    halves = [d.three(0.012, 0.045) for _ in range(4)]
    blend = d.within(0.005, 0.03)

    def solid(p: Points) -> Distances:
        grown = fields.ellipsoid(fields.moved(p, centers[0]), halves[0])
        for center, half in zip(centers[1:], halves[1:], strict=True):
            grown = fields.melted(grown, fields.ellipsoid(fields.moved(p, center), half), blend)
        return grown

    return _bumpy(d, solid, 0.003, 80)


def composite(d: Draw) -> Field:
    """Two to four boxes, rods and cans joined, as machines, tools and toys are."""
    zero = d.within(0, 0)
    parts: list[Field] = []
    for _ in range(4):
        parts.append(_part(d))
    few, blend = d.within(2, 5).floor(), d.within(0.0, 0.008)

    def field(p: Points) -> Distances:
        joined = parts[0](p)
        for number, part in enumerate(parts[1:], 2):
            joined = fields.melted(joined, part(p) + torch.where(few < number, 1.0, zero)[:, None], blend)
        return joined

    return field


def clamp(d: Draw) -> Field:
    """Pliers, scissors, clamps: two bent bars that cross."""
    half, angle, r = d.within(0.05, 0.095), d.within(0.08, 0.5), d.within(0.005, 0.011)
    bend, flat = d.within(-0.02, 0.02), d.within(0.8, 1.6)
    x = half * angle.sin()

    def field(p: Points) -> Distances:
        p = torch.stack([p[..., 0], p[..., 1] * flat[:, None], p[..., 2]], -1)
        bars = []
        for side in (-1, 1):
            where = torch.stack([side * p[..., 0], p[..., 1], p[..., 2]], -1)
            low = fields.capsule(where, at(x=x + bend, z=-half), at(x=0 * x), r, 1.1 * r)
            bars.append(fields.union(low, fields.capsule(where, at(x=0 * x), at(x=-0.5 * x, z=0.8 * half), 1.1 * r, r)))
        return fields.melted(*bars, 0.004 + torch.zeros_like(r)) / flat.clamp_min(1)[:, None]

    return field


def drill(d: Draw) -> Field:
    """A barrel, a grip below one end of it and a battery below that."""
    barrel, r, grip = d.within(0.05, 0.09), d.within(0.018, 0.028), d.within(0.05, 0.075)
    base = torch.stack([d.within(0.03, 0.045), d.within(0.018, 0.03), d.within(0.012, 0.02)], -1)
    zero = torch.zeros_like(r)

    def field(p: Points) -> Distances:
        p = fields.moved(p, at(z=grip * 0.6))
        top = fields.capsule(p, at(x=-0.5 * barrel), at(x=barrel), r, 0.5 * r)
        handle = fields.capsule(p, at(x=-0.2 * barrel), at(x=-0.35 * barrel, z=-grip), 0.7 * r, 0.7 * r)
        battery = fields.superquadric(fields.moved(p, at(x=-0.3 * barrel, z=-grip - 0.01)), base, 6 + zero)
        return fields.melted(fields.melted(top, handle, 0.008 + zero), battery, 0.004 + zero)

    return field


def _bumpy(d: Draw, solid: Field, height_m: float, speed: float) -> Field:
    waves = torch.stack([speed * (2 * d.three(0, 1) - 1) for _ in range(4)], 1)
    phases = torch.stack([d.within(0, 2 * math.pi) for _ in range(4)], 1)
    high = height_m * d.within(0, 1)
    return lambda p: 0.85 * (solid(p) + high[:, None] * fields.bumps(p, waves, phases))


def _part(d: Draw) -> Field:
    """A box, a rod or a can, anywhere and any way round."""
    kind, offset = d.within(0, 3).floor(), 0.032 * (2 * d.three(0, 1) - 1)
    half, rounding = d.three(0.008, 0.05), d.within(0.1, 0.8)
    square = d.flag(0.6) > 0  # most parts are joined where right angles
    quarter = 0.5 * math.pi
    tilt = torch.where(square, quarter * d.within(0, 2).floor(), d.within(0, math.pi))
    turn = torch.where(square, quarter * d.within(0, 2).floor(), d.within(0, math.pi))
    R = fields.about_y(tilt) @ fields.about_z(turn)
    thin = half.amin(-1)

    def field(p: Points) -> Distances:
        where = fields.turned(fields.moved(p, offset), R)
        kinds = torch.stack([
            fields.box(where, half, rounding * thin),
            fields.capsule(where, at(z=-half[:, 2]), at(z=half[:, 2]), thin, thin),
            fields.cylinder(where, half[:, 0], half[:, 2], 0.3 * thin),
        ])  # fmt: skip
        return kinds.gather(0, kind.long()[None, :, None].expand(1, *kinds.shape[1:]))[0]

    return field


FAMILIES: tuple[Callable[[Draw], Field], ...] = (
    box, can, bottle, jar, bowl, cup, mug, ball, superquadric, banana, stick, hammer, pan, ring, cutlery, blob,
    composite, clamp, spray, prism, turned, tray,
    box, box, can, bottle, ball, bowl,  # tables are full of these
)  # fmt: skip
HELD_OUT: tuple[Callable[[Draw], Field], ...] = (pitcher, goblet, drill)
