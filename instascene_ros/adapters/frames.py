"""The messages of one instant -> a core Frame."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float32, Float64, UInt8
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from instascene_ros.adapters.camera_infos import camera_of
from instascene_ros.adapters.images import decode_depth_m, decode_labels, decode_rgb
from instascene_ros.adapters.stamps import ns_of_stamp
from instascene_ros.core.camera import Camera
from instascene_ros.core.compressed_images import decode_compressed_depth_m, decode_compressed_rgb
from instascene_ros.core.errors import InvalidFrameError
from instascene_ros.core.frame import Frame
from instascene_ros.core.masks import Masks

Decoded = TypeVar("Decoded")


@dataclass(frozen=True)
class FrameMessages:
    """What arrived for one instant of one camera, still encoded, and where the camera was."""

    camera: str
    color: Image | CompressedImage
    depth: Image | CompressedImage
    info: CameraInfo
    T_world_camera: Float64[np.ndarray, "4 4"]
    masks: Image | None = None
    ignore: Image | None = None

    @property
    def stamp_ns(self) -> int:
        return ns_of_stamp(self.color.header.stamp)

    def topic(self, stream: str) -> str:
        return f"{self.camera}/{stream}"


def camera_of_image(info: CameraInfo, width: int, height: int) -> Camera:
    """Intrinsics for an image of the given size, rescaled where camera_info speaks of another one of the same shape.

    Raises:
        InvalidFrameError: not calibrated (fx = 0), or another aspect ratio.
    """
    camera = camera_of(info).scaled_to_width(width)
    if abs(camera.height - height) > 1:
        raise InvalidFrameError(
            f"camera_info is of {info.width}x{info.height} px but the colour image has {width}x{height} px: "
            "another aspect ratio, so it is not this camera's"
        )
    return replace(camera, height=height)


def to_frame(messages: FrameMessages, depth_scale: float = 0.0) -> Frame:
    """Decode everything.

    Raises:
        InvalidFrameError: whatever is wrong, with the topic's name in front.
    """
    rgb = _named(messages.topic("color/image"), _rgb, messages.color)
    depth_m = _named(messages.topic("depth/image"), _depth_m, messages.depth, depth_scale)
    _check_registered(messages, rgb.shape[:2], depth_m.shape)
    height, width = depth_m.shape
    camera = _named(messages.topic("color/camera_info"), camera_of_image, messages.info, width, height)
    masks = _optional_labels(messages, "masks/image", messages.masks, depth_m.shape)
    ignore = _optional_labels(messages, "ignore/image", messages.ignore, depth_m.shape)
    if ignore is not None:
        depth_m = np.where(ignore == 0, depth_m, np.float32(0))
    if not depth_m.any():
        raise InvalidFrameError(f"{messages.topic('depth/image')}: no pixel has depth")
    entities = None if masks is None else Masks.from_image(masks)
    return Frame(messages.stamp_ns, camera, rgb, depth_m, messages.T_world_camera, entities)


def color_frame(topic: str, message: Image | CompressedImage) -> Frame:
    """A frame for what looks at colour alone: no depth, no pose, and a usual camera of that image size.

    Raises:
        InvalidFrameError: the image cannot be decoded; the topic's name is in front.
    """
    rgb = _named(topic, _rgb, message)
    height, width = rgb.shape[:2]
    camera = Camera(width, width, (width - 1) / 2, (height - 1) / 2, width, height)
    stamp_ns = ns_of_stamp(message.header.stamp)
    return Frame(stamp_ns, camera, rgb, np.zeros((height, width), np.float32), np.eye(4))


def _rgb(message: Image | CompressedImage) -> UInt8[np.ndarray, "H W 3"]:
    return decode_rgb(message) if isinstance(message, Image) else decode_compressed_rgb(message)


def _depth_m(message: Image | CompressedImage, depth_scale: float) -> Float32[np.ndarray, "H W"]:
    read = decode_depth_m if isinstance(message, Image) else decode_compressed_depth_m
    return read(message, depth_scale)


def _named(topic: str, read: Callable[..., Decoded], *arguments: Any) -> Decoded:
    try:
        return read(*arguments)
    except InvalidFrameError as error:
        raise InvalidFrameError(f"{topic}: {error}") from error


def _check_registered(messages: FrameMessages, rgb_shape: tuple[int, ...], depth_shape: tuple[int, ...]) -> None:
    color, depth = messages.topic("color/image"), messages.topic("depth/image")
    if rgb_shape != depth_shape:
        raise InvalidFrameError(
            f"{color} is {rgb_shape[1]}x{rgb_shape[0]} px but {depth} is {depth_shape[1]}x{depth_shape[0]} px: "
            "use the depth that is registered (aligned) to colour"
        )
    color_frame, depth_frame = messages.color.header.frame_id, messages.depth.header.frame_id
    if color_frame and depth_frame and color_frame != depth_frame:
        raise InvalidFrameError(
            f"{color} is in frame {color_frame!r} but {depth} in {depth_frame!r}: "
            "use the depth that is registered (aligned) to colour"
        )


def _optional_labels(
    messages: FrameMessages, stream: str, image: Image | None, shape: tuple[int, ...]
) -> np.ndarray | None:
    if image is None:
        return None
    labels = _named(messages.topic(stream), decode_labels, image)
    if labels.shape != shape:
        raise InvalidFrameError(
            f"{messages.topic(stream)} is {labels.shape[1]}x{labels.shape[0]} px but "
            f"{messages.topic('color/image')} is {shape[1]}x{shape[0]} px: publish it at the size of colour"
        )
    return labels
