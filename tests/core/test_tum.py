"""TUM RGB-D folders: association by stamp, poses between stamps, and what is left out."""

from pathlib import Path

import numpy as np
import pytest
from folders import pose_line, write_tum
from scipy.spatial.transform import Rotation
from test_recording import some_frames

from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.tum import TumFolder, associate, interpolate_poses


def test_a_folder_gives_back_its_frames(tmp_path: Path) -> None:
    frames = some_frames()
    folder = TumFolder.open(write_tum(tmp_path / "made", frames))
    assert (len(folder), folder.num_dropped, folder.name) == (3, 0, "made")
    assert folder.frame_rate_hz == pytest.approx(10)
    for index, frame in enumerate(frames):
        read = folder.frame(index)
        assert read.stamp_ns == frame.stamp_ns + 4_000_000, "the colour image's stamp is the frame's"
        np.testing.assert_allclose(read.depth_m, frame.depth_m, atol=1e-4)
        np.testing.assert_array_equal(read.rgb, frame.rgb)
        np.testing.assert_allclose(read.T_world_camera, frame.T_world_camera, atol=1e-6)
        assert read.camera == frame.camera
        assert read.masks is None


def test_frames_without_depth_or_pose_are_left_out_and_counted(tmp_path: Path) -> None:
    frames = some_frames(4)
    write_tum(tmp_path / "made", frames)
    truth = tmp_path / "made" / "groundtruth.txt"
    lines = truth.read_text().splitlines()
    truth.write_text("\n".join(lines[:3] + lines[5:7]))  # poses of frames 0 and 2
    depth = tmp_path / "made" / "depth.txt"
    depth.write_text("\n".join(depth.read_text().splitlines()[1:-1]))  # depth of frames 0 to 2
    folder = TumFolder.open(tmp_path / "made")
    assert [folder.frame(i).stamp_ns // 10_000_000 for i in range(len(folder))] == [10, 30]
    assert folder.num_dropped == 2


def test_association_takes_the_closest_pairs_and_each_row_once() -> None:
    a_s, b_s = np.array([0.0, 0.010, 0.5]), np.array([0.008, 0.031, 0.52])
    rows_a, rows_b = associate(a_s, b_s, 0.02 + 1e-9)
    assert (rows_a.tolist(), rows_b.tolist()) == ([1, 2], [0, 2])
    assert [len(rows) for rows in associate(a_s, np.zeros(0), 0.02)] == [0, 0]


def test_poses_between_stamps_are_half_way() -> None:
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[1, :3, :3] = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    poses[1, :3, 3] = [2, 0, -4]
    middle = interpolate_poses(np.array([1.0, 3.0]), poses, np.array([2.0]))[0]
    np.testing.assert_allclose(middle[:3, 3], [1, 0, -2])
    np.testing.assert_allclose(middle[:3, :3], Rotation.from_euler("z", 45, degrees=True).as_matrix(), atol=1e-12)


def test_the_benchmarks_own_cameras_are_known_by_name(tmp_path: Path) -> None:
    folder = write_tum(tmp_path / "rgbd_dataset_freiburg3_desk", some_frames())
    (folder / "calibration.txt").unlink()
    camera = TumFolder.open(folder).camera
    assert camera.fx == pytest.approx(535.4 * 32 / 640)
    assert (camera.cx + 0.5) * 20 - 0.5 == pytest.approx(320.1)
    other = write_tum(tmp_path / "another", some_frames())
    (other / "calibration.txt").write_text("wide angle")
    with pytest.raises(InvalidSceneError, match="fx fy cx cy"):
        TumFolder.open(other)


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("rgb.txt", "# nothing\n", "lists no images"),
        ("depth.txt", "now depth/1.png\n", "depth.txt cannot be read"),
        ("groundtruth.txt", "1 2 3\n", "expected 8"),
        ("groundtruth.txt", pose_line(99.0, np.eye(4)) + "\n", "one recording"),
    ],
)
def test_what_is_wrong_is_told(file: str, text: str, told: str, tmp_path: Path) -> None:
    write_tum(tmp_path / "made", some_frames())
    (tmp_path / "made" / file).write_text(text)
    with pytest.raises(InvalidSceneError, match=told):
        TumFolder.open(tmp_path / "made")
