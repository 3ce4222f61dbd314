"""What can be seen: meshes in the world with their texture, and the room they stand in."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Float64
from scipy import sparse

from instascene_ros.tools.scene_generator import meshes, textures
from instascene_ros.tools.scene_generator.meshes import Mesh
from instascene_ros.tools.scene_generator.shapes import Shape
from instascene_ros.tools.scene_generator.textures import Texture

TABLE_M = (1.2, 0.9, 0.03)  # x, y, thickness; the top is z = 0
FLOOR_Z_M = -0.72
WALL_M = 2.6  # distance of the walls from the origin
CREASE_COS = 0.72  # edges sharper than about 44 degrees stay sharp in the shading


@dataclass(frozen=True)
class Model:
    """A kind of object; copies in a scene share shape and texture."""

    name: str
    shape: Shape
    texture: Texture
    gloss: float = 0.15  # strength of the highlight
    upright: float = 1.0  # how often it is put down standing


@dataclass(frozen=True)
class Placed:
    """One object on the table."""

    model: Model
    T_world_object: Float64[np.ndarray, "4 4"]

    @property
    def mesh(self) -> Mesh:
        """The surface in the world frame."""
        return self.model.shape.mesh.moved(self.T_world_object)


@dataclass(frozen=True)
class Surface:
    """A mesh in the world frame and how it looks."""

    mesh: Mesh
    texture: Texture
    gloss: float = 0.0
    T_world_object: Float64[np.ndarray, "4 4"] = field(default_factory=lambda: np.eye(4))

    @classmethod
    def of(cls, placed: Placed) -> "Surface":
        return cls(placed.mesh, placed.model.texture, placed.model.gloss, placed.T_world_object)


def corner_normals(mesh: Mesh) -> Float32[np.ndarray, "F 3 3"]:
    """Unit shading normal at the three corners of every face: smooth across gentle edges, sharp at creases."""
    corners = mesh.faces.ravel()
    face = np.repeat(np.arange(len(mesh.faces)), 3)
    at_vertex = sparse.csr_array((np.ones(len(corners)), (np.arange(len(corners)), corners)))
    pairs = (at_vertex @ at_vertex.T).tocoo()
    first, second = face[pairs.row], face[pairs.col]
    normals = mesh.face_normals
    smooth = (normals[first] * normals[second]).sum(axis=1) > CREASE_COS
    weighted = normals[second] * (mesh.face_areas_m2[second] * smooth)[:, None]
    total = np.stack([np.bincount(pairs.row, weighted[:, k], len(corners)) for k in range(3)], axis=-1)
    total /= np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-18)
    return total.reshape(-1, 3, 3).astype(np.float32)


def table(wood: Texture | None = None, step_m: float = 0.05) -> Surface:
    mesh = meshes.box(TABLE_M, 0.003, step_m)
    lowered = Mesh(mesh.vertices_m - [0, 0, TABLE_M[2] / 2], mesh.faces)
    return Surface(lowered, wood or textures.Wood((0.72, 0.53, 0.36), (0.45, 0.28, 0.16)), gloss=0.05)


def floor(texture: Texture | None = None) -> Surface:
    mesh = _sheet(np.array([-WALL_M, -WALL_M, FLOOR_Z_M]), np.array([2 * WALL_M, 0, 0]), np.array([0, 2 * WALL_M, 0]))
    return Surface(mesh, texture or textures.Tiles((0.58, 0.57, 0.55), (0.38, 0.37, 0.36), 0.35))


def walls(texture: Texture | None = None) -> Surface:
    """The four walls as one surface, up to 2 m above the table."""
    height = np.array([0, 0, 2.0 - FLOOR_Z_M])
    corners = WALL_M * np.array([[1, -1], [1, 1], [-1, 1], [-1, -1]])
    parts, count = [], 0
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        sheet = _sheet(np.append(start, FLOOR_Z_M), height, np.append(end - start, 0))
        parts.append(Mesh(sheet.vertices_m, (sheet.faces + count).astype(np.int32)))
        count += len(sheet.vertices_m)
    mesh = Mesh(np.concatenate([p.vertices_m for p in parts]), np.concatenate([p.faces for p in parts]))
    return Surface(mesh, texture or textures.Plain((0.74, 0.73, 0.68), 0.10, 0.25, 3))


def _sheet(
    corner_m: Float64[np.ndarray, "3"],
    across_m: Float64[np.ndarray, "3"],
    up_m: Float64[np.ndarray, "3"],
    pieces: int = 48,
) -> Mesh:
    """A flat grid that faces across x up."""
    s = np.linspace(0, 1, pieces + 1)
    grid = corner_m + s[:, None, None] * across_m + s[None, :, None] * up_m
    ids = np.arange((pieces + 1) ** 2).reshape(pieces + 1, pieces + 1)
    a, b, c, d = (x.ravel() for x in (ids[:-1, :-1], ids[1:, :-1], ids[1:, 1:], ids[:-1, 1:]))
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])
    return Mesh(grid.reshape(-1, 3).astype(float), faces.astype(np.int32))
