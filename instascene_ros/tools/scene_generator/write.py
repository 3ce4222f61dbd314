"""Files of a scene folder."""

import json
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64, Int32, UInt8
from PIL import Image
from scipy.spatial.transform import Rotation

from instascene_ros.tools.scene_generator.meshes import Mesh

DEPTH_SCALE = 1000


def write_colour(path: Path, rgb: UInt8[np.ndarray, "H W 3"], quality: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path, quality=quality)


def write_ids(path: Path, ids: Int32[np.ndarray, "H W"]) -> None:
    """16-bit PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ids.astype(np.uint16)).save(path, optimize=True)


def write_depth(path: Path, depth_m: Float[np.ndarray, "H W"]) -> None:
    """16-bit PNG in mm; 0 = missing."""
    write_ids(path, np.round(depth_m.astype(np.float64) * DEPTH_SCALE).astype(np.int32))


def write_trajectory(path: Path, Ts_world_camera: Float64[np.ndarray, "F 4 4"], frame_rate_hz: float) -> None:
    """TUM format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["# timestamp tx ty tz qx qy qz qw   (camera-to-world, metres, optical frame x right y down z forward)"]
    for index, pose in enumerate(Ts_world_camera):
        numbers = [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()]
        lines.append(f"{index / frame_rate_hz:.6f} " + " ".join(f"{x:.9f}" for x in numbers))
    path.write_text("\n".join(lines) + "\n")


def write_mesh(path: Path, mesh: Mesh) -> None:
    """Binary PLY, m."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(mesh.vertices_m)}"]
    header += [f"property float {axis}" for axis in "xyz"]
    header += [f"element face {len(mesh.faces)}", "property list uchar int vertex_indices", "end_header", ""]
    faces = np.zeros(len(mesh.faces), np.dtype([("count", "u1"), ("ids", "<i4", 3)]))
    faces["count"], faces["ids"] = 3, mesh.faces
    path.write_bytes("\n".join(header).encode() + mesh.vertices_m.astype("<f4").tobytes() + faces.tobytes())


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
