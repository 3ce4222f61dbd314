"""Closed triangle meshes built from rings of vertices: lofts, solids of revolution, boxes, tubes joined to a wall."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64, Integer


@dataclass(frozen=True)
class Mesh:
    """Triangles, counter-clockwise seen from outside; metres."""

    vertices_m: Float64[np.ndarray, "V 3"]
    faces: Int32[np.ndarray, "F 3"]

    def moved(self, T_a_b: Float64[np.ndarray, "4 4"]) -> "Mesh":
        """The mesh, given in frame b, in frame a."""
        return Mesh(self.vertices_m @ T_a_b[:3, :3].T + T_a_b[:3, 3], self.faces)

    @property
    def face_normals(self) -> Float64[np.ndarray, "F 3"]:
        """Unit outward normals; zero for a face without area."""
        a, b, c = (self.vertices_m[self.faces[:, k]] for k in range(3))
        normals = np.cross(b - a, c - a)
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-18)

    @property
    def face_areas_m2(self) -> Float64[np.ndarray, " F"]:
        a, b, c = (self.vertices_m[self.faces[:, k]] for k in range(3))
        return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2

    @property
    def volume_m3(self) -> float:
        """Signed volume: positive when the faces look outward."""
        a, b, c = (self.vertices_m[self.faces[:, k]] for k in range(3))
        return float((a * np.cross(b, c)).sum() / 6)

    def is_watertight(self) -> bool:
        """Every edge belongs to exactly two faces, once in each direction."""
        edges = np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]])
        forward = np.unique(edges, axis=0)
        backward = np.unique(edges[:, ::-1], axis=0)
        return len(forward) == len(edges) and np.array_equal(forward, backward)

    def sample(
        self, count: int, rng: np.random.Generator
    ) -> tuple[Float64[np.ndarray, "P 3"], Int64[np.ndarray, " P"]]:
        """Points spread uniformly over the surface, and the face of each."""
        areas = self.face_areas_m2
        face = rng.choice(len(areas), count, p=areas / areas.sum())
        a, b, c = (self.vertices_m[self.faces[face, k]] for k in range(3))
        u, v = np.sqrt(rng.random((count, 1))), rng.random((count, 1))
        return (1 - u) * a + u * (1 - v) * b + u * v * c, face


def quads(ids: Integer[np.ndarray, "R S"]) -> Int32[np.ndarray, "F 3"]:
    """Side faces between consecutive rings of vertex ids, each ring closed."""
    a, d = ids[:-1], ids[1:]
    b, c = np.roll(a, -1, axis=1), np.roll(d, -1, axis=1)
    faces = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], axis=2)
    return faces.reshape(-1, 3).astype(np.int32)


def fan(ring: Integer[np.ndarray, " S"], tip: int, at_end: bool) -> Int32[np.ndarray, "S 3"]:
    """Faces that close a ring with one vertex, at the end or the start of a loft."""
    following = np.roll(ring, -1)
    first, second = (ring, following) if at_end else (following, ring)
    return np.stack([np.full_like(ring, tip), first, second], axis=-1).astype(np.int32)


def loft(
    rings_m: Float64[np.ndarray, "R S 3"], start_m: Float64[np.ndarray, "3"], end_m: Float64[np.ndarray, "3"]
) -> Mesh:
    """Closed surface through rings that turn counter-clockwise about their path, closed by a tip at each end."""
    count, size = rings_m.shape[:2]
    ids = np.arange(count * size).reshape(count, size)
    faces = [quads(ids), fan(ids[0], count * size, at_end=False), fan(ids[-1], count * size + 1, at_end=True)]
    return Mesh(np.concatenate([rings_m.reshape(-1, 3), [start_m, end_m]]), np.concatenate(faces))


def circle(radius_m: float, z_m: float, segments: int) -> Float64[np.ndarray, "S 3"]:
    angles = np.arange(segments) * 2 * np.pi / segments
    return np.stack([radius_m * np.cos(angles), radius_m * np.sin(angles), np.full(segments, z_m)], axis=-1)


def lathe(profile_m: Float64[np.ndarray, "R 2"], segments: int) -> Mesh:
    """Solid of revolution about z of a profile (radius, z) that starts and ends on the axis, upwards on the outside."""
    rings = np.stack([circle(r, z, segments) for r, z in profile_m[1:-1]])
    axis = np.array([0.0, 0.0, 1.0])
    return loft(rings, profile_m[0, 1] * axis, profile_m[-1, 1] * axis)


def ring_lathe(profile_m: Float64[np.ndarray, "R 2"], segments: int) -> Mesh:
    """Solid of revolution of a closed profile that never touches the axis, e.g. a roll of tape."""
    rings = np.stack([circle(r, z, segments) for r, z in profile_m])
    ids = np.arange(len(profile_m) * segments).reshape(len(profile_m), segments)
    return Mesh(rings.reshape(-1, 3), quads(np.concatenate([ids, ids[:1]])))


def filleted(corners_m: Float64[np.ndarray, "C 2"], radius_m: float, step_m: float) -> Float64[np.ndarray, "R 2"]:
    """Open polyline with rounded inner corners, resampled so that no segment is longer than `step_m`."""
    line = [corners_m[0]]
    for before, corner, after in zip(corners_m[:-2], corners_m[1:-1], corners_m[2:], strict=True):
        reach = min(radius_m, np.linalg.norm(before - corner) / 2.01, np.linalg.norm(after - corner) / 2.01)
        enter = corner + (before - corner) / np.linalg.norm(before - corner) * reach
        leave = corner + (after - corner) / np.linalg.norm(after - corner) * reach
        line += [(1 - s) ** 2 * enter + 2 * s * (1 - s) * corner + s**2 * leave for s in (0.0, 0.25, 0.5, 0.75, 1.0)]
    line.append(corners_m[-1])
    points = [line[0]]
    for start, end in zip(line[:-1], line[1:], strict=True):
        pieces = max(1, int(np.ceil(np.linalg.norm(end - start) / step_m)))
        points += [start + (end - start) * k / pieces for k in range(1, pieces + 1)]
    return np.array(points)


def box(size_m: Sequence[float], bevel_m: float, step_m: float) -> Mesh:
    """Box with rounded edges, centred at the origin."""
    half = np.asarray(size_m, float) / 2
    axes = [_bevelled_axis(h, bevel_m, step_m) for h in half]
    corners = [_box_side(axes, axis, end) for axis in range(3) for end in (0, 1)]
    lattice, ids = np.unique(np.concatenate(corners).reshape(-1, 3), axis=0, return_inverse=True)
    points = np.stack([axes[k][lattice[:, k]] for k in range(3)], axis=-1)
    inner = np.clip(points, -(half - bevel_m), half - bevel_m)
    outward = points - inner
    vertices = inner + bevel_m * outward / np.linalg.norm(outward, axis=1, keepdims=True)
    a, b, c, d = ids.reshape(-1, 4).T
    return Mesh(vertices, np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).astype(np.int32))


def _bevelled_axis(half_m: float, bevel_m: float, step_m: float) -> Float64[np.ndarray, " A"]:
    flat = half_m - bevel_m
    middle = np.linspace(-flat, flat, max(3, int(np.ceil(2 * flat / step_m)) + 1))
    bevel = np.array([0.42, 1.0]) * bevel_m
    return np.concatenate([-flat - bevel[::-1], middle, flat + bevel])


def _box_side(axes: list[np.ndarray], axis: int, end: int) -> Int64[np.ndarray, "Q 4 3"]:
    """Lattice corners of one side's quads, counter-clockwise from outside."""
    across, up = (axis + 1) % 3, (axis + 2) % 3
    i, j = np.meshgrid(np.arange(len(axes[across]) - 1), np.arange(len(axes[up]) - 1), indexing="ij")
    steps = [(0, 0), (1, 0), (1, 1), (0, 1)] if end else [(0, 0), (0, 1), (1, 1), (1, 0)]
    corners = np.zeros((i.size, 4, 3), np.int64)
    corners[..., axis] = (len(axes[axis]) - 1) * end
    for k, (di, dj) in enumerate(steps):
        corners[:, k, across], corners[:, k, up] = i.ravel() + di, j.ravel() + dj
    return corners


