"""What the core asks of the models that plug into it."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from instascene_ros.core.camera import Camera
from instascene_ros.core.frame import Frame
from instascene_ros.core.masks import Masks
from instascene_ros.core.objects import GeneratedView, ObjectObservation


@runtime_checkable
class Segmenter(Protocol):
    """2D entity masks of one frame, at the frame's size."""

    def __call__(self, frame: Frame) -> Masks: ...


@runtime_checkable
class Prior(Protocol):
    """An idea of whole objects: given what was seen, what would other cameras see of the object alone?

    Same observation, cameras and seed: same views.
    """

    name: str

    def __call__(
        self,
        observation: ObjectObservation,
        cameras: Sequence[tuple[Camera, Float64[np.ndarray, "4 4"]]],  # (camera, T_world_camera)
        seed: int,
    ) -> list[GeneratedView]: ...
