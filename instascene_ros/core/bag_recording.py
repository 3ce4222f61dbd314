"""A rosbag2 as a recording: colour, depth, masks and poses of one camera, associated by stamp."""

from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

from instascene_ros.core.bag_file import BagFile
from instascene_ros.core.bag_poses import camera_poses
from instascene_ros.core.bag_topics import COMPRESSED, INFO, BagTopics, choose_topics
from instascene_ros.core.camera import Camera
from instascene_ros.core.compressed_images import (
    decode_compressed_depth_m,
    decode_compressed_labels,
    decode_compressed_rgb,
)
from instascene_ros.core.errors import InvalidFrameError, InvalidSceneError
from instascene_ros.core.frame import Frame
from instascene_ros.core.masks import Masks
from instascene_ros.core.stored_images import COLOUR, DEPTH, LABELS, decode, metres, rgb_of
from instascene_ros.core.tum import associate

log = getLogger(__name__)
MAX_DISTORTION = 0.05  # coefficients below it bend an image by a pixel or so
MAX_IMAGE_GAP_S = 0.02  # colour, depth and masks of one frame are at most this far apart

Where = tuple[int, int]  # (stamp, recorded at), ns, of one message of a topic


@dataclass(frozen=True)
class BagRecording:
    """Images are read when asked for. A colour image without depth or pose is left out and counted in `num_dropped`."""

    bag: BagFile
    topics: BagTopics
    name: str
    camera: Camera
    frame_rate_hz: float
    colors: tuple[Where, ...]
    depths: tuple[Where, ...]
    masks: tuple[Where | None, ...] | None  # None = not read; None of a frame = it has none
    Ts_world_camera: Float64[np.ndarray, "F 4 4"]
    num_dropped: int

    @classmethod
    def open(cls, path: Path, given: BagTopics, with_masks: bool = False) -> "BagRecording":
        """Read everything but the images.

        Raises:
            InvalidSceneError: no such topics, damaged, or no frame has colour, depth and a pose.
        """
        bag = BagFile(path)
        topics = choose_topics(bag.types, given)
        if with_masks and not topics.masks:
            raise InvalidSceneError(f"{path} has no topic .../masks/image; leave --masks out, or name it in topics")
        colors, depths = _index(bag, topics.color), _index(bag, topics.depth)
        rows, depth_rows = _associated(colors, depths)
        stamps_ns = np.array([colors[row][0] for row in rows], np.int64)
        first = bag.message(bag.first(topics.color))
        Ts_world_camera, known = camera_poses(bag, topics, first.header.frame_id.lstrip("/"), stamps_ns)
        if not known.any():
            raise InvalidSceneError(
                f"{path}: none of {len(colors)} images of {topics.color} has an image of {topics.depth} within "
                f"{MAX_IMAGE_GAP_S} s and a pose from {topics.pose} at its stamp ({len(rows)} have the former)"
            )
        return cls(
            bag, topics, path.resolve().stem, _camera(bag, topics.info), _rate_hz(stamps_ns[known]),
            colors=tuple(colors[row] for row in rows[known]), depths=tuple(depths[row] for row in depth_rows[known]),
            masks=_masks_of(bag, topics, stamps_ns[known]) if with_masks else None,
            Ts_world_camera=Ts_world_camera[known], num_dropped=len(colors) - int(known.sum()),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.colors)

    def frame(self, index: int) -> Frame:
        """Frame `index` at full resolution.

        Raises:
            InvalidSceneError: an image that cannot be decoded, or no masks at its stamp.
        """
        try:
            rgb = self._rgb(self.colors[index])
            camera = self.camera.scaled_to_width(rgb.shape[1])
            masks = None if self.masks is None else self._masks(self.masks[index])
            return Frame(self.colors[index][0], camera, rgb, self._depth_m(self.depths[index]),
                         self.Ts_world_camera[index], masks)  # fmt: skip
        except InvalidFrameError as error:
            raise InvalidSceneError(f"{self.name}, frame {index}: {error}") from error

    def _rgb(self, where: Where) -> UInt8[np.ndarray, "H W 3"]:
        message, is_compressed = self._message(self.topics.color, where)
        return decode_compressed_rgb(message) if is_compressed else rgb_of(decode(message, COLOUR), message.encoding)

    def _depth_m(self, where: Where) -> Float32[np.ndarray, "H W"]:
        message, is_compressed = self._message(self.topics.depth, where)
        if is_compressed:
            return decode_compressed_depth_m(message)
        return metres(decode(message, tuple(DEPTH)), DEPTH[message.encoding])

    def _masks(self, where: Where | None) -> Masks:
        if where is None:
            raise InvalidSceneError(f"no masks of {self.topics.masks} within {MAX_IMAGE_GAP_S} s")
        message, is_compressed = self._message(self.topics.masks, where)
        labels = decode_compressed_labels(message) if is_compressed else decode(message, LABELS).astype(np.int32)
        return Masks.from_image(labels)

    def _message(self, topic: str, where: Where) -> tuple[Any, bool]:
        """A message, and whether it is a compressed one."""
        stamp_ns, log_ns = where
        recorded = self.bag.entries([topic], log_ns, log_ns)
        entry = next((one for one in recorded if one.stamp_ns == stamp_ns), None)
        if entry is None:
            raise InvalidSceneError(f"{self.name}: the message of {topic} stamped {stamp_ns} cannot be found again")
        return self.bag.message(entry), self.bag.types[topic] == COMPRESSED


