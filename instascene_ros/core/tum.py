"""Folders of the TUM RGB-D benchmark as recordings."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.spatial.transform import Rotation, Slerp

from instascene_ros.core.camera import Camera
from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.frame import Frame
from instascene_ros.core.recording import read_image, read_trajectory

DEPTH_SCALE = 5000.0  # stored units per metre, of the benchmark's PNG files
MAX_IMAGE_GAP_S = 0.02  # colour and depth of one frame are at most this far apart
MAX_POSE_GAP_S = 0.1  # poses are interpolated across gaps up to this
# fx, fy, cx, cy (px at 640x480) of the benchmark's cameras, and what its ROS driver assumed.
INTRINSICS = {
    "freiburg1": (517.3, 516.5, 318.6, 255.3),
    "freiburg2": (520.9, 521.0, 325.1, 249.7),
    "freiburg3": (535.4, 539.2, 320.1, 247.6),
}
DEFAULT_INTRINSICS = (525.0, 525.0, 319.5, 239.5)


@dataclass(frozen=True)
class TumFolder:
    """`rgb.txt`, `depth.txt` and `groundtruth.txt` (or `trajectory.txt`), associated by stamp.

    A colour image without depth within 20 ms, or without poses around it, is left out and counted in `num_dropped`;
    nothing is guessed. Intrinsics come from `calibration.txt` (`fx fy cx cy`), the benchmark's own by the folder's
    name, or its default. Lens distortion is not corrected.
    """

    path: Path
    name: str
    camera: Camera
    frame_rate_hz: float
    stamps_s: Float64[np.ndarray, " F"]
    colors: tuple[Path, ...]
    depths: tuple[Path, ...]
    Ts_world_camera: Float64[np.ndarray, "F 4 4"]
    num_dropped: int

    @classmethod
    def open(cls, path: Path) -> "TumFolder":
        """Raises InvalidSceneError: a list is missing or malformed, or no frame has colour, depth and a pose."""
        color_s, colors = _read_list(path / "rgb.txt")
        depth_s, depths = _read_list(path / "depth.txt")
        truth = path / "groundtruth.txt"
        pose_s, poses = read_trajectory(truth if truth.exists() else path / "trajectory.txt")
        color_rows, depth_rows = associate(color_s, depth_s, MAX_IMAGE_GAP_S)
        known = has_pose(color_s[color_rows], pose_s, MAX_POSE_GAP_S)
        if not known.any():
            raise InvalidSceneError(
                f"{path}: none of {len(color_s)} colour images has a depth image within {MAX_IMAGE_GAP_S} s and poses "
                f"within {MAX_POSE_GAP_S} s; are the three files of one recording?"
            )
        color_rows, depth_rows = color_rows[known], depth_rows[known]
        stamps_s = color_s[color_rows]
        return cls(
            path, path.resolve().name, _camera(path, read_image(path / colors[0]).shape),
            frame_rate_hz=float(1 / np.median(np.diff(stamps_s))) if len(stamps_s) > 1 else 30.0,
            stamps_s=stamps_s,
            colors=tuple(path / colors[i] for i in color_rows), depths=tuple(path / depths[i] for i in depth_rows),
            Ts_world_camera=interpolate_poses(pose_s, poses, stamps_s), num_dropped=len(color_s) - len(stamps_s),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.stamps_s)

    def frame(self, index: int) -> Frame:
        """Frame `index` at full resolution."""
        depth_m = (read_image(self.depths[index]).astype(np.float32) / DEPTH_SCALE).astype(np.float32)
        return Frame(
            stamp_ns=round(self.stamps_s[index] * 1e9),
            camera=self.camera,
            rgb=np.ascontiguousarray(read_image(self.colors[index])[..., :3]),
            depth_m=depth_m,
            T_world_camera=self.Ts_world_camera[index],
        )


def associate(
    a_s: Float64[np.ndarray, " A"], b_s: Float64[np.ndarray, " B"], max_gap_s: float
) -> tuple[Int64[np.ndarray, " P"], Int64[np.ndarray, " P"]]:
    """Rows of a and of b that belong together, closest pairs first, each row used once; ordered by a."""
    order = np.argsort(b_s, kind="stable")
    first = np.searchsorted(b_s[order], a_s - max_gap_s, "left")
    last = np.searchsorted(b_s[order], a_s + max_gap_s, "right")
    rows_a = np.repeat(np.arange(len(a_s)), last - first)
    rows_b = order[np.concatenate([np.arange(i, j) for i, j in zip(first, last, strict=True)] or [[]]).astype(int)]
    free_a, free_b, pairs = np.ones(len(a_s), bool), np.ones(len(b_s), bool), []
    for k in np.argsort(np.abs(a_s[rows_a] - b_s[rows_b]), kind="stable"):
        i, j = rows_a[k], rows_b[k]
        if free_a[i] and free_b[j]:
            free_a[i] = free_b[j] = False
            pairs.append((i, j))
    matched = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    return matched[:, 0], matched[:, 1]


def interpolate_poses(
    stamps_s: Float64[np.ndarray, " P"], poses: Float64[np.ndarray, "P 4 4"], at_s: Float64[np.ndarray, " F"]
) -> Float64[np.ndarray, "F 4 4"]:
    """Poses at other stamps inside the range: positions linearly, rotations along the shortest arc."""
    stamps_s, first = np.unique(stamps_s, return_index=True)
    poses = poses[first]
    found = np.tile(np.eye(4), (len(at_s), 1, 1))
    if len(poses) == 1:
        found[:] = poses[0]
        return found
    found[:, :3, :3] = Slerp(stamps_s, Rotation.from_matrix(poses[:, :3, :3]))(at_s).as_matrix()
    for axis in range(3):
        found[:, axis, 3] = np.interp(at_s, stamps_s, poses[:, axis, 3])
    return found


def has_pose(
    at_s: Float64[np.ndarray, " F"], pose_s: Float64[np.ndarray, " P"], max_gap_s: float
) -> Bool[np.ndarray, " F"]:
    """Where a pose is known or can be interpolated between neighbours at most `max_gap_s` apart."""
    pose_s = np.sort(pose_s)
    after = np.searchsorted(pose_s, at_s)
    inside = (after < len(pose_s)) & ((after > 0) | (pose_s[0] == at_s))
    after = np.minimum(after, len(pose_s) - 1)
    exact = pose_s[after] == at_s
    return inside & (exact | (pose_s[after] - pose_s[np.maximum(after - 1, 0)] <= max_gap_s))


def _read_list(path: Path) -> tuple[Float64[np.ndarray, " R"], list[str]]:
    """`stamp file` lines; `#` starts a comment."""
    try:
        lines = [line.split("#")[0].split() for line in path.read_text().splitlines()]
        rows = [(float(line[0]), line[1]) for line in lines if line]
    except (OSError, ValueError, IndexError, UnicodeDecodeError) as error:
        raise InvalidSceneError(f"{path} cannot be read; expected lines `stamp_s file`: {error!r}") from error
    if not rows:
        raise InvalidSceneError(f"{path} lists no images; expected lines `stamp_s file`")
    return np.array([stamp for stamp, _ in rows], np.float64), [name for _, name in rows]


def _camera(path: Path, shape: tuple[int, ...]) -> Camera:
    height, width = shape[:2]
    calibration = path / "calibration.txt"
    if calibration.exists():
        try:
            fx, fy, cx, cy = (float(word) for word in calibration.read_text().split()[:4])
        except ValueError as error:
            raise InvalidSceneError(f"{calibration} is malformed; expected `fx fy cx cy` in px: {error}") from error
        return Camera(fx, fy, cx, cy, width, height)
    named = [k for name, k in INTRINSICS.items() if name in path.resolve().name]
    fx, fy, cx, cy = named[0] if named else DEFAULT_INTRINSICS
    return Camera(fx, fy, cx, cy, 640, 480).scaled_to_width(width)
