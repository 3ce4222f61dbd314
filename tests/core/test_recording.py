"""Recorded scenes in our format, and telling formats apart."""

import json
from pathlib import Path

import numpy as np
import pytest
from folders import write_scene, write_tum
from PIL import Image

from instascene_ros.core.camera import Camera
from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.frame import Frame
from instascene_ros.core.masks import Masks
from instascene_ros.core.recording import SceneFolder, read_trajectory
from instascene_ros.core.recording_formats import mask_folders, open_recording
from instascene_ros.core.tum import TumFolder


def some_frames(num: int = 3) -> list[Frame]:
    rng, camera = np.random.default_rng(1), Camera(40.0, 41.0, 15.5, 11.5, 32, 24)
    frames = []
    for index in range(num):
        T_world_camera = np.eye(4)
        T_world_camera[:3, 3] = [0.1 * index, 0.2, -0.3]
        depth_m = np.round(rng.uniform(0.5, 2, (24, 32)), 3).astype(np.float32)
        depth_m[0] = 0
        masks = Masks.from_image(np.repeat(np.arange(24) // 8 * 7, 32).reshape(24, 32).astype(np.int32))
        rgb = np.full((24, 32, 3), 40 * index + 60, np.uint8)
        frames.append(Frame((index + 1) * 100_000_000, camera, rgb, depth_m, T_world_camera, masks))
    return frames


def test_a_scene_folder_gives_back_its_frames(tmp_path: Path) -> None:
    frames = some_frames()
    scene = SceneFolder.open(write_scene(tmp_path, frames, ["masks"]), "masks")
    assert (len(scene), scene.name, scene.frame_rate_hz) == (3, "made", 10.0)
    for index, frame in enumerate(frames):
        read = scene.frame(index)
        assert (read.stamp_ns, read.camera) == (frame.stamp_ns, frame.camera)
        np.testing.assert_allclose(read.depth_m, frame.depth_m, atol=1e-6)
        np.testing.assert_array_equal(read.rgb, frame.rgb)  # one colour: JPEG keeps it
        np.testing.assert_allclose(read.T_world_camera, frame.T_world_camera, atol=1e-8)
        np.testing.assert_array_equal(read.masks.labels, frame.masks.labels)
    assert SceneFolder.open(tmp_path).frame(0).masks is None


def test_a_truncated_image_is_an_error_of_that_frame_alone(tmp_path: Path) -> None:
    scene = SceneFolder.open(write_scene(tmp_path, some_frames()))
    path = tmp_path / "depth" / "000001.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InvalidSceneError, match="000001.png cannot be read"):
        scene.frame(1)
    assert scene.frame(2).valid.any()


@pytest.mark.parametrize("text", ["", "1 2 3\n", "a b c d e f g h\n"])
def test_a_malformed_trajectory_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "trajectory.txt").write_text(text)
    with pytest.raises(InvalidSceneError, match="trajectory"):
        read_trajectory(tmp_path / "trajectory.txt")


def test_a_scene_without_a_key_says_which(tmp_path: Path) -> None:
    write_scene(tmp_path, some_frames())
    about = json.loads((tmp_path / "scene.json").read_text())
    del about["depth_scale"]
    (tmp_path / "scene.json").write_text(json.dumps(about))
    with pytest.raises(InvalidSceneError, match="depth_scale"):
        SceneFolder.open(tmp_path)


def test_formats_are_told_apart(tmp_path: Path) -> None:
    ours = write_scene(tmp_path / "ours", some_frames(), ["masks", "masks_clean"])
    tum = write_tum(tmp_path / "tum", some_frames())
    assert isinstance(open_recording(ours), SceneFolder)
    assert isinstance(open_recording(tum), TumFolder)
    assert open_recording(ours, "masks").frame(0).masks is not None
    assert mask_folders(ours) == ["masks", "masks_clean"]


@pytest.mark.parametrize(
    ("files", "masks", "told"),
    [
        ((), None, "found nothing"),
        (("notes.txt",), None, "found notes.txt"),
        (("metadata.yaml",), None, "rosbag2"),
        (("rgb.txt",), "masks", "holds no masks"),
        (("scene.json",), "masks_other", "has no masks 'masks_other'; it has: none"),
    ],
)
def test_what_cannot_be_opened_is_told(files: tuple[str, ...], masks: str | None, told: str, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(InvalidSceneError, match=told):
        open_recording(tmp_path, masks)
    with pytest.raises(InvalidSceneError, match="not a folder"):
        open_recording(tmp_path / "nowhere")


def test_a_sixteen_bit_mask_image_is_read_as_ids(tmp_path: Path) -> None:
    write_scene(tmp_path, some_frames(), ["masks"])
    image = np.zeros((24, 32), np.uint16)
    image[:12], image[12:, :16] = 60000, 3
    Image.fromarray(image).save(tmp_path / "masks" / "000000.png")
    labels = SceneFolder.open(tmp_path, "masks").frame(0).masks.labels
    assert (labels[0, 0], labels[20, 0], labels[20, 20]) == (2, 1, 0)
