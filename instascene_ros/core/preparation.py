"""What is done to a frame before it is mapped."""

from dataclasses import replace

import numpy as np

from instascene_ros.core.config import MappingConfig
from instascene_ros.core.errors import InvalidFrameError
from instascene_ros.core.frame import Frame
from instascene_ros.core.masks import Masks
from instascene_ros.core.protocols import FullSizeSegmenter, Segmenter


def prepared(frame: Frame, config: MappingConfig, device: str) -> Frame:
    """The frame at the width that maps are made at on `device`.

    Raises:
        InvalidFrameError: it has no usable depth.
    """
    width_px = config.width_px or (640 if device == "cuda" else 320)
    frame = frame.resized(min(width_px, frame.camera.width))
    low_m, high_m = config.min_depth_m, config.max_depth_m
    if not ((frame.depth_m >= low_m) & (frame.depth_m <= high_m)).any():
        raise InvalidFrameError(
            f"no pixel has depth between {low_m} m and {high_m} m (mapping.min_depth_m, mapping.max_depth_m): "
            f"{_what_it_is(frame)}"
        )
    return frame


def _what_it_is(frame: Frame) -> str:
    """What to make of depth out of range."""
    measured_m = frame.depth_m[frame.valid]
    if not len(measured_m):
        return "the depth image is empty"
    return (
        f"the median is {np.median(measured_m):.4g} m: in other units? "
        "32FC1 is metres, 16UC1 is millimetres, depth_scale overrules both"
    )


def with_masks(frame: Frame, as_it_came: Frame, segmenter: Segmenter | None) -> Frame:
    """The frame with its own masks, else the segmenter's, else none. Networks see the image before it was shrunk."""
    if frame.masks is not None:
        return frame
    if segmenter is None:
        return replace(frame, masks=Masks.empty(frame.camera.height, frame.camera.width))
    if isinstance(segmenter, FullSizeSegmenter):
        return replace(frame, masks=segmenter(as_it_came).resized(frame.camera.width, frame.camera.height))
    return replace(frame, masks=segmenter(frame))
