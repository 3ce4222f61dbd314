"""A completed object as a message, as a cloud and as triangles for RViz."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("rclpy", reason="ROS 2 is not installed")
pytest.importorskip("instascene_ros.srv", reason="the interfaces are not built: make test builds them")

import trimesh
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from instascene_ros.adapters.clouds import columns_of, unpack_rgb
from instascene_ros.adapters.completed_objects import completed_message, completed_of
from instascene_ros.adapters.completed_views import completed_markers, completed_points, object_marker, shown_colors
from instascene_ros.adapters.transforms import matrix_of_pose
from instascene_ros.core.geometry import transform
from instascene_ros.core.objects import CompletedObject
from instascene_ros.msg import CompletedObject as CompletedObjectMessage
from instascene_ros.msg import Instance, LabelHypothesis

HEADER = Header(frame_id="odom")
SIZE_M = (0.3, 0.2, 0.1)


def turned_box(instance_id: int = 4, subdivisions: int = 0) -> CompletedObject:
    """A red box, turned and moved; its lower half is invented."""
    T_world_object = np.eye(4)
    T_world_object[:3, :3] = Rotation.from_euler("zyx", [40, 10, -20], degrees=True).as_matrix()
    T_world_object[:3, 3] = [1.0, -2.0, 0.5]
    box = trimesh.creation.box(SIZE_M)
    for _ in range(subdivisions):
        box = box.subdivide()
    vertices_m = transform(T_world_object, box.vertices).astype(np.float32)
    colors = np.tile(np.array([[200, 10, 30]], np.uint8), (len(vertices_m), 1))
    return CompletedObject(
        "map-a", instance_id, 2, vertices_m, box.faces.astype(np.int32), colors, box.vertices[:, 2] > 0,
        T_world_object, np.array(SIZE_M, np.float32), True, 0.7, 0.5, "geometric", 2**63,
    )  # fmt: skip


def over_the_wire(given: CompletedObject) -> CompletedObjectMessage:
    instance = Instance(name="red box", labels=[LabelHypothesis(class_id="box", score=0.5)])
    return deserialize_message(serialize_message(completed_message(given, instance, HEADER)), CompletedObjectMessage)


def test_a_completed_object_survives_the_wire() -> None:
    given = turned_box()
    got = completed_of(over_the_wire(given))
    np.testing.assert_allclose(got.vertices_m, given.vertices_m, atol=1e-6)
    np.testing.assert_allclose(got.T_world_object, given.T_world_object, atol=1e-9)
    for name in ("faces", "colors", "observed", "size_m"):
        np.testing.assert_array_equal(getattr(got, name), getattr(given, name))
    for name in ("map_id", "instance_id", "instance_revision", "watertight", "method", "seed"):
        assert getattr(got, name) == getattr(given, name)
    assert (got.confidence, got.observed_fraction) == pytest.approx((0.7, 0.5))


def test_the_message_has_its_mesh_in_the_object_frame_and_its_cloud_in_the_map_frame() -> None:
    given = turned_box()
    message = over_the_wire(given)
    local_m = np.array([(p.x, p.y, p.z) for p in message.mesh.vertices])
    np.testing.assert_allclose(np.abs(local_m), np.tile(np.array(SIZE_M) / 2, (8, 1)), atol=1e-6)
    mesh = trimesh.Trimesh(local_m, [triangle.vertex_indices for triangle in message.mesh.triangles], process=False)
    assert mesh.volume == pytest.approx(np.prod(SIZE_M))  # positive: outward faces
    columns = columns_of(message.cloud)
    points_m = np.stack([columns[axis] for axis in "xyz"], axis=-1)
    np.testing.assert_allclose(points_m, given.vertices_m)
    expected = np.where(given.observed, message.SOURCE_OBSERVED, message.SOURCE_COMPLETED)
    np.testing.assert_array_equal(columns["source"], expected)
    assert (message.name, message.labels[0].class_id, message.cloud.header.frame_id) == ("red box", "box", "odom")


def test_the_cloud_of_all_objects_tells_them_apart() -> None:
    columns = columns_of(completed_points([turned_box(4), turned_box(9)], HEADER))
    assert list(columns) == ["x", "y", "z", "rgb", "source", "instance_id"]
    np.testing.assert_array_equal(columns["instance_id"], [4] * 8 + [9] * 8)
    np.testing.assert_array_equal(unpack_rgb(columns["rgb"])[0], [200, 10, 30])


def test_no_object_makes_an_empty_cloud_and_clears_the_markers() -> None:
    assert completed_points([], HEADER).width == 0
    (only,) = completed_markers([], HEADER, 5000).markers
    assert only.action == Marker.DELETEALL


def test_triangles_drawn_at_the_marker_pose_are_the_mesh() -> None:
    given = turned_box()
    marker = object_marker(given, HEADER, 5000)
    drawn_m = transform(matrix_of_pose(marker.pose), np.array([(p.x, p.y, p.z) for p in marker.points]))
    np.testing.assert_allclose(drawn_m, given.vertices_m[given.faces.ravel()], atol=1e-6)
    assert (marker.type, marker.id, len(marker.colors)) == (Marker.TRIANGLE_LIST, 4, 36)


def test_invented_surface_leans_blue_and_seen_surface_keeps_its_colour() -> None:
    given = turned_box()
    colors = shown_colors(given)
    np.testing.assert_allclose(colors[given.observed], given.colors[given.observed] / 255, atol=1e-6)
    assert (colors[~given.observed][:, 2] > 0.4).all()
    assert (colors[~given.observed][:, 0] < 0.7).all()


def test_a_large_mesh_is_decimated_for_the_marker_only() -> None:
    given = turned_box(subdivisions=4)
    assert len(given.faces) == 12 * 4**4
    marker = object_marker(given, HEADER, 500)
    assert 12 <= len(marker.points) // 3 <= 500
    corners_m = np.array([(p.x, p.y, p.z) for p in marker.points])
    np.testing.assert_allclose(np.ptp(corners_m, axis=0), SIZE_M, atol=5e-3)


@pytest.mark.parametrize(("count", "most"), [(1, 3072), (40, 60_000), (400, 80_000)])
def test_the_triangles_of_all_objects_stay_within_one_limit(count: int, most: int) -> None:
    """A message for RViz that grows with every object would end in seconds of serialising, and lost on the way."""
    objects = [turned_box(number, subdivisions=4 if count < 100 else 3) for number in range(1, count + 1)]
    markers = completed_markers(objects, HEADER, 5000).markers[1:]
    assert len(markers) == count
    assert count * 12 <= sum(len(marker.points) // 3 for marker in markers) <= most
