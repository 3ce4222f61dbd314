"""Columns that become a cloud and come back are the same columns."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from instascene_ros.adapters.clouds import cloud_of, columns_of, pack_rgb, unpack_rgb, xyz_columns
from instascene_ros.core.errors import InvalidFrameError

HEADER = Header(frame_id="odom")


@pytest.mark.parametrize("count", [0, 1, 17])
def test_columns_survive_the_round_trip(count: int) -> None:
    rng = np.random.default_rng(3)
    columns = {
        **xyz_columns(rng.normal(size=(count, 3)).astype(np.float32)),
        "instance_id": rng.integers(0, 2**32, count).astype(np.uint32),
        "source": rng.integers(0, 2, count).astype(np.uint8),
    }
    cloud = cloud_of(HEADER, columns)
    assert (cloud.width, cloud.height, cloud.point_step, cloud.row_step) == (count, 1, 17, 17 * count)
    back = columns_of(cloud)
    assert list(back) == list(columns)
    for name, column in columns.items():
        assert back[name].dtype == column.dtype
        np.testing.assert_array_equal(back[name], column)


def test_field_layout_is_the_one_that_rviz_reads() -> None:
    points_m = np.array([[1, 2, 3]], np.float32)
    cloud = cloud_of(HEADER, {**xyz_columns(points_m), "rgb": pack_rgb(np.array([[1, 2, 3]], np.uint8))})
    assert [(f.name, f.offset, f.datatype) for f in cloud.fields] == [
        (name, 4 * i, PointField.FLOAT32) for i, name in enumerate(["x", "y", "z", "rgb"])
    ]
    assert bytes(cloud.data)[12:] == bytes([3, 2, 1, 0])  # little-endian 0x00RRGGBB


def test_colours_survive_packing() -> None:
    colors = np.array([[0, 0, 0], [255, 255, 255], [1, 128, 254]], np.uint8)
    np.testing.assert_array_equal(unpack_rgb(pack_rgb(colors)), colors)
    np.testing.assert_array_equal(unpack_rgb(pack_rgb(colors / np.float32(255))), colors)
    np.testing.assert_array_equal(unpack_rgb(pack_rgb(np.array([[-1.0, 0.5, 2.0]], np.float32))), [[0, 128, 255]])


def test_big_endian_cloud_is_swapped() -> None:
    cloud = cloud_of(HEADER, {"x": np.array([1.5, -2.0], np.float32)})
    cloud.data = np.array([1.5, -2.0], ">f4").tobytes()
    cloud.is_bigendian = True
    np.testing.assert_array_equal(columns_of(cloud)["x"], np.array([1.5, -2.0], np.float32))


def test_truncated_cloud_is_refused() -> None:
    cloud = cloud_of(HEADER, {"x": np.zeros(3, np.float32)})
    cloud.data = bytes(cloud.data)[:-1]
    with pytest.raises(InvalidFrameError, match="3 points x 4 bytes has 11 bytes"):
        columns_of(cloud)


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        cloud_of(HEADER, {"x": np.zeros(3, np.float32), "y": np.zeros(2, np.float32)})


FIELD = st.builds(
    PointField,
    name=st.sampled_from(["x", "y", "", "\u00e9"]),
    offset=st.integers(0, 2**32 - 1) | st.integers(0, 20),
    datatype=st.integers(0, 255) | st.integers(1, 8),
    count=st.just(1) | st.integers(0, 2**32 - 1),
)
SIZE = st.integers(0, 5) | st.integers(0, 2**32 - 1)


@given(st.lists(FIELD, max_size=4), SIZE, SIZE, SIZE, st.binary(max_size=64), st.booleans())
def test_any_cloud_is_columns_of_its_size_or_a_named_error(
    fields: list[PointField], width: int, height: int, step: int, data: bytes, big: bool
) -> None:
    cloud = PointCloud2(fields=fields, width=width, height=height, point_step=step, data=data, is_bigendian=big)
    try:
        columns = columns_of(cloud)
    except InvalidFrameError as error:
        assert str(error)
    else:
        assert all(len(column) == width * height for column in columns.values())
