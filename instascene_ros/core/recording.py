"""Recorded RGB-D sequences on disk, read lazily: our scene folders and TUM RGB-D folders."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64
from PIL import Image, UnidentifiedImageError
from scipy.spatial.transform import Rotation

from instascene_ros.core.camera import Camera
from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.frame import Frame
from instascene_ros.core.masks import Masks


@runtime_checkable
class Recording(Protocol):
    """A sequence of posed RGB-D frames."""

    name: str
    frame_rate_hz: float

    def __len__(self) -> int: ...

    def frame(self, index: int) -> Frame: ...


def read_trajectory(path: Path) -> tuple[Float64[np.ndarray, " P"], Float64[np.ndarray, "P 4 4"]]:
    """Stamps (s) and camera-to-world transforms of a TUM trajectory: `t tx ty tz qx qy qz qw`."""
    try:
        rows = np.atleast_2d(np.loadtxt(path))
    except (OSError, ValueError) as error:
        raise InvalidSceneError(f"{path} is not a TUM trajectory: {error}") from error
    if rows.shape[1] != 8 or len(rows) == 0:
        raise InvalidSceneError(f"{path} has {rows.shape[1]} columns; expected 8: t tx ty tz qx qy qz qw")
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3, :3] = Rotation.from_quat(rows[:, 4:]).as_matrix()
    poses[:, :3, 3] = rows[:, 1:4]
    return rows[:, 0], poses


def read_image(path: Path) -> np.ndarray:
    """Pixels of an image file as stored.

    Raises:
        InvalidSceneError: missing, truncated, or not an image.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except (OSError, UnidentifiedImageError) as error:
        raise InvalidSceneError(f"{path} cannot be read as an image: {error}") from error


@dataclass(frozen=True)
class SceneFolder:
    """Our scene format: `scene.json`, `trajectory.txt`, `color/`, `depth/` and, optionally, folders of masks.

    `masks_name` chooses the folder of entity masks, None reads none.
    """

    path: Path
    name: str
    camera: Camera
    depth_scale: float  # stored units per metre
    frame_rate_hz: float
    stamps_s: Float64[np.ndarray, " F"]
    Ts_world_camera: Float64[np.ndarray, "F 4 4"]
    masks_name: str | None = None

    @classmethod
    def open(cls, path: Path, masks_name: str | None = None) -> "SceneFolder":
        try:
            meta = json.loads((path / "scene.json").read_text())
            k = meta["intrinsics"]
            camera = Camera(k["fx"], k["fy"], k["cx"], k["cy"], k["width"], k["height"])
            depth_scale, rate_hz, name = float(meta["depth_scale"]), float(meta["frame_rate"]), meta["name"]
        except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
            raise InvalidSceneError(f"{path}/scene.json cannot be read: {error!r}") from error
        if masks_name is not None and not (path / masks_name).is_dir():
            raise InvalidSceneError(f"{path} has no folder of masks named {masks_name!r}")
        stamps_s, poses = read_trajectory(path / "trajectory.txt")
        return cls(path, name, camera, depth_scale, rate_hz, stamps_s, poses, masks_name)

    def __len__(self) -> int:
        return len(self.stamps_s)

    def frame(self, index: int) -> Frame:
        """Frame `index` at full resolution."""
        masks = None
        if self.masks_name is not None:
            masks = Masks.from_image(read_image(self.path / self.masks_name / f"{index:06d}.png").astype(np.int32))
        return Frame(
            stamp_ns=round(self.stamps_s[index] * 1e9),
            camera=self.camera,
            rgb=np.ascontiguousarray(read_image(self.path / "color" / f"{index:06d}.jpg")[..., :3]),
            depth_m=self._depth(index),
            T_world_camera=self.Ts_world_camera[index],
            masks=masks,
        )

    def _depth(self, index: int) -> Float32[np.ndarray, "H W"]:
        stored = read_image(self.path / "depth" / f"{index:06d}.png")
        return (stored.astype(np.float32) / self.depth_scale).astype(np.float32)
