"""Pictures for a person who looks into the scene node; made only while somebody listens."""

import numpy as np
from jaxtyping import UInt8
from rclpy.node import Node
from std_msgs.msg import Header

from instascene_ros.adapters.images import encode
from instascene_ros.adapters.publishing import publisher
from instascene_ros.adapters.scenes import Scene
from instascene_ros.adapters.stamps import stamp_of_ns
from instascene_ros.core import topics
from instascene_ros.core.frame import Frame
from instascene_ros.core.instances import color_of_id
from instascene_ros.core.rendering.render import render


class DebugImages:
    """`debug/render`: the map from the newest keyframe. `debug/masks`: its colour under its entity masks."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._render = publisher(node, topics.DEBUG_RENDER)
        self._masks = publisher(node, topics.DEBUG_MASKS)

    def close(self) -> None:
        for one in (self._render, self._masks):
            self._node.destroy_publisher(one)

    def publish(self, scene: Scene) -> None:
        """Publish what is listened to."""
        if not scene.keyframes:
            return
        frame = scene.keyframes[-1]
        header = Header(stamp=stamp_of_ns(frame.stamp_ns))
        if self._render.get_subscription_count() > 0:
            self._render.publish(encode(rendered(scene, frame), "rgb8", header))
        if self._masks.get_subscription_count() > 0:
            self._masks.publish(encode(masks_overlay(frame), "rgb8", header))


def rendered(scene: Scene, frame: Frame) -> UInt8[np.ndarray, "H W 3"]:
    """The map as the frame's camera would see it."""
    rgb = render(scene.rasterizer, scene.gaussians, frame.camera, frame.T_world_camera).rgb
    return (rgb.detach().clamp(0, 1) * 255).byte().cpu().numpy()


def masks_overlay(frame: Frame) -> UInt8[np.ndarray, "H W 3"]:
    """Colour of the frame, half covered by one colour for each mask."""
    if frame.masks is None or not len(frame.masks):
        return frame.rgb
    palette = np.array([color_of_id(label) for label in range(len(frame.masks) + 1)], np.uint8)
    covered = (frame.masks.labels > 0)[..., None]
    return np.where(covered, frame.rgb // 2 + palette[frame.masks.labels] // 2, frame.rgb).astype(np.uint8)
