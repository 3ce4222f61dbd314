"""Pose messages against transforms worked out by hand."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from geometry_msgs.msg import Point, Pose, Quaternion

from instascene_ros.adapters.transforms import interpolate, matrix_of_pose, pose_of, pose_of_matrix
from instascene_ros.core.errors import InvalidFrameError

HALF = float(np.sqrt(0.5))


def test_quarter_turn_about_z_takes_x_to_y() -> None:
    T = matrix_of_pose(Pose(position=Point(x=1.0, y=2.0, z=3.0), orientation=Quaternion(z=HALF, w=HALF)))
    np.testing.assert_allclose(T @ [1, 0, 0, 1], [1, 3, 3, 1], atol=1e-12)


def test_round_trip_of_random_poses() -> None:
    rng = np.random.default_rng(0)
    for rotation in Rotation.random(20, rng=rng):
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = rotation.as_matrix(), rng.normal(size=3)
        np.testing.assert_allclose(matrix_of_pose(pose_of_matrix(T)), T, atol=1e-9)


@pytest.mark.parametrize(
    "orientation",
    [Quaternion(x=0.0, y=0.0, z=0.0, w=0.0), Quaternion(w=2.0), Quaternion(w=float("nan")), Quaternion(x=0.5, w=0.5)],
)
def test_quaternion_that_is_not_unit_is_refused(orientation: Quaternion) -> None:
    with pytest.raises(InvalidFrameError, match="expected metres within 100000 of the origin and a unit quaternion"):
        matrix_of_pose(Pose(orientation=orientation))


def test_position_that_is_not_finite_is_refused() -> None:
    with pytest.raises(InvalidFrameError, match="inf"):
        matrix_of_pose(Pose(position=Point(x=float("inf")), orientation=Quaternion(w=1.0)))


def test_almost_unit_quaternion_is_made_unit() -> None:
    T = matrix_of_pose(Pose(orientation=Quaternion(z=HALF * 1.01, w=HALF * 1.01)))
    np.testing.assert_allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-12)


def test_published_quaternion_is_always_unit() -> None:
    zero = pose_of(np.zeros(3), np.zeros(4)).orientation
    assert (zero.w, zero.x, zero.y, zero.z) == (1.0, 0.0, 0.0, 0.0)
    assert pose_of(np.zeros(3), np.array([0.0, 0, 0, 3])).orientation.z == 1.0


def test_interpolation_turns_and_moves_in_proportion() -> None:
    T_a, T_b = np.eye(4), np.eye(4)
    T_b[:3, :3], T_b[:3, 3] = Rotation.from_euler("z", 90, degrees=True).as_matrix(), [4, 0, 0]
    T = interpolate(T_a, T_b, 0.25)
    np.testing.assert_allclose(T[:3, 3], [1, 0, 0])
    assert Rotation.from_matrix(T[:3, :3]).as_euler("xyz", degrees=True) == pytest.approx([0, 0, 22.5])
    np.testing.assert_allclose(interpolate(T_a, T_b, 0.0), T_a)
    np.testing.assert_allclose(interpolate(T_a, T_b, 1.0), T_b, atol=1e-12)