def _index(bag: BagFile, topic: str) -> list[Where]:
    """Every message of a topic, ordered by stamp; of a repeated stamp the first."""
    first = bag.first(topic)  # says so where there is none
    found = {first.stamp_ns: first.log_ns}
    for entry in bag.entries([topic]):
        found.setdefault(entry.stamp_ns, entry.log_ns)
    return sorted(found.items())


def _associated(a: list[Where], b: list[Where]) -> tuple[Int64[np.ndarray, " P"], Int64[np.ndarray, " P"]]:
    """Rows that belong together, the closest pairs first."""
    origin_ns = a[0][0]
    a_s, b_s = (np.array([(stamp_ns - origin_ns) / 1e9 for stamp_ns, _ in rows], np.float64) for rows in (a, b))
    return associate(a_s, b_s, MAX_IMAGE_GAP_S)


def _masks_of(bag: BagFile, topics: BagTopics, stamps_ns: Int64[np.ndarray, " F"]) -> tuple[Where | None, ...]:
    masks = _index(bag, topics.masks)
    rows, mask_rows = _associated([(int(stamp_ns), 0) for stamp_ns in stamps_ns], masks)
    of_frame = dict(zip(rows.tolist(), mask_rows.tolist(), strict=True))
    return tuple(masks[of_frame[row]] if row in of_frame else None for row in range(len(stamps_ns)))


def _camera(bag: BagFile, topic: str) -> Camera:
    if bag.types[topic] != INFO:
        raise InvalidSceneError(f"{topic} is of type {bag.types[topic]}; expected {INFO}")
    info = bag.message(bag.first(topic))
    if np.abs(np.asarray(info.d, np.float64)).max(initial=0) > MAX_DISTORTION:
        log.warning("%s has lens distortion, which is not corrected: record the rectified images", topic)
    try:
        k = [float(value) for value in info.k]
        return Camera(k[0], k[4], k[2], k[5], int(info.width), int(info.height))
    except InvalidFrameError as error:
        raise InvalidSceneError(f"{topic}: {error}") from error


def _rate_hz(stamps_ns: Int64[np.ndarray, " F"]) -> float:
    return float(1e9 / np.median(np.diff(stamps_ns))) if len(stamps_ns) > 1 else 30.0
