"""`instascene segment`: what a segmenter makes of one recorded frame, as a label image and a picture to look at."""

import time
from dataclasses import replace

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from rich.console import Console

from instascene_ros.core.config import Config, NetworkConfig
from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.frame import Frame
from instascene_ros.core.instances import color_of_id
from instascene_ros.core.masks import Masks
from instascene_ros.core.protocols import Clickable, Segmenter
from instascene_ros.core.recording_formats import open_recording
from instascene_ros.models import make_segmenter
from instascene_ros.tools.options import SegmentOptions


def networks_of(device: str, model: str, model_config: str, model_project: str) -> NetworkConfig:
    """The configuration that the command line asks for."""
    return NetworkConfig(device=device, model=model, config_file=model_config, project=model_project)


def segment(options: SegmentOptions, console: Console) -> Masks:
    """Segment one frame; writes `out` (16 bit labels) and, beside it, the same in colours.

    Raises:
        InvalidSceneError: no such frame.
        BackendUnavailableError: the segmenter or its weights are missing, or it takes no clicks.
        InvalidEditError: a click outside the image.
    """
    recording = open_recording(options.scene, None, options.topics)
    if not 0 <= options.frame < len(recording):
        raise InvalidSceneError(f"{options.scene} has frames 0 to {len(recording) - 1}; --frame is {options.frame}")
    frame = recording.frame(options.frame)
    frame = frame.resized(min(options.width or frame.camera.width, frame.camera.width))
    networks = networks_of(options.device, options.model, options.model_config, options.model_project)
    segmenter = make_segmenter(options.segmenter, replace(Config(), networks=networks))
    segmented = _clicked if options.click else _everything
    segmented(segmenter, frame, options)  # what is compiled on first use is not timed
    began = time.perf_counter()
    masks = segmented(segmenter, frame, options)
    took_s = time.perf_counter() - began
    options.out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(masks.labels.astype(np.uint16)).save(options.out)
    picture = options.out.with_stem(f"{options.out.stem}_colors")
    Image.fromarray(overlay(frame.rgb, masks)).save(picture)
    console.print(f"{len(masks)} masks in {1000 * took_s:.0f} ms -> {options.out}, {picture}", highlight=False)
    return masks


def _everything(segmenter: Segmenter, frame: Frame, options: SegmentOptions) -> Masks:
    return segmenter(frame)


def _clicked(segmenter: Segmenter, frame: Frame, options: SegmentOptions) -> Masks:
    if not isinstance(segmenter, Clickable):
        raise InvalidSceneError(f"the segmenter {options.segmenter} takes no clicks; use --segmenter sam2")
    return Masks.from_image(segmenter.at(frame, options.click).astype(np.int32))


def overlay(rgb: UInt8[np.ndarray, "H W 3"], masks: Masks) -> UInt8[np.ndarray, "H W 3"]:
    """Colour half covered by one colour for each mask."""
    palette = np.array([color_of_id(label) for label in range(len(masks) + 1)], np.uint8)
    covered = (masks.labels > 0)[..., None]
    return np.where(covered, rgb // 2 + palette[masks.labels] // 2, rgb).astype(np.uint8)
