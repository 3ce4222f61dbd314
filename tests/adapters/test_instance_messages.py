"""Instances as messages, markers and clouds carry the same numbers."""

import math

import numpy as np
import pytest
import torch

pytest.importorskip("rclpy", reason="ROS 2 is not installed")
pytest.importorskip("instascene_ros.srv", reason="the interfaces are not built: make test builds them")

from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from instascene_ros.adapters.clouds import columns_of
from instascene_ros.adapters.instance_messages import instance_array
from instascene_ros.adapters.markers import BOXES, LABELS, instance_markers
from instascene_ros.adapters.scene_clouds import instance_cloud, instances_cloud, map_cloud
from instascene_ros.adapters.stamps import stamp_of_ns
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.instances import Instances, color_of_id
from instascene_ros.msg import InstanceArray

HEADER = Header(frame_id="odom", stamp=stamp_of_ns(1_500_000_000))
HALF = np.float32(np.sqrt(0.5))


def two_instances(states: tuple[int, int] = (1, 1)) -> Instances:
    """Ids 3 and 8; box 3 is turned by 90 degrees about z."""
    return Instances(
        ids=np.array([3, 8], np.int32), revisions=np.array([2, 5], np.int32), states=np.array(states, np.int32),
        scores=np.array([0.5, 0.75], np.float32), box_centers_m=np.array([[1, 2, 3], [0, 0, 1]], np.float32),
        box_quats_wxyz=np.array([[HALF, 0, 0, HALF], [1, 0, 0, 0]], np.float32),
        box_sizes_m=np.array([[0.3, 0.4, 1.2], [0.1, 0.2, 0.2]], np.float32),
        centroids_m=np.array([[1, 2, 2.5], [0, 0, 1]], np.float32), num_points=np.array([100, 50], np.int32),
        num_views=np.array([7, 4], np.int32), first_seen_ns=np.array([1, 2_000_000_003], np.int64),
        last_seen_ns=np.array([5, 3_000_000_000], np.int64), observed_fractions=np.array([np.nan, 0.25], np.float32),
        merged_ids=((1, 2), ()), names=("mug", ""),
    )  # fmt: skip


def array(instances: Instances) -> InstanceArray:
    return instance_array(instances, "map-a", HEADER, {8: 4})


def test_every_field_arrives() -> None:
    message = deserialize_message(serialize_message(array(two_instances())), InstanceArray)
    assert message.map_id == "map-a" and message.header == HEADER
    first, second = message.instances
    assert (first.id, first.revision, first.state, first.num_points, first.num_views) == (3, 2, 1, 100, 7)
    assert (first.confidence, second.confidence) == (0.5, 0.75)
    assert math.isnan(first.observed_fraction) and second.observed_fraction == 0.25
    q = first.bbox.center.orientation
    assert (q.w, q.x, q.y, q.z) == pytest.approx((HALF, 0, 0, HALF))
    assert q.w**2 + q.x**2 + q.y**2 + q.z**2 == pytest.approx(1, abs=1e-12)
    p, size = first.bbox.center.position, first.bbox.size
    assert (p.x, p.y, p.z, size.x, size.y, size.z) == pytest.approx((1, 2, 3, 0.3, 0.4, 1.2))
    assert first.centroid.z == 2.5
    assert (second.first_seen.sec, second.first_seen.nanosec, second.last_seen.sec) == (2, 3, 3)
    assert list(first.merged_ids) == [1, 2] and list(second.merged_ids) == []
    assert (first.name, second.name) == ("mug", "")
    assert (first.completed_revision, second.completed_revision) == (0, 4)
    assert (first.color.r, first.color.g, first.color.b) == pytest.approx(tuple(c / 255 for c in color_of_id(3)))


def test_no_instances_make_an_empty_list() -> None:
    assert array(Instances.empty()).instances == []


def by_action(markers: list[Marker], action: int) -> list[tuple[str, int]]:
    return [(marker.ns, marker.id) for marker in markers if marker.action == action]


def test_markers_are_a_box_and_a_label_for_each() -> None:
    message, ids = instance_markers(array(two_instances()), (), new_map=False)
    assert ids == {3, 8}
    assert by_action(message.markers, Marker.ADD) == [(BOXES, 3), (LABELS, 3), (BOXES, 8), (LABELS, 8)]
    box, label = message.markers[:2]
    assert box.scale.z == pytest.approx(1.2) and box.pose.position.x == 1.0 and 0 < box.color.a < 1
    assert label.text == "mug" and label.pose.position.z > 3 + 0.6
    assert all(marker.header == HEADER for marker in message.markers)


def test_markers_of_gone_instances_are_deleted() -> None:
    message, ids = instance_markers(array(two_instances()[1:]), {3, 8}, new_map=False)
    assert by_action(message.markers, Marker.DELETE) == [(BOXES, 3), (LABELS, 3)]
    assert ids == {8}


def test_a_new_map_deletes_all_markers_first() -> None:
    message, ids = instance_markers(array(two_instances()), {77}, new_map=True)
    assert message.markers[0].action == Marker.DELETEALL
    assert by_action(message.markers, Marker.DELETE) == []
    assert ids == {3, 8}


def test_tentative_instances_have_no_markers() -> None:
    message, ids = instance_markers(array(two_instances(states=(0, 1))), {3, 8}, new_map=False)
    assert ids == {8} and (BOXES, 3) in by_action(message.markers, Marker.DELETE)


def gaussians(count: int) -> GaussianMap:
    means_m = torch.arange(count * 3, dtype=torch.float32).reshape(count, 3)
    quats = torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1)
    made = GaussianMap.from_surfels(
        means_m, quats, torch.full((count, 2), 0.01), torch.full((count,), 0.9), torch.zeros(count, 3)
    )
    made.confidence = torch.arange(count, dtype=torch.float32)
    return made


def test_cloud_of_all_instances_names_the_instance_of_each_point() -> None:
    columns = columns_of(instances_cloud(gaussians(4), np.array([0, 8, 3, 8], np.int32), HEADER))
    assert columns["instance_id"].tolist() == [8, 3, 8] and columns["instance_id"].dtype == np.uint32
    assert columns["x"].tolist() == [3, 6, 9]


def test_cloud_of_one_instance_has_normals_and_confidence() -> None:
    message = instance_cloud(gaussians(4), np.array([0, 8, 3, 8], np.int32), 8, 5, HEADER)
    columns = columns_of(message.cloud)
    assert (message.instance_id, message.revision) == (8, 5)
    assert list(columns) == ["x", "y", "z", "rgb", "normal_x", "normal_y", "normal_z", "confidence"]
    assert columns["normal_z"].tolist() == [1, 1] and columns["confidence"].tolist() == [1, 3]


@pytest.mark.parametrize(("count", "limit", "expected"), [(0, 10, 0), (10, 10, 10), (11, 10, 6), (100, 7, 7)])
def test_map_cloud_is_thinned_evenly_to_its_limit(count: int, limit: int, expected: int) -> None:
    assert map_cloud(gaussians(count), HEADER, limit).width == expected
