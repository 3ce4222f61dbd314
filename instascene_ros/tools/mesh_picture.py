"""Pictures of completed meshes: a small z-buffer, so that a report needs no graphics stack."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int32, Int64, UInt8

from instascene_ros.core.camera import Camera
from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.geometry import inverse, project, transform

INVENTED_TINT = np.array([200, 50, 220], np.float32)  # magenta, 0..255: few things have that colour
TINT_SHARE, AMBIENT = 0.55, 0.45
PLY_TYPES = {"float": "<f4", "uchar": "u1", "int": "<i4"}


@dataclass(frozen=True)
class PaintedMesh:
    """What `completed/<id>.ply` holds."""

    vertices_m: Float32[np.ndarray, "V 3"]  # world
    faces: Int32[np.ndarray, "F 3"]
    colors: UInt8[np.ndarray, "V 3"]
    observed: Bool[np.ndarray, " V"]

    @classmethod
    def read(cls, path: Path) -> "PaintedMesh":
        """Raises InvalidSceneError: not a completed object as written here."""
        try:
            header, body = path.read_bytes().split(b"end_header\n", 1)
            lines = [line.split() for line in header.decode().splitlines()]
            count = {line[1]: int(line[2]) for line in lines if line[0] == "element"}
            columns = [line[1:] for line in lines if line[0] == "property" and len(line) == 3]
            vertex = np.dtype([(name, PLY_TYPES[kind]) for kind, name in columns])
            vertices = np.frombuffer(body, vertex, count["vertex"])
            face = np.dtype([("count", "u1"), ("corners", "<i4", 3)])
            faces = np.frombuffer(body, face, count["face"], offset=vertices.nbytes)
            return cls(
                np.stack([vertices[axis] for axis in "xyz"], axis=-1), np.array(faces["corners"]),
                np.stack([vertices[name] for name in ("red", "green", "blue")], axis=-1), vertices["observed"] > 0,
            )  # fmt: skip
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise InvalidSceneError(f"{path} is not a completed object as it is written here: {error!r}") from error

    def normals(self) -> Float32[np.ndarray, "V 3"]:
        """Unit outward vertex normals."""
        a, b, c = (self.vertices_m[self.faces[:, k]] for k in range(3))
        normals = np.zeros_like(self.vertices_m)
        for k in range(3):
            np.add.at(normals, self.faces[:, k], np.cross(b - a, c - a))
        return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-20)


def picture_of_mesh(
    mesh: PaintedMesh, camera: Camera, T_world_camera: Float64[np.ndarray, "4 4"], tinted: bool = True
) -> UInt8[np.ndarray, "H W 4"]:
    """The mesh lit from the camera, on a transparent ground; invented parts are tinted if asked for."""
    face, weights = _visible_faces(mesh, camera, T_world_camera)
    hit = face >= 0
    corners = mesh.faces[face[hit]]  # [P 3]

    def interpolated(column: Float[np.ndarray, "V C"]) -> Float[np.ndarray, "P C"]:
        return (column[corners] * weights[hit][:, :, None]).sum(axis=1)

    colors = interpolated(mesh.colors.astype(np.float32))
    if tinted:
        invented = TINT_SHARE * (1 - interpolated(mesh.observed[:, None].astype(np.float32)))
        colors = (1 - invented) * colors + invented * INVENTED_TINT
    facing = np.abs(interpolated(mesh.normals()) @ T_world_camera[:3, 2])
    image = np.zeros((camera.height, camera.width, 4), np.uint8)
    image[hit, :3] = np.clip(colors * (AMBIENT + (1 - AMBIENT) * facing[:, None]) * 1.15, 0, 255)
    image[hit, 3] = 255
    return image


def _visible_faces(
    mesh: PaintedMesh, camera: Camera, T_world_camera: Float64[np.ndarray, "4 4"]
) -> tuple[Int64[np.ndarray, "H W"], Float32[np.ndarray, "H W 3"]]:
    """Nearest face of every pixel (-1 none) and the weights of its corners there."""
    uv, depth = project(transform(inverse(T_world_camera), mesh.vertices_m), camera)
    corners, z = uv[mesh.faces], depth[mesh.faces]  # [F 3 2], [F 3]
    face, u, v = _candidate_pixels(corners, z, camera)
    a, b, c = (corners[face, k] for k in range(3))
    at = np.stack([u, v], axis=-1)
    area = _cross(b - a, c - a)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.stack([_cross(c - b, at - b), _cross(a - c, at - c), _cross(b - a, at - a)], axis=-1)
        weights = parts / area[:, None]
    inside = (weights >= -1e-6).all(axis=-1)
    face, weights, pixel = face[inside], weights[inside], (v * camera.width + u)[inside]
    near = np.lexsort(((weights * z[face]).sum(axis=-1), pixel))
    pixel, first = np.unique(pixel[near], return_index=True)
    image = np.full(camera.height * camera.width, -1, np.int64)
    image_weights = np.zeros((camera.height * camera.width, 3), np.float32)
    image[pixel], image_weights[pixel] = face[near[first]], weights[near[first]]
    return image.reshape(camera.height, camera.width), image_weights.reshape(camera.height, camera.width, 3)


def _candidate_pixels(
    corners: Float[np.ndarray, "F 3 2"], z: Float[np.ndarray, "F 3"], camera: Camera
) -> tuple[Int64[np.ndarray, " P"], Int64[np.ndarray, " P"], Int64[np.ndarray, " P"]]:
    """(face, u, v) for every pixel in the bounding box of every face that is in front of the camera."""
    faces = np.nonzero((z > 0).all(axis=-1))[0]
    low = np.maximum(np.ceil(corners[faces].min(axis=1)), 0).astype(np.int64)
    high = np.minimum(np.floor(corners[faces].max(axis=1)), [camera.width - 1, camera.height - 1]).astype(np.int64)
    width, height = np.maximum(high - low + 1, 0).T
    counts = width * height
    row = np.repeat(np.arange(len(faces)), counts)
    step = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return faces[row], low[row, 0] + step % np.maximum(width[row], 1), low[row, 1] + step // np.maximum(width[row], 1)


def _cross(a: Float[np.ndarray, "P 2"], b: Float[np.ndarray, "P 2"]) -> Float[np.ndarray, " P"]:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
