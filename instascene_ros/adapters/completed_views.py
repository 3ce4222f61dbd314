"""All completed objects of a map for RViz: one cloud and one triangle list each, full state every time (latched)."""

from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Point, Vector3
from jaxtyping import Float32
from scipy.spatial import cKDTree
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from instascene_ros.adapters.clouds import cloud_of, pack_rgb, xyz_columns
from instascene_ros.adapters.transforms import pose_of_matrix
from instascene_ros.core.geometry import inverse, transform
from instascene_ros.core.meshing import Mesh, decimated
from instascene_ros.core.objects import CompletedObject
from instascene_ros.msg import CompletedObject as CompletedObjectMessage

NAMESPACE = "completed"
INVENTED_TINT = np.array([0.35, 0.55, 1.0], np.float32)  # invented surface leans blue: nobody takes it for seen
TINT_STRENGTH = 0.45
MAX_ALL_FACES = 60_000  # of one message: about 7 MB, and half a second of Python to write
MIN_FACES = 200  # fewer show no shape


def completed_points(objects: Sequence[CompletedObject], header: Header) -> PointCloud2:
    """x y z rgb source instance_id of every vertex of every object, map frame."""
    counts = [len(one.vertices_m) for one in objects]
    invented = np.concatenate([~one.observed for one in objects] or [np.zeros(0, bool)])
    columns = xyz_columns(np.concatenate([one.vertices_m for one in objects] or [np.zeros((0, 3), np.float32)]))
    columns["rgb"] = pack_rgb(np.concatenate([one.colors for one in objects] or [np.zeros((0, 3), np.uint8)]))
    columns["source"] = np.where(
        invented, CompletedObjectMessage.SOURCE_COMPLETED, CompletedObjectMessage.SOURCE_OBSERVED
    ).astype(np.uint8)
    columns["instance_id"] = np.repeat(np.array([one.instance_id for one in objects], np.uint32), counts)
    return cloud_of(header, columns)


def shown_colors(completed: CompletedObject) -> Float32[np.ndarray, "V 3"]:
    """0..1; invented vertices are tinted."""
    colors = completed.colors.astype(np.float32) / 255
    tinted = colors + TINT_STRENGTH * (INVENTED_TINT - colors)
    return np.where(completed.observed[:, None], colors, tinted)


def object_marker(completed: CompletedObject, header: Header, max_faces: int) -> Marker:
    """TRIANGLE_LIST in the object frame; a mesh of more than `max_faces` is decimated first.

    RViz draws neither embedded meshes nor files it cannot reach, so the triangles travel in the marker.
    """
    mesh = decimated(Mesh(completed.vertices_m, completed.faces), max_faces)
    colors = shown_colors(completed)
    if len(mesh.faces) < len(completed.faces):
        colors = colors[cKDTree(completed.vertices_m).query(mesh.vertices_m)[1]]
    corners = mesh.faces.ravel()
    points_m = transform(inverse(completed.T_world_object), mesh.vertices_m)
    points = [Point(x=x, y=y, z=z) for x, y, z in points_m.astype(np.float64).tolist()]
    paints = [ColorRGBA(r=r, g=g, b=b, a=1.0) for r, g, b in colors.astype(np.float64).tolist()]
    return Marker(
        header=header, ns=NAMESPACE, id=completed.instance_id, type=Marker.TRIANGLE_LIST, action=Marker.ADD,
        pose=pose_of_matrix(completed.T_world_object), scale=Vector3(x=1.0, y=1.0, z=1.0),
        color=ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0),
        points=[points[i] for i in corners], colors=[paints[i] for i in corners],
    )  # fmt: skip


def completed_markers(objects: Sequence[CompletedObject], header: Header, max_faces: int) -> MarkerArray:
    """Every object anew: the first entry clears what a viewer still shows. Many objects share MAX_ALL_FACES."""
    max_faces = min(max_faces, max(MIN_FACES, MAX_ALL_FACES // max(len(objects), 1)))
    clear = Marker(header=header, ns=NAMESPACE, action=Marker.DELETEALL)
    return MarkerArray(markers=[clear, *(object_marker(one, header, max_faces) for one in objects)])
