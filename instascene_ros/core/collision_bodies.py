"""Objects as a motion planner should know them: a box, convex hulls or a mesh, with padding. Needs no torch."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Float64, Int32, Int64
from scipy.spatial import ConvexHull, QhullError

GEOMETRIES = ("mesh", "parts", "convex", "box")
MIN_HULL_POINTS = 8  # fewer say nothing of a shape: the box stands in
MAX_HULL_POINTS = 20_000
MIN_PART_FACES = 20  # of the hull of one part: fewer cut much off what is round
GRID_M = 0.002  # sizes and points are compared on this grid: what a planner would not notice is no change
# Corners of a polyhedron around the unit ball: a hull padded by them keeps at least the padding everywhere.
_BALL = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)


@dataclass(frozen=True)
class Triangles:
    """A closed surface, counter-clockwise seen from outside."""

    vertices_m: Float32[np.ndarray, "V 3"]  # in the frame of its body
    faces: Int32[np.ndarray, "F 3"]


@dataclass(frozen=True)
class CollisionBody:
    """One object: a box of `size_m` around its frame's origin, or, where there are any, meshes in its frame."""

    T_world_body: Float64[np.ndarray, "4 4"]
    size_m: Float64[np.ndarray, " 3"]
    meshes: tuple[Triangles, ...] = ()

    @property
    def shape_key(self) -> str:
        """Equal for shapes that a planner cannot tell apart, whatever their pose."""
        if not self.meshes:
            return f"box {np.round(self.size_m / GRID_M).astype(int).tolist()}"
        digest = hashlib.sha256()
        for one in self.meshes:
            digest.update(np.round(one.vertices_m / GRID_M).astype(np.int32).tobytes())
            digest.update(np.ascontiguousarray(one.faces).tobytes())
        return f"{len(self.meshes)} meshes {digest.hexdigest()}"


def box_body(
    T_world_box: Float64[np.ndarray, "4 4"], size_m: Float[np.ndarray, " 3"], padding_m: float
) -> CollisionBody:
    """The box, larger by the padding on every side."""
    return CollisionBody(T_world_box, size_m.astype(np.float64) + 2 * padding_m)


def hull_body(
    box: CollisionBody, points_m: Float[np.ndarray, "P 3"], padding_m: float, max_faces: int
) -> CollisionBody:
    """The convex hull of points in the frame of `box`, padded; `box` itself where the points span no volume.

    Of many points an even choice is taken. A hull of more than `max_faces` keeps the corners that are farthest out in
    directions all around: with 500 faces a ball lacks less than 2 % of its radius, for which the padding makes up.
    """
    if len(points_m) < MIN_HULL_POINTS:
        return box
    chosen = points_m[:: -(-len(points_m) // MAX_HULL_POINTS)].astype(np.float64)
    hull = _hull(chosen, padding_m, max_faces)
    return box if hull is None else replace(box, meshes=(hull,))


def max_parts(max_faces: int) -> int:
    """Of an object that may have so many faces."""
    return max(1, max_faces // MIN_PART_FACES)


def parts_body(
    box: CollisionBody, parts_m: Sequence[Float[np.ndarray, "_ 3"]], padding_m: float, max_faces: int
) -> CollisionBody:
    """The convex hulls of the parts' corners in the frame of `box`, padded, each with its share of the faces.

    A part without volume is left out; `box` itself where none is left.
    """
    share = max_faces // max(1, len(parts_m))
    hulls = [_hull(corners_m.astype(np.float64), padding_m, share) for corners_m in parts_m]
    return replace(box, meshes=tuple(hull for hull in hulls if hull is not None))


def _hull(points_m: Float64[np.ndarray, "P 3"], padding_m: float, max_faces: int) -> Triangles | None:
    """The padded convex hull, None where the points span no volume."""
    try:
        corners = points_m[ConvexHull(points_m).vertices]
        padded = (corners[:, None] + padding_m * _BALL).reshape(-1, 3) if padding_m > 0 else corners
        hull = ConvexHull(padded)
        if len(hull.simplices) > max_faces:
            padded = padded[_farthest_out(padded, max_faces // 2 + 2)]  # a hull of V corners has 2 V - 4 faces
            hull = ConvexHull(padded)
    except (QhullError, ValueError):  # too few points, or all in one plane
        return None
    rows = np.full(len(padded), -1, np.int32)
    rows[hull.vertices] = np.arange(len(hull.vertices))
    vertices_m, faces = padded[hull.vertices], rows[hull.simplices]
    return Triangles(vertices_m.astype(np.float32), _outward(vertices_m, faces, hull))


def _farthest_out(points_m: Float64[np.ndarray, "P 3"], count: int) -> Int64[np.ndarray, " R"]:
    """Rows of the points farthest out in `count` directions, spread evenly over the sphere (Fibonacci's lattice)."""
    k = np.arange(count) + 0.5
    z, turn = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    directions = np.stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z])
    return np.unique(np.argmax(points_m @ directions, axis=0))


def _outward(
    vertices_m: Float64[np.ndarray, "V 3"], faces: Int32[np.ndarray, "F 3"], hull: Any
) -> Int32[np.ndarray, "F 3"]:
    """Counter-clockwise seen from outside: qhull gives the normals, but no order."""
    a, b, c = (vertices_m[faces[:, i]] for i in range(3))
    inward = np.einsum("fi,fi->f", np.cross(b - a, c - a), hull.equations[:, :3]) < 0
    return np.where(inward[:, None], faces[:, ::-1], faces).astype(np.int32)


def mesh_body(
    box: CollisionBody, vertices_m: Float32[np.ndarray, "V 3"], faces: Int32[np.ndarray, "F 3"], padding_m: float
) -> CollisionBody:
    """A mesh in the frame of `box`, moved outward by the padding along its vertex normals."""
    if padding_m > 0:
        corners = vertices_m[faces].astype(np.float64)
        normals, areas = (
            np.zeros(vertices_m.shape),
            np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]),
        )
        for i in range(3):
            np.add.at(normals, faces[:, i], areas)
        normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
        vertices_m = (vertices_m + padding_m * normals).astype(np.float32)
    return replace(box, meshes=(Triangles(vertices_m, faces),))
