"""Parametric household shapes: watertight meshes with convex pieces for collision. z up, metres, foot at z = 0."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from instascene_ros.tools.scene_generator import meshes
from instascene_ros.tools.scene_generator.meshes import Mesh

SEGMENTS = 40
STEP_M = 0.009
SECTORS = 12  # pieces around a hollow shape


@dataclass(frozen=True)
class Shape:
    """A closed surface in its own frame, and convex point sets whose hulls cover about the same volume."""

    name: str
    mesh: Mesh
    hulls: tuple[Float64[np.ndarray, "_ 3"], ...]


def box(size_m: Sequence[float], bevel_m: float = 0.003, name: str = "box") -> Shape:
    mesh = meshes.box(size_m, bevel_m, STEP_M)
    lifted = Mesh(mesh.vertices_m + [0, 0, size_m[2] / 2], mesh.faces)
    return Shape(name, lifted, (lifted.vertices_m,))


def revolved(profile_m: Sequence[tuple[float, float]], bevel_m: float = 0.002, name: str = "revolved") -> Shape:
    """Solid of revolution through corners (radius, z), from the foot up; can, bottle, screwdriver, marker, ball."""
    corners = np.array([(0.0, profile_m[0][1]), *profile_m, (0.0, profile_m[-1][1])])
    hulls = [
        np.concatenate([meshes.circle(r0, z0, 20), meshes.circle(r1, z1, 20)])
        for (r0, z0), (r1, z1) in zip(profile_m[:-1], profile_m[1:], strict=True)
        if z1 - z0 > 1e-3
    ]
    return Shape(name, meshes.lathe(meshes.filleted(corners, bevel_m, STEP_M), SEGMENTS), tuple(hulls))


def can(radius_m: float, height_m: float) -> Shape:
    rim = 0.92 * radius_m
    profile = [(rim, 0.0), (radius_m, 0.004), (radius_m, height_m - 0.004), (rim, height_m)]
    return revolved(profile, name="can")


def bottle(radius_m: float, height_m: float, neck_m: float) -> Shape:
    z = height_m
    profile = [(radius_m, 0.0), (radius_m, 0.58 * z), (neck_m, 0.78 * z), (neck_m, 0.88 * z)]
    profile += [(1.25 * neck_m, 0.881 * z), (1.25 * neck_m, z)]
    return revolved(profile, bevel_m=0.006, name="bottle")


def ball(radius_m: float) -> Shape:
    angles = np.linspace(-np.pi / 2, np.pi / 2, 22)
    profile = [(radius_m * np.cos(a), radius_m * (1 + np.sin(a))) for a in angles[1:-1]]
    mesh = meshes.lathe(np.array([(0.0, 0.0), *profile, (0.0, 2 * radius_m)]), SEGMENTS)
    return Shape("ball", mesh, (mesh.vertices_m,))


def vessel(outer_m: Sequence[tuple[float, float]], wall_m: float, name: str = "bowl") -> Shape:
    """Hollow solid of revolution, open at the top; `outer_m` are (radius, z) from the foot to the rim."""
    outer = np.array(outer_m, float)
    inner = outer - [wall_m, 0.0]
    inner[0, 1] += wall_m
    inner[-1, 1] = outer[-1, 1]
    corners = np.concatenate([[(0.0, outer[0, 1])], outer, inner[::-1], [(0.0, inner[0, 1])]])
    mesh = meshes.lathe(meshes.filleted(corners, 0.006, 1.15 * STEP_M), SEGMENTS)
    base = np.concatenate([meshes.circle(outer[0, 0], outer[0, 1], 20), meshes.circle(inner[0, 0], inner[0, 1], 20)])
    return Shape(name, mesh, (base, *_wall_hulls(outer, inner)))


def bowl(radius_m: float, height_m: float, wall_m: float = 0.005) -> Shape:
    heights = np.array([0.0, 0.12, 0.35, 0.65, 1.0])
    radii = np.array([0.45, 0.62, 0.82, 0.95, 1.0])
    return vessel(list(zip(radii * radius_m, heights * height_m, strict=True)), wall_m)


def mug(radius_m: float, height_m: float, wall_m: float = 0.004) -> Shape:
    """Cup with a handle on the +x side; wall, bottom and handle are one surface."""
    outer = [(0.9 * radius_m, 0.0), (radius_m, 0.02), (radius_m, 0.6 * height_m), (radius_m, height_m)]
    cup = vessel(outer, wall_m, name="mug")
    upper, lower = 0.74 * height_m, 0.26 * height_m
    start, end = _wall_patch(cup.mesh, radius_m, upper), _wall_patch(cup.mesh, radius_m, lower)
    turns = np.linspace(0.0, np.pi, 13)[1:-1]
    reach, rise = 0.030, (upper - lower) / 2
    path = np.stack([radius_m + reach * np.sin(turns), 0 * turns, height_m / 2 + rise * np.cos(turns)], axis=-1)
    along = np.stack([reach * np.cos(turns), 0 * turns, -rise * np.sin(turns)], axis=-1)
    rings = _tube(path, along, np.array([0.0, 1.0, 0.0]), (0.0075, 0.0045))
    handle = [np.concatenate(pair) for pair in zip(rings[:-2:2], rings[2::2], strict=True)]
    return Shape("mug", meshes.with_tube(cup.mesh, start, rings, end), (*cup.hulls, *handle))


def pan(radius_m: float, height_m: float, handle_m: float) -> Shape:
    """Shallow vessel with a straight handle along +x."""
    outer = [(0.75 * radius_m, 0.0), (0.9 * radius_m, 0.5 * height_m), (radius_m, height_m)]
    dish = vessel(outer, 0.004, name="pan")
    z = 0.6 * height_m
    start = _wall_patch(dish.mesh, 0.92 * radius_m, z)
    x = np.linspace(radius_m + 0.004, radius_m + handle_m, 14)
    path = np.stack([x, 0 * x, z + 0.12 * (x - x[0])], axis=-1)
    rings = _tube(path, np.tile([1.0, 0.0, 0.12], (len(x), 1)), np.array([0.0, 1.0, 0.0]), (0.010, 0.006))
    return Shape("pan", meshes.with_tube(dish.mesh, start, rings, None), (*dish.hulls, rings.reshape(-1, 3)))


def hammer(length_m: float, head_m: float) -> Shape:
    """Handle along +x, head across it."""
    head = meshes.box((0.026, head_m, 0.026), 0.003, 0.006)
    reach = np.abs(head.vertices_m[head.faces]).max(axis=1)
    start = (head.face_normals[:, 0] > 0.99) & (reach[:, 1] < 0.0125) & (reach[:, 2] < 0.0101)
    x = np.linspace(0.016, length_m, 24)
    path = np.stack([x, 0 * x, 0 * x], axis=-1)
    swell = 1 + 0.25 * np.sin(np.clip((x - 0.3 * length_m) / (0.7 * length_m), 0, 1) * np.pi) ** 2
    sides = _border_size(head, start)
    rings = _tube(path, np.tile([1.0, 0.0, 0.0], (24, 1)), np.array([0.0, 1.0, 0.0]), (0.010, 0.008), swell, sides)
    mesh = meshes.with_tube(head, start, rings, None)
    lift = np.array([0.0, 0.0, 0.013])
    hulls = (head.vertices_m + lift, rings.reshape(-1, 3) + lift)
    return Shape("hammer", Mesh(mesh.vertices_m + lift, mesh.faces), hulls)


def banana(length_m: float, radius_m: float) -> Shape:
    """A bent, tapering tube that lies flat."""
    s = np.linspace(-1.0, 1.0, 26)
    bend = 0.9 * s
    arc = length_m / 1.8
    path = np.stack([arc * np.sin(bend), arc * (1 - np.cos(bend)), np.full_like(s, radius_m)], axis=-1)
    along = np.stack([np.cos(bend), np.sin(bend), 0 * s], axis=-1)
    taper = np.interp(s, [-1, -0.93, -0.8, -0.4, 0.4, 0.8, 1], [0.3, 0.33, 0.6, 1, 1, 0.6, 0.22])
    rings = _tube(path, along, np.array([0.0, 0.0, 1.0]), (radius_m, radius_m), taper, 24)
    mesh = meshes.loft(rings, path[0], path[-1])
    hulls = [rings[k : k + 6].reshape(-1, 3) for k in range(0, 25, 5)]
    return Shape("banana", mesh, tuple(hulls))


def tape(radius_m: float, hole_m: float, height_m: float) -> Shape:
    """A roll with a hole."""
    corners = np.array([(hole_m, 0.0), (radius_m, 0.0), (radius_m, height_m), (hole_m, height_m), (hole_m, 0.0)])
    middle = np.array([(hole_m + radius_m) / 2, 0.0])
    loop = np.concatenate([[middle], corners[1:4], corners[:1], [middle]])
    profile = meshes.filleted(loop, 0.0015, STEP_M)[:-1]
    hulls = _wall_hulls(
        np.array([(radius_m, 0.0), (radius_m, height_m)]), np.array([(hole_m, 0.0), (hole_m, height_m)])
    )
    return Shape("tape", meshes.ring_lathe(profile, SEGMENTS), tuple(hulls))


def _tube(
    path_m: np.ndarray, along: np.ndarray, side: np.ndarray, radii_m: tuple[float, float],
    scale: np.ndarray | None = None, sides: int = 12,
) -> Float64[np.ndarray, "R S 3"]:  # fmt: skip
    """Elliptic rings around a path whose tangents are `along`.

    `side` is perpendicular to the path's plane; `radii_m` are along it and across it.
    """
    tangent = along / np.linalg.norm(along, axis=1, keepdims=True)
    up = np.cross(tangent, side)
    scale = np.ones(len(path_m)) if scale is None else scale
    # Half a step off the axes, so that a ring's points face the corners of a square patch in the wall.
    angles = (np.arange(sides) + (0.0 if sides % 8 else 0.5)) * 2 * np.pi / sides
    offsets = radii_m[0] * np.cos(angles)[:, None] * side + radii_m[1] * np.sin(angles)[:, None] * up[:, None]
    return path_m[:, None] + scale[:, None, None] * offsets


def _wall_patch(mesh: Mesh, radius_m: float, z_m: float) -> np.ndarray:
    """Three by three quads of the outer wall around (radius, 0, z)."""
    centres = mesh.vertices_m[mesh.faces].mean(axis=1)
    outside = (mesh.face_normals[:, 0] > 0.5) & (np.hypot(centres[:, 0], centres[:, 1]) > 0.8 * radius_m)
    # A face's centre lies a sixth of a quad off its middle; sectors -1, 0, 1 are those around angle +x.
    angle = np.arctan2(centres[:, 1], centres[:, 0]) * SEGMENTS / (2 * np.pi)
    outside &= (angle > -1.0) & (angle < 2.0)
    levels = np.unique(np.round(mesh.vertices_m[np.unique(mesh.faces[outside]), 2], 6))
    low = levels[:-1][np.argsort(np.abs((levels[:-1] + levels[1:]) / 2 - z_m))[0]]
    row = int(np.searchsorted(levels, low))
    bottom, top = levels[max(row - 1, 0)], levels[min(row + 2, len(levels) - 1)]
    return outside & (centres[:, 2] > bottom) & (centres[:, 2] < top)


def _border_size(mesh: Mesh, patch: np.ndarray) -> int:
    faces = mesh.faces[patch]
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    return int((np.unique(edges, axis=0, return_counts=True)[1] == 1).sum())


def _wall_hulls(outer_m: np.ndarray, inner_m: np.ndarray) -> list[np.ndarray]:
    """Convex bricks that fill the wall between two profiles with paired corners."""
    hulls = []
    for k in range(len(outer_m) - 1):
        corners = np.concatenate([outer_m[k : k + 2], inner_m[k : k + 2]])
        for sector in range(SECTORS):
            angles = 2 * np.pi * (sector + np.array([0.0, 0.5, 1.0])) / SECTORS
            r, z = corners[:, 0], corners[:, 1]
            hulls.append(np.concatenate([np.stack([r * np.cos(a), r * np.sin(a), z], axis=-1) for a in angles]))
    return hulls