def with_tube(
    mesh: Mesh, start: Bool[np.ndarray, " F"], rings_m: Float64[np.ndarray, "R S 3"], end: Bool[np.ndarray, " F"] | None
) -> Mesh:
    """Replace the faces `start` (a disc with S border vertices) by a tube through `rings_m` that ends in `end`.

    Without `end` the tube is closed by a tip. The result is one closed surface without inner walls.
    """
    rings = [np.arange(len(mesh.vertices_m), len(mesh.vertices_m) + rings_m.shape[0] * rings_m.shape[1])]
    rings = list(rings[0].reshape(rings_m.shape[:2]))
    vertices = np.concatenate([mesh.vertices_m, rings_m.reshape(-1, 3)])
    keep, tip = ~start, []
    rings.insert(0, _matched_border(mesh, start, rings_m[0]))
    if end is None:
        vertices = np.concatenate([vertices, rings_m[-1].mean(axis=0, keepdims=True)])
        tip = [fan(rings[-1], len(vertices) - 1, at_end=True)]
    else:
        rings.append(_matched_border(mesh, end, rings_m[-1]))
        keep &= ~end
    joined = Mesh(vertices, np.concatenate([mesh.faces[keep], quads(np.stack(rings)), *tip]))
    return _without_unused(joined)


def _matched_border(
    mesh: Mesh, patch: Bool[np.ndarray, " F"], ring_m: Float64[np.ndarray, "S 3"]
) -> Int64[np.ndarray, " S"]:
    """Border vertices of a patch of faces, in the order of the ring in front of it."""
    faces = mesh.faces[patch]
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ordered, count = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)
    border = np.unique(ordered[count == 1])
    axes = _plane(ring_m)
    at = _angles(mesh.vertices_m[border] - mesh.vertices_m[border].mean(axis=0), axes)
    wanted = _angles(ring_m - ring_m.mean(axis=0), axes)
    border = border[np.argsort(at)]
    shifts = [np.abs(np.angle(np.exp(1j * (np.roll(np.sort(at), -k) - wanted)))).sum() for k in range(len(border))]
    return np.roll(border, -int(np.argmin(shifts))).astype(np.int64)


def _plane(ring_m: Float64[np.ndarray, "S 3"]) -> Float64[np.ndarray, "2 3"]:
    """Axes of the ring's plane in which it turns counter-clockwise."""
    centred = ring_m - ring_m.mean(axis=0)
    normal = np.cross(centred, np.roll(centred, -1, axis=0)).sum(axis=0)
    normal /= np.linalg.norm(normal)
    first = centred[0] / np.linalg.norm(centred[0])
    return np.stack([first, np.cross(normal, first)])


def _angles(offsets_m: Float64[np.ndarray, "S 3"], axes: Float64[np.ndarray, "2 3"]) -> Float64[np.ndarray, " S"]:
    along = offsets_m @ axes.T
    return np.arctan2(along[:, 1], along[:, 0])


def _without_unused(mesh: Mesh) -> Mesh:
    used, faces = np.unique(mesh.faces, return_inverse=True)
    return Mesh(mesh.vertices_m[used], faces.reshape(-1, 3).astype(np.int32))
