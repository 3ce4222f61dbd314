"""Triangle meshes <-> shape_msgs/Mesh."""

import numpy as np
from geometry_msgs.msg import Point
from jaxtyping import Float, Float64, Int32
from shape_msgs.msg import Mesh, MeshTriangle


def mesh_message(vertices_m: Float[np.ndarray, "V 3"], faces: Int32[np.ndarray, "F 3"]) -> Mesh:
    """Vertices and faces in the frame of the vertices. A Python object each: for decimated meshes only."""
    corners = np.ascontiguousarray(faces, np.uint32)
    return Mesh(
        vertices=[Point(x=x, y=y, z=z) for x, y, z in vertices_m.astype(np.float64).tolist()],
        triangles=[MeshTriangle(vertex_indices=face) for face in corners],
    )


def arrays_of_mesh(message: Mesh) -> tuple[Float64[np.ndarray, "V 3"], Int32[np.ndarray, "F 3"]]:
    """Vertices and faces."""
    vertices_m = np.array([(p.x, p.y, p.z) for p in message.vertices], np.float64).reshape(-1, 3)
    faces = np.array([face.vertex_indices for face in message.triangles], np.int32).reshape(-1, 3)
    return vertices_m, faces
