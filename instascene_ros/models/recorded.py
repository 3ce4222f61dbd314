"""Masks that came with the frame."""

from instascene_ros.core.frame import Frame
from instascene_ros.core.masks import Masks


class RecordedMasks:
    """The masks recorded with a frame; none for a frame that has none."""

    def __call__(self, frame: Frame) -> Masks:
        if frame.masks is None:
            return Masks.empty(frame.camera.height, frame.camera.width)
        return frame.masks
