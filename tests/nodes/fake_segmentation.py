"""A segmentation node whose segmenter is quick and known: the red of the first pixel labels the left half.

Run as `python -m fake_segmentation`. A name of a network makes it look at colour alone, as the real one would.
"""

import time

import numpy as np

from instascene_ros.core.config import Config
from instascene_ros.core.errors import BackendUnavailableError
from instascene_ros.core.frame import Frame
from instascene_ros.core.masks import Masks
from instascene_ros.core.protocols import Segmenter
from instascene_ros.nodes.segmentation import main

SLOW_BLUE, CRASH_BLUE = 77, 78  # a first pixel of this blue makes the image take 2 s, or fail as a bug would


def segment(frame: Frame) -> Masks:
    red, _, blue = frame.rgb[0, 0].tolist()
    if blue == SLOW_BLUE:
        time.sleep(2)
    if blue == CRASH_BLUE:
        raise ZeroDivisionError("a bug")
    labels = np.zeros(frame.depth_m.shape, np.int32)
    labels[:, : labels.shape[1] // 2] = red
    return Masks(labels, np.ones(255, np.float32))


def make(name: str, config: Config) -> Segmenter:
    if config.networks.model == "nowhere":
        raise BackendUnavailableError(f"{name}: no weights in 'nowhere'; name a folder (networks.model)")
    return segment


if __name__ == "__main__":
    main(make)
