"""What a client makes of the published map is the map that was published."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")
pytest.importorskip("instascene_ros.srv", reason="the interfaces are not built: make test builds them")

from dataclasses import fields

from std_msgs.msg import Header
from test_objects import surfels

from instascene_ros.adapters.instance_messages import instance_array
from instascene_ros.adapters.objects import surfel_cloud
from instascene_ros.adapters.received_map import instances_of, saved_map_of
from instascene_ros.adapters.scene_clouds import instances_cloud
from instascene_ros.core.instances import Instances

HEADER = Header(frame_id="odom")


def two_instances() -> Instances:
    def row(dtype: type, *shape: int) -> np.ndarray:
        return np.arange(1, 2 * int(np.prod(shape)) + 1).reshape(2, *shape).astype(dtype)

    quats = np.array([[1, 0, 0, 0], [0, 0, 0.6, 0.8]], np.float32)
    f32, i32, i64 = np.float32, np.int32, np.int64
    return Instances(
        np.array([3, 8], i32), row(i32), np.array([1, 0], i32), row(f32) / 4, row(f32, 3), quats, row(f32, 3),
        row(f32, 3), row(i32), row(i32), row(i64) * 10**9, row(i64) * 10**10, row(f32) / 8, ((5, 6), ()),
    )  # fmt: skip


@pytest.mark.parametrize("given", [two_instances(), Instances.empty()], ids=["two", "none"])
def test_instances_come_back(given: Instances) -> None:
    got = instances_of(instance_array(given, "m", HEADER, {}))
    for f in fields(Instances):
        if f.name in ("merged_ids", "names"):
            assert getattr(got, f.name) == getattr(given, f.name)
        else:
            np.testing.assert_allclose(getattr(got, f.name), getattr(given, f.name), atol=1e-6, err_msg=f.name)


@pytest.mark.parametrize("labels", [[0, 3, 8, 3, 0, 0, 8, 3], [0] * 8])
def test_labels_are_found_again_by_position(labels: list[int]) -> None:
    gaussians, labels = surfels(8), np.array(labels, np.int32)
    array = instance_array(two_instances(), "m", HEADER, {})
    saved = saved_map_of(array, instances_cloud(gaussians, labels, HEADER), surfel_cloud(gaussians, HEADER))
    np.testing.assert_array_equal(saved.labels, labels)
    assert saved.map_id == "m"
    assert (saved.gaussians.means_m == gaussians.means_m).all()
